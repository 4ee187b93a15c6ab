"""What goes out and what comes back, for those who need all of HTTP."""

import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request.

    ``host`` replaces the Host header and, for TLS, the name the certificate must
    have, unless ``server_name`` says another one. ``follow``: go where redirects lead.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    host: str = ""
    server_name: str = ""
    tls: ssl.SSLContext | None = None
    follow: bool = False


@dataclass(frozen=True, slots=True)
class Incoming:
    """An answer: header names in lower case, in the order they came, repeated ones repeated."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str:
        """Return the first value of a header, empty when there is none."""
        return next((value for each, value in self.headers if each == name), "")
