"""The one way out: HTTP requests with a guard, a deadline and a size limit.

Never follows a redirect, never uses a proxy or credentials from the
environment; ADR 4 says why.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.models import PreparedRequest
from urllib3.exceptions import HTTPError as TransportError
from urllib3.response import BaseHTTPResponse

from policy_server.model.errors import FetchError, TargetRefused
from policy_server.net.adapter import GuardedAdapter
from policy_server.net.dial import Dial
from policy_server.net.guard import NetworkGuard
from policy_server.net.naming import check_address
from policy_server.net.reading import read_body, reason, refuse_announced, shown
from policy_server.tracing import trace
from policy_server.tracing.spans import answered, asking
from policy_server.version import VERSION

_ERRORS: Final = (requests.RequestException, TransportError, HTTPException, OSError)


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: status, decoded body, headers with lower-case names."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class GuardedClient:
    """Sends one request at a time per call; safe for threads.

    Times are in seconds: ``connect_timeout`` for a connection,
    ``read_timeout`` for each silence, ``deadline`` for all of it including
    the name look-up. ``max_bytes`` limits the body, both as sent and as
    unpacked. ``ca_file`` replaces the built-in certificate authorities. ``ours``: the other
    side belongs to the operator, and is told which trace its work is a part of.
    """

    def __init__(
        self,
        guard: NetworkGuard,
        *,
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        deadline: float = 30.0,
        max_bytes: int = 16 << 20,
        ca_file: Path | None = None,
        ours: bool = False,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the limits; nothing is opened."""
        self._guard = guard
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._verify = str(ca_file) if ca_file is not None else True
        self._ours = ours
        self._elapsed = elapsed

    @property
    def deadline(self) -> float:
        """Return the longest time a fetch may take, in seconds."""
        return self._deadline

    def check(self, url: str, *, named: str) -> None:
        """Refuse an address that it would never fetch, by the name it has where it is typed.

        Raises:
            InvalidParameter, TargetRefused: as ``check_address``.
        """
        check_address(self._guard, url, named=named)

    def fetch(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Fetched:
        """Send a request and return whatever status the other side answers.

        Raises:
            TargetRefused: The address, or the scheme, is not allowed.
            FetchError: No complete answer within the limits.
        """
        seconds = self._deadline if deadline is None else min(deadline, self._deadline)
        request = _prepare(method, url, body=body, headers=headers or {})
        what = f"{request.method} {shown(request.url or '')}"
        with (
            asking(request.method or "", request.url or "") as span,
            Dial(self._guard, seconds=seconds, connect_timeout=self._connect_timeout, elapsed=self._elapsed) as dial,
        ):
            if self._ours:
                request.headers.update(trace.headers())
            try:
                fetched = self._exchange(request, dial)
            except (TargetRefused, FetchError) as error:
                raise type(error)(f"{what}: {error.message}") from error
            except _ERRORS as error:
                why = f"not done within {seconds:g} s" if dial.expired else reason(error, self._read_timeout)
                raise FetchError(f"{what}: {why}.") from error
            answered(span, fetched.status, bad=400)
            return fetched

    def _exchange(self, request: PreparedRequest, dial: Dial) -> Fetched:
        adapter = GuardedAdapter(dial)
        try:
            # NOTE: the adapter, not a Session: a Session reads the whole body of a redirect even when told
            # not to follow it, keeps cookies, and looks into the environment.
            response = adapter.send(
                request,
                stream=True,
                timeout=(self._connect_timeout, self._read_timeout),
                verify=self._verify,
                proxies={},
            )
            try:
                body = _read(response.raw, self._max_bytes)
            finally:
                response.close()
            if dial.expired:  # a connection cut by the deadline can look like the end of the body
                raise OSError("cut")
            return Fetched(response.status_code, body, {name.lower(): text for name, text in response.headers.items()})
        finally:
            adapter.close()


def _prepare(method: str, url: str, *, body: bytes | None, headers: Mapping[str, str]) -> PreparedRequest:
    """Check and normalise the URL; FetchError and TargetRefused never repeat a URL that cannot be read."""
    try:
        scheme = urlsplit(url.strip()).scheme.lower()
        if scheme not in {"http", "https"}:
            raise TargetRefused("Only http and https URLs are fetched.")
        all_headers = {"User-Agent": f"policy-server/{VERSION}", "Accept-Encoding": "gzip", **headers}
        prepared = requests.Request(method.upper(), url.strip(), headers=all_headers, data=body).prepare()
        _ = urlsplit(prepared.url or "").port  # ValueError when it is none
    except (requests.RequestException, ValueError) as error:
        raise FetchError("The request cannot be made: its URL, method or headers are not valid.") from error
    return prepared


def _read(raw: BaseHTTPResponse, limit: int) -> bytes:
    refuse_announced(raw, limit)
    encoding = raw.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        raise FetchError("the answer is packed in a way that was not asked for.")
    return read_body(raw, limit, packed="gzip" in encoding)
