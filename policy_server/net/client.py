"""The one way out: HTTP requests with a guard, a deadline and a size limit.

Never follows a redirect, never uses a proxy or credentials from the
environment; docs/adr/0004 says why. Messages show scheme, host, port and path
of a URL, never its user, password, query or fragment.
"""

import time
import zlib
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
from policy_server.net.dial import Dial, GuardedAdapter
from policy_server.net.guard import NetworkGuard
from policy_server.version import VERSION

_CHUNK: Final = 64 * 1024
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
    unpacked. ``ca_file`` replaces the built-in certificate authorities.
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
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the limits; nothing is opened."""
        self._guard = guard
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._verify = str(ca_file) if ca_file is not None else True
        self._elapsed = elapsed

    @property
    def deadline(self) -> float:
        """Return the longest time a fetch may take, in seconds."""
        return self._deadline

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
        shown = f"{request.method} {_shown(request.url or '')}"
        with Dial(self._guard, seconds=seconds, connect_timeout=self._connect_timeout, elapsed=self._elapsed) as dial:
            try:
                return self._exchange(request, dial)
            except (TargetRefused, FetchError) as error:
                raise type(error)(f"{shown}: {error.message}") from error
            except _ERRORS as error:
                reason = f"not done within {seconds:g} s" if dial.expired else _reason(error, self._read_timeout)
                raise FetchError(f"{shown}: {reason}.") from error

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


def _shown(url: str) -> str:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _read(raw: BaseHTTPResponse, limit: int) -> bytes:
    """Read and unpack a body piece by piece, never more than the limit plus one piece."""
    announced = raw.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise FetchError(f"the answer is larger than {limit} bytes.")
    encoding = raw.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        raise FetchError("the answer is packed in a way that was not asked for.")
    gunzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if "gzip" in encoding else None
    body = bytearray()
    received = 0
    while piece := raw.read1(_CHUNK, decode_content=False):
        received += len(piece)
        # SECURITY: unpacked to one byte past the limit at most, however much the piece promises.
        body += piece if gunzip is None else _unpack(gunzip, piece, limit - len(body) + 1)
        if received > limit or len(body) > limit:
            raise FetchError(f"the answer is larger than {limit} bytes.")
    if gunzip is not None and received and not gunzip.eof:
        raise FetchError("the packed answer ended before it was complete.")
    return bytes(body)


def _unpack(gunzip: "zlib._Decompress", piece: bytes, most: int) -> bytes:
    try:
        unpacked = gunzip.decompress(piece, most)
    except zlib.error as error:
        raise FetchError("the answer is not packed the way it says.") from error
    if gunzip.unused_data:
        raise FetchError("something follows the packed answer.")
    return unpacked


def _reason(error: Exception, read_timeout: float) -> str:
    """Say what went wrong without quoting the library, whose texts repeat the whole URL."""
    chain = set(_chain(error))
    if "ConnectTimeout" in chain or "ConnectTimeoutError" in chain:
        return "no connection in time"
    if "SSLCertVerificationError" in chain or "CertificateError" in chain:
        return "the server's certificate is not valid for it"
    if chain & {"SSLError", "SSLEOFError"}:
        return "TLS could not be agreed on"
    if chain & {"ReadTimeout", "ReadTimeoutError", "TimeoutError"}:
        return f"no answer for {read_timeout:g} s"
    return "the connection ended before the answer was complete"


def _chain(error: BaseException) -> list[str]:
    names: list[str] = []
    pending: list[BaseException] = [error]
    while pending and len(names) < 32:
        current = pending.pop()
        names.append(type(current).__name__)
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        pending.extend(item for item in inner if isinstance(item, BaseException))
    return names
