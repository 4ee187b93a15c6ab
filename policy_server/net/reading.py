"""Reading an answer's body within a limit, and telling why there is none.

Messages show scheme, host, port and path of a URL, never its user, password,
query or fragment, and never the text of the HTTP library, which repeats them.
"""

import zlib
from typing import Final
from urllib.parse import urlsplit

from urllib3.response import BaseHTTPResponse

from policy_server.model.errors import FetchError

_CHUNK: Final = 64 * 1024


def shown(url: str) -> str:
    """Return what of a URL may be shown."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def refuse_announced(raw: BaseHTTPResponse, limit: int) -> None:
    """Raise FetchError when the answer says itself that it is too large."""
    announced = raw.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)


def read_body(raw: BaseHTTPResponse, limit: int, *, packed: bool) -> bytes:
    """Read a body piece by piece, unpacking gzip when it is ``packed``; never more than the limit plus one piece.

    ``limit`` is in bytes, and counts both as received and as unpacked. FetchError when
    there is more, or when it is not packed the way it says.
    """
    gunzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if packed else None
    body = bytearray()
    received = 0
    while piece := raw.read1(_CHUNK, decode_content=False):
        received += len(piece)
        # SECURITY: unpacked to one byte past the limit at most, however much the piece promises.
        body += piece if gunzip is None else _unpack(gunzip, piece, limit - len(body) + 1)
        if received > limit or len(body) > limit:
            raise _too_large(limit)
    if gunzip is not None and received and not gunzip.eof:
        raise FetchError("the packed answer ended before it was complete.")
    return bytes(body)


def reason(error: Exception, read_timeout: float) -> str:
    """Say what went wrong without quoting the library; ``read_timeout`` is in seconds."""
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


def _too_large(limit: int) -> FetchError:
    return FetchError(f"the answer is larger than {limit} bytes.")


def _unpack(gunzip: "zlib._Decompress", piece: bytes, most: int) -> bytes:
    try:
        unpacked = gunzip.decompress(piece, most)
    except zlib.error as error:
        raise FetchError("the answer is not packed the way it says.") from error
    if gunzip.unused_data:
        raise FetchError("something follows the packed answer.")
    return unpacked


def _chain(error: BaseException) -> list[str]:
    names: list[str] = []
    pending: list[BaseException] = [error]
    while pending and len(names) < 32:
        current = pending.pop()
        names.append(type(current).__name__)
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        pending.extend(item for item in inner if isinstance(item, BaseException))
    return names
