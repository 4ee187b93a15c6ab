"""What goes out and what comes back, for those who need all of HTTP."""

import ssl
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urljoin, urlsplit

from policy_server.model.errors import FetchError

_SENSITIVE: Final = frozenset({"authorization", "www-authenticate", "cookie", "cookie2", "proxy-authorization"})
_ABOUT_BODY: Final = frozenset({"content-type", "content-encoding", "content-language", "content-location"})


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


def redirected(sent: Outgoing, status: int, location: str) -> Outgoing | None:
    """Return the request that a redirect asks for, as Go's client makes it; None when it asks for none.

    301, 302 and 303 become GET (HEAD stays) without a body, 307 and 308 are sent again as they were. Credentials go
    to the same host and those below it only. FetchError when the new address is not http or https.
    """
    if status not in {301, 302, 303, 307, 308} or not location or not sent.follow:
        return None
    url = urljoin(sent.url, location)
    old, new = urlsplit(sent.url), urlsplit(url)
    if new.scheme.lower() not in {"http", "https"} or not new.hostname:
        raise FetchError("the redirect leads to an address that is not http or https.")
    headers, body, method = sent.headers, sent.body, sent.method
    if status < 304:
        body = b""
        method = method if method in {"GET", "HEAD"} else "GET"
        headers = tuple(each for each in headers if each[0].lower() not in _ABOUT_BODY)
    near = _is_near(old.hostname or "", new.hostname) and not (old.scheme == "https" and new.scheme == "http")
    if not near:
        headers = tuple(each for each in headers if each[0].lower() not in _SENSITIVE)
    # A Host header of the caller's is kept by a redirect that names no host.
    host = sent.host if not urlsplit(location).netloc else ""
    return replace(sent, method=method, url=url, headers=headers, body=body, host=host)


def _is_near(old: str, new: str) -> bool:
    return new == old or new.endswith(f".{old}")
