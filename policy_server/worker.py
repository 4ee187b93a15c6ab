"""gunicorn's thread worker, answering in our shape what gunicorn refuses by itself."""

import json
import socket

from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]


class QuietLogger(Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's logger without its access lines: ours hold no query strings, and cost less."""

    def access(self, resp: object, req: object, environ: object, request_time: object) -> None:
        """Say nothing."""


class RequestWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's thread worker, with errors in our shape where it refuses a request itself."""

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: Exception) -> None:
        """Answer an oversized line or header as a problem document; leave the rest to gunicorn."""
        if isinstance(exc, LimitRequestLine):
            _refuse(client, 414, "URI Too Long", "the request line is longer than 8190 bytes")
        elif isinstance(exc, LimitRequestHeaders):
            _refuse(client, 431, "Request Header Fields Too Large", "a header is longer than 16380 bytes, or over 200")
        else:
            super().handle_error(req, client, addr, exc)


def _refuse(client: socket.socket, status: int, title: str, detail: str) -> None:
    body = json.dumps({"type": "/problems/too-large", "title": title, "status": status, "detail": detail})
    head = (
        f"HTTP/1.1 {status} {title}\r\nConnection: close\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        client.sendall((head + body).encode("latin-1"))
    except OSError:
        return  # the caller has gone; there is nobody to tell
