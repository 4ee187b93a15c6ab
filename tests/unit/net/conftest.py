"""Servers that misbehave, on loopback."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

Script = Callable[[socket.socket, threading.Event], None]
TLS = Path(__file__).parent / "tls"


class Servers:
    """Servers that run a script on each connection."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._listeners: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def run(self, script: Script, *, tls: bool = False) -> int:
        """Start one; returns its port."""
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=self._accept, args=(listener, script, tls))
        self._listeners.append(listener)
        self._threads.append(thread)
        thread.start()
        return int(listener.getsockname()[1])

    def answer(self, head: str, body: bytes = b"", *, tls: bool = False) -> int:
        """Start one that reads a request and answers it; returns its port."""

        def script(connection: socket.socket, _stop: threading.Event) -> None:
            connection.recv(65536)
            connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

        return self.run(script, tls=tls)

    def close(self) -> None:
        """Stop all of them."""
        self._stop.set()
        for listener in self._listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self, listener: socket.socket, script: Script, tls: bool) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
        with suppress(OSError):
            while True:
                raw, _ = listener.accept()
                with raw, suppress(OSError):
                    connection = context.wrap_socket(raw, server_side=True) if tls else raw
                    with connection:
                        script(connection, self._stop)


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Give a test servers on loopback that do what it wants."""
    made = Servers()
    yield made
    made.close()
