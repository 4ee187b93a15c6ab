"""Sends records to another server the way OPA uploads its decision logs."""

import gzip
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from policy_server.decisions.config import shown_sink
from policy_server.decisions.sink import Unwritten
from policy_server.model.errors import FetchError, TargetRefused
from policy_server.model.logged import LoggedDecision
from policy_server.net.client import GuardedClient

_TOO_LARGE: Final = 413


class UploadSink:
    """POSTs gzipped JSON arrays to ``<address>/logs``."""

    def __init__(self, address: str, client: GuardedClient, token: str = "") -> None:
        """Take the address, the way out, and a bearer token to show."""
        self.name = shown_sink(address)
        parts = urlsplit(address)
        self._url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/logs", parts.query, ""))
        self._client = client
        self._headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def write(self, records: Sequence[LoggedDecision]) -> None:
        """Send the records; in smaller parts where the server says that they are too many."""
        status = self._post(records)
        if status == _TOO_LARGE and len(records) > 1:
            half = len(records) // 2
            self.write(records[:half])
            self.write(records[half:])
        elif not 200 <= status < 300:
            raise Unwritten(f"the server answered {status}", final=status == _TOO_LARGE)

    def close(self) -> None:
        """Do nothing; each request has a connection of its own."""

    def _post(self, records: Sequence[LoggedDecision]) -> int:
        body = gzip.compress(b"[" + ",".join(record.body for record in records).encode() + b"]", 5)
        try:
            return self._client.fetch("POST", self._url, body=body, headers=self._headers).status
        except (FetchError, TargetRefused) as error:
            raise Unwritten(error.message) from error
