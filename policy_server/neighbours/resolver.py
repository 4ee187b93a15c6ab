"""The universal DID resolver."""

import re
from typing import Final
from urllib.parse import unquote

from policy_server.model.errors import BuiltinFailed
from policy_server.neighbours.link import Link

_SEPARATOR: Final = re.compile(r"[/?#\\]")


class Resolver:
    """Resolves DIDs; safe for threads."""

    def __init__(self, link: Link) -> None:
        """Take the line to the service."""
        self._link = link

    def resolve(self, did: str, seconds: float) -> bytes:
        """Return the JSON text of whatever it answers, an error document included; BuiltinFailed when it is none.

        COMPAT: the DID stands in the address as it is, not escaped.
        """
        if not did.strip():
            raise BuiltinFailed("the DID is empty", code="argument")
        if {".", ".."} & set(_SEPARATOR.split(unquote(did))):
            # SECURITY: libraries and servers resolve these, escaped ones too: another resource would be asked.
            raise BuiltinFailed("the DID has a path that leads upwards", code="argument")
        reply = self._link.ask("GET", f"/1.0/identifiers/{did}", seconds=seconds, ok=None)
        return self._link.json(reply)
