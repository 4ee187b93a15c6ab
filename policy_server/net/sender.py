"""All of HTTP behind the guard: headers, TLS, redirects, one deadline for everything."""

import base64
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPException
from string import punctuation
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import LocationParseError
from urllib3.response import BaseHTTPResponse
from urllib3.util import SKIP_HEADER, Url, parse_url

from policy_server.model.errors import FetchError, TargetRefused
from policy_server.net.dial import Dial, connection_types
from policy_server.net.guard import NetworkGuard
from policy_server.net.outgoing import Incoming, Outgoing
from policy_server.net.reading import read_body, reason, refuse_announced, shown
from policy_server.net.redirect import redirected
from policy_server.tracing.spans import answered, asking

MAX_REDIRECTS: Final = 10

_ERRORS: Final = (TransportError, HTTPException, OSError, ValueError)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_IN_PATH: Final = "/%:@!$&'()*+,;=[]~"
_PORT: Final = re.compile(r":[0-9]*$")
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "trailer"})
"""Headers that the message itself decides; what a caller says about them is left out, as in Go."""

_HIDDEN: Final = frozenset({"transfer-encoding", "trailer"})
"""Headers about the transfer, which is over when an answer is handed out."""


class GuardedSender:
    """Sends requests through a guard; safe for threads.

    Times are in seconds; ``max_bytes`` limits a body, as sent and as unpacked.
    Every hop of a redirect is judged like the first one.
    """

    def __init__(
        self,
        guard: NetworkGuard,
        *,
        max_bytes: int,
        connect_timeout: float = 5.0,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the limits; nothing is opened."""
        self._guard = guard
        self._max_bytes = max_bytes
        self._connect_timeout = connect_timeout
        self._elapsed = elapsed

    def send(self, outgoing: Outgoing, *, seconds: float) -> Incoming:
        """Send a request and return what came back, whatever its status.

        Raises:
            TargetRefused: the address, or that of a redirect, is not allowed.
            FetchError: no complete answer within ``seconds``; its ``final`` tells whether to ask again.
        """
        with (
            asking(outgoing.method, outgoing.url) as span,
            Dial(self._guard, seconds=seconds, connect_timeout=self._connect_timeout, elapsed=self._elapsed) as dial,
        ):
            for _ in range(MAX_REDIRECTS + 1):
                found = self._hop(outgoing, dial, seconds)
                if isinstance(found, Incoming):
                    answered(span, found.status, bad=400)
                    return found
                outgoing = found
            raise FetchError(f"{_what(outgoing)}: stopped after {MAX_REDIRECTS} redirects.")

    def _hop(self, outgoing: Outgoing, dial: Dial, seconds: float) -> Incoming | Outgoing:
        try:
            url = _parsed(outgoing.url)
            headers, packed = _headers(outgoing, url)
            with closing(self._connection(outgoing, url, dial, seconds)) as connection:
                self._ask(outgoing, headers, connection)
                response = connection.getresponse()
                if dial.expired:  # a connection cut by the deadline can look like the end of an answer
                    raise OSError("cut")
                following = redirected(outgoing, response.status, response.headers.get("location", ""))
                return following or self._read(outgoing, response, dial, packed=packed)
        except TargetRefused as error:
            raise TargetRefused(f"{_what(outgoing)}: {error.message}") from error
        except FetchError as error:
            raise _failed(f"{_what(outgoing)}: {error.message}", final=error.final) from error
        except _Cut as error:
            why = _why(error.cause, dial, seconds)
            raise _failed(f"{_what(outgoing)}: {why}.", final=True) from error.cause
        except _ERRORS as error:
            raise FetchError(f"{_what(outgoing)}: {_why(error, dial, seconds)}.") from error

    def _connection(self, outgoing: Outgoing, url: Url, dial: Dial, seconds: float) -> HTTPConnection:
        plain, secure = connection_types(dial)
        host = url.host or ""
        if url.scheme == "http":
            return plain(host, url.port, timeout=seconds)
        name = outgoing.server_name or _PORT.sub("", outgoing.host)
        return secure(host, url.port, timeout=seconds, ssl_context=outgoing.tls, server_hostname=name or None)

    def _ask(self, outgoing: Outgoing, headers: Mapping[str, bytes | str], connection: HTTPConnection) -> None:
        # The library writes header values that are bytes as they are, which its annotations do not say.
        connection.request(
            outgoing.method,
            _target(outgoing.url),
            body=outgoing.body or None,
            headers=headers,  # type: ignore[arg-type]
            preload_content=False,
            decode_content=False,
        )

    def _read(self, outgoing: Outgoing, response: BaseHTTPResponse, dial: Dial, *, packed: bool) -> Incoming:
        packed = packed and response.headers.get("content-encoding", "").strip().lower() == "gzip"
        hidden = _HIDDEN | ({"content-encoding", "content-length"} if packed else frozenset())
        try:
            if outgoing.method != "HEAD":
                refuse_announced(response, self._max_bytes)
            body = read_body(response, self._max_bytes, packed=packed)
            if dial.expired:
                raise OSError("cut")
        except FetchError as error:
            error.final = True
            raise
        except _ERRORS as error:
            raise _Cut(error) from error
        finally:
            response.close()
        headers = ((name.lower(), _text(value)) for name, value in response.headers.iteritems())
        return Incoming(
            response.status, response.reason or "", tuple(each for each in headers if each[0] not in hidden), body
        )


class _Cut(Exception):
    """The connection failed after the head of the answer had come."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


def _failed(text: str, *, final: bool) -> FetchError:
    error = FetchError(text)
    error.final = final
    return error


def _why(error: Exception, dial: Dial, seconds: float) -> str:
    return f"not done within {seconds:g} s" if dial.expired else reason(error, seconds)


def _what(outgoing: Outgoing) -> str:
    try:
        return f"{outgoing.method} {shown(outgoing.url)}" if urlsplit(outgoing.url).hostname else outgoing.method
    except ValueError:
        return outgoing.method


def _parsed(text: str) -> Url:
    """Read a URL; TargetRefused when it is not http or https, FetchError when it cannot be read."""
    try:
        url = parse_url(text.strip())
    except LocationParseError as error:
        raise _failed("the address is not valid.", final=True) from error
    if url.scheme not in {"http", "https"}:
        raise FetchError(f"unsupported protocol scheme {url.scheme or ''!r}: only http and https leave the house.")
    if not url.host:
        raise FetchError("the address has no host.")
    return url


def _target(text: str) -> str:
    """Return path and query as they are written, as Go sends them; only what no request line can have is escaped."""
    parts = urlsplit(text.strip())
    if _BAD_ESCAPE.search(parts.path) is not None:
        raise _failed("the address has a % that escapes nothing.", final=True)
    query = f"?{quote(parts.query, safe=punctuation)}" if "?" in text.partition("#")[0] else ""
    return f"{quote(parts.path, safe=_IN_PATH) or '/'}{query}"


def _headers(outgoing: Outgoing, url: Url) -> tuple[Mapping[str, bytes | str], bool]:
    """Return what is sent, and whether gzip was asked for by us and is ours to unpack."""
    if _TOKEN.fullmatch(outgoing.method) is None:
        raise _failed("the method is not valid.", final=True)
    found: dict[str, bytes | str] = {"Host": outgoing.host.encode()} if outgoing.host else {}
    for name, value in outgoing.headers:
        if _TOKEN.fullmatch(name) is None or _BAD_VALUE.search(value) is not None:
            raise FetchError(f"the header {name[:64]!r} is not valid.")
        if name.lower() not in _OURS:
            found[name] = value.encode(errors="replace")
    if _BAD_VALUE.search(outgoing.host) is not None:
        raise FetchError("the Host header is not valid.")
    given = {name.lower() for name in found}
    if url.auth is not None and "authorization" not in given:
        user, _, password = url.auth.partition(":")
        found["Authorization"] = b"Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode())
    packed = not given & {"accept-encoding", "range"} and outgoing.method != "HEAD"
    if "accept-encoding" not in given:
        found["Accept-Encoding"] = b"gzip" if packed else SKIP_HEADER
    return found, packed


def _text(value: str) -> str:
    """Read a header value as UTF-8, as Go does; the library reads every byte as one letter."""
    return value.encode("latin-1", errors="replace").decode(errors="replace")
