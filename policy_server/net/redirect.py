"""Where redirects lead."""

from dataclasses import replace
from typing import Final
from urllib.parse import urljoin, urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from policy_server.model.errors import FetchError
from policy_server.net.outgoing import Outgoing

_SENSITIVE: Final = frozenset({"authorization", "www-authenticate", "cookie", "cookie2", "proxy-authorization"})
_ABOUT_BODY: Final = frozenset({"content-type", "content-encoding", "content-language", "content-location"})


def redirected(sent: Outgoing, status: int, location: str) -> Outgoing | None:
    """Return the request that a redirect asks for, as Go's client makes it; None when it asks for none.

    301, 302 and 303 become GET (HEAD stays) without a body, 307 and 308 are sent again as they were. Credentials go
    to the same host and those below it only. FetchError when the new address is not http or https.
    """
    if status not in {301, 302, 303, 307, 308} or not location or not sent.follow:
        return None
    try:
        named = urlsplit(location)
        url = location if named.scheme else urljoin(sent.url, location)
        # SECURITY: read by what will connect, so that both mean the same host.
        old, new = parse_url(sent.url), parse_url(url)
    except (ValueError, LocationParseError) as error:
        raise FetchError("the redirect leads to an address that cannot be read.") from error
    if new.scheme not in {"http", "https"} or not new.host:
        raise FetchError("the redirect leads to an address that is not http or https.")
    headers, body, method = sent.headers, sent.body, sent.method
    if status < 304:
        body = b""
        method = method if method in {"GET", "HEAD"} else "GET"
        headers = tuple(each for each in headers if each[0].lower() not in _ABOUT_BODY)
    near = _is_near(old.host or "", new.host) and not (old.scheme == "https" and new.scheme == "http")
    if not near:
        headers = tuple(each for each in headers if each[0].lower() not in _SENSITIVE)
    # A Host header of the caller's is kept by a redirect that names no host.
    host = sent.host if not named.netloc else ""
    return replace(sent, method=method, url=url, headers=headers, body=body, host=host)


def _is_near(old: str, new: str) -> bool:
    return new == old or new.endswith(f".{old}")
