"""A source of data and a receiver of webhooks that let a worker be killed in the middle of a call."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

_PADDING: Final = "x" * 20_000


class Phase(StrEnum):
    """How far a call has come: it is there, half of the answer is sent, all of it is."""

    RECEIVED = "received"
    HALF = "half answered"
    ANSWERED = "answered"


class Peer:
    """An HTTP server on loopback; ``arm`` chooses the phase in which ``strike`` is told the caller's port."""

    def __init__(self) -> None:
        self._armed: tuple[Phase, Callable[[int], None]] | None = None
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """The address to call."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def arm(self, phase: Phase, strike: Callable[[int], None]) -> None:
        """Strike once, at the next call."""
        with self._lock:
            self._armed = (phase, strike)

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def answer(self, headers: dict[str, str], body: bytes) -> bytes:
        """Take a call and return the body of its answer."""
        raise NotImplementedError

    def _disarm(self) -> tuple[Phase | None, Callable[[int], None]]:
        with self._lock:
            armed, self._armed = self._armed, None
        return armed or (None, lambda _port: None)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = peer.answer({name.lower(): value for name, value in self.headers.items()}, body)
                phase, strike = peer._disarm()
                port = self.client_address[1]
                with suppress(OSError):
                    if phase is Phase.RECEIVED:
                        strike(port)
                    self.send_response(200)
                    self.send_header("content-length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer[: len(answer) // 2])
                    if phase in {Phase.HALF, Phase.ANSWERED}:
                        # What was answered is struck at what the worker does next: see the one who strikes.
                        strike(port)
                    self.wfile.write(answer[len(answer) // 2 :])

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler


class Source(Peer):
    """Serves new data at each call: ``{"n": 7, "again": 7}``."""

    def __init__(self) -> None:
        self.served = 0
        super().__init__()

    def answer(self, headers: dict[str, str], body: bytes) -> bytes:
        """Count up; both members tell whether a document is whole."""
        with self._lock:
            self.served += 1
            return json.dumps({"n": self.served, "padding": _PADDING, "again": self.served}).encode()


class Hook(Peer):
    """Notes the ids of what it is told."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        super().__init__()

    def answer(self, headers: dict[str, str], body: bytes) -> bytes:
        """Take an event."""
        with self._lock:
            self.ids.append(headers["webhook-id"])
        return b"thank you " * 100

    def duplicates(self) -> int:
        """Return how many calls repeated one before."""
        with self._lock:
            return len(self.ids) - len(set(self.ids))
