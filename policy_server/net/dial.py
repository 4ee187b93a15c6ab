"""How requests get connected: to checked addresses, until a deadline.

The HTTP library keeps the host name for the Host header, for SNI and for the
certificate; only the step that opens the socket is ours.
"""

import os
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from urllib3.connection import HTTPConnection, HTTPSConnection

from policy_server.model.errors import FetchError
from policy_server.net.guard import NetworkGuard


class Dial:
    """Opens the sockets of one request and cuts them at its deadline.

    A time-out per read does not stop a server that sends one byte a second;
    a timer that shuts the socket down does, in every phase.
    """

    def __init__(
        self, guard: NetworkGuard, *, seconds: float, connect_timeout: float, elapsed: Callable[[], float]
    ) -> None:
        """Keep the limits; the time starts on entering the context."""
        self._guard = guard
        self._seconds = seconds
        self._connect_timeout = connect_timeout
        self._elapsed = elapsed
        self._ends = 0.0
        self._twins: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self.expired = False

    def __enter__(self) -> Self:
        """Start the time."""
        self._ends = self._elapsed() + self._seconds
        self._timer = threading.Timer(self._seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the time and forget the sockets."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        for twin in self._twins:
            twin.close()

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a socket connected to the first checked address that answers."""
        addresses = self._guard.addresses(host, port, timeout=self._left())
        failure: OSError | None = None
        for address in addresses:
            try:
                return self._open(address, port)
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise FetchError("no connection in time.") from failure
        if isinstance(failure, ConnectionRefusedError):
            raise FetchError("the connection was refused.") from failure
        raise FetchError("there is no connection to that address.") from failure

    def _open(self, address: str, port: int) -> socket.socket:
        timeout = min(self._connect_timeout, self._left())
        if timeout <= 0:
            raise TimeoutError
        opened = socket.create_connection((address, port), timeout)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            # NOTE: a duplicate, because TLS takes the original's descriptor over; shutting down either ends both.
            self._twins.append(socket.socket(fileno=os.dup(opened.fileno())))
            late = self.expired
        if late:
            opened.close()
            raise TimeoutError
        return opened

    def _left(self) -> float:
        return self._ends - self._elapsed()

    def _cut(self) -> None:
        with self._lock:
            self.expired = True
            for twin in self._twins:
                try:
                    twin.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side was faster


def connection_types(dial: Dial) -> tuple[type[HTTPConnection], type[HTTPSConnection]]:
    """Return connection classes for http and https that open their sockets through a dial."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return dial.connect(self._dns_host, self.port)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return dial.connect(self._dns_host, self.port)

    return Plain, Secure
