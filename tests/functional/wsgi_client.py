"""Asks a WSGI application the way gunicorn does, and refuses what gunicorn would refuse to send."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from wsgiref.types import WSGIApplication

from gunicorn.http.message import TOKEN_RE
from gunicorn.http.wsgi import HEADER_VALUE_RE
from gunicorn.util import unquote_to_wsgi_str


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self):
        """The body as a value."""
        return json.loads(self.body)


class Chunked(io.BytesIO):
    """A body without a declared length; remembers how much of it was read."""

    consumed = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read and count."""
        chunk = super().read(size)
        self.consumed += len(chunk)
        return chunk


class Client:
    """Drives one application in process."""

    def __init__(self, app: WSGIApplication) -> None:
        """Take the application."""
        self._app = app

    def get(self, target: str, **options) -> Answer:
        """Ask with GET."""
        return self.ask("GET", target, **options)

    def post(self, target: str, body: bytes | io.BytesIO = b"", **options) -> Answer:
        """Ask with POST."""
        return self.ask("POST", target, body=body, **options)

    def ask(
        self,
        method: str,
        target: str,
        *,
        body: bytes | io.BytesIO = b"",
        headers: Mapping[str, str] | None = None,
        environ: Mapping[str, object] | None = None,
    ) -> Answer:
        """Ask; ``target`` is the request line's, raw bytes in it as latin-1."""
        started = []

        def start_response(status, headers, exc_info=None):
            started.append((status, headers))
            return lambda _chunk: None

        content = self._app({**_environ(method, target, body, headers or {}), **(environ or {})}, start_response)
        answered = b"".join(content)
        status, sent = started[-1]
        for name, value in sent:
            assert TOKEN_RE.fullmatch(name), name
            assert HEADER_VALUE_RE.fullmatch(value), (name, value)
        return Answer(int(status[:3]), {name.lower(): value for name, value in sent}, answered)


def _environ(method: str, target: str, body: bytes | io.BytesIO, headers: Mapping[str, str]) -> dict[str, object]:
    path, _, query = target.partition("?")
    environ: dict[str, object] = {
        "REQUEST_METHOD": method,
        "RAW_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_wsgi_str(path),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8080",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body if isinstance(body, io.BytesIO) else io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    if isinstance(body, bytes) and body:
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
    return environ
