"""HTTP Basic for Pexip: several users, compared in constant time."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable


class Credentials:
    """The users and passwords that may ask; none means that everybody may.

    SECURITY: digests are compared, all of them each time, so that neither
    length nor position nor the first wrong letter shows in the time taken.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], *, realm: str) -> None:
        """Take pairs of user and password."""
        self._accepted = tuple(_digest(f"{user}:{password}".encode()) for user, password in pairs)
        self.challenge = f'Basic realm="{realm}", charset="UTF-8"'

    def accept(self, authorization: str | None) -> bool:
        """Tell whether an Authorization header names one of the users."""
        if not self._accepted:
            return True
        offered = _digest(_decode(authorization or ""))
        found = [hmac.compare_digest(offered, accepted) for accepted in self._accepted]
        return any(found)


def _decode(authorization: str) -> bytes:
    scheme, _, token = authorization.partition(" ")
    try:
        return base64.b64decode(token.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return b""


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
