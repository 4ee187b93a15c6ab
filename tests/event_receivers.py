"""Receivers of events on loopback: HTTP servers that do what a test wants, and a real NATS server."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from database_servers import free_port, missing

PATIENCE = 60.0


@dataclass(frozen=True)
class Call:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as a value."""
        return json.loads(self.body)


class Receiver:
    """An HTTP server that answers with ``statuses`` in turn, the last one for ever; 0 means never to answer."""

    def __init__(self, *statuses: int) -> None:
        self.calls: list[Call] = []
        self._statuses = list(statuses) or [200]
        self._came = threading.Condition()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        """The address to call."""
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def wait(self, calls: int) -> list[Call]:
        """Wait until so many requests have come."""
        with self._came:
            came = self._came.wait_for(lambda: len(self.calls) >= calls, PATIENCE)
            assert came, f"{len(self.calls)} of {calls} came"
            return list(self.calls)

    def answer(self, *statuses: int) -> None:
        """Answer with these from now on."""
        self._statuses = list(statuses)

    def release(self) -> None:
        """Let go of those that are kept waiting, without an answer."""
        self._released.set()

    def close(self) -> None:
        """Stop it."""
        self.release()
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver._came:
                    status = receiver._statuses[0] if len(receiver._statuses) == 1 else receiver._statuses.pop(0)
                    received = {name.lower(): value for name, value in self.headers.items()}
                    receiver.calls.append(Call(self.path, received, body))
                    receiver._came.notify_all()
                if status == 0:
                    receiver._released.wait(PATIENCE)
                    return
                with suppress(OSError):
                    self.send_response(status)
                    self.send_header("location", "/elsewhere")
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler


@contextmanager
def receiving() -> Iterator[Callable[..., Receiver]]:
    """Make receivers that are stopped at the end."""
    made: list[Receiver] = []

    def make(*statuses: int) -> Receiver:
        made.append(Receiver(*statuses))
        return made[-1]

    try:
        yield make
    finally:
        for receiver in made:
            receiver.close()


class NatsServer:
    """A real ``nats-server`` on loopback that can be stopped and started again."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options: Sequence[str] = options
        self._directory = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The address of the server."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [_nats_program(), "-a", "127.0.0.1", "-p", str(self.port), *self._options]
        with (Path(self._directory.name) / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                assert probe.recv(5) == b"INFO "
                return
            assert self._process.poll() is None, (Path(self._directory.name) / "log").read_text()
            threading.Event().wait(0.05)
        raise AssertionError("nats-server does not answer")

    def stop(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def close(self) -> None:
        """Stop it and forget its files."""
        self.stop()
        self._directory.cleanup()


class NatsListener:
    """Subscribes to a subject in NATS' own protocol, without the client that is tested."""

    def __init__(self, server: NatsServer, subject: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(f'CONNECT {{"verbose":false}}\r\nSUB {subject} 1\r\nPING\r\n'.encode())
        while self._file.readline() != b"PONG\r\n":
            pass

    def next(self) -> Any:
        """Wait for a message without headers; return its JSON."""
        while True:
            line = self._file.readline()
            if line.startswith(b"PING"):
                self._socket.sendall(b"PONG\r\n")
            elif line.startswith(b"MSG "):
                body = self._file.read(int(line.split()[-1]))
                self._file.readline()
                return json.loads(body)
            else:
                raise AssertionError(line)

    def close(self) -> None:
        """Go."""
        self._file.close()
        self._socket.close()


def _nats_program() -> str:
    found = shutil.which("nats-server")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for step in (["update"], ["install", "-y", "--no-install-recommends", "nats-server"]):
            subprocess.run(
                ["apt-get", "-q", *step],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdout=subprocess.DEVNULL,
                check=False,
            )
        found = shutil.which("nats-server")
    if found is None:
        missing("NATS", "there is no nats-server; install the package nats-server")
    assert found is not None
    return found
