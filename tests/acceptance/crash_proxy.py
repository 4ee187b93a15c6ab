"""Stands between a server and its database, and kills the server's worker at a chosen request."""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

from acceptance_server import processes
from crash_wire import Reader, Request

_PIECE: Final = 1 << 16
_LISTENING: Final = 0.2
_KILLING: Final = 60.0


class When(StrEnum):
    """Whether the database still gets the request at which a worker dies; it never gets the answer."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Span:
    """Which requests belong to an operation; it begins and ends with those whose label contains these words."""

    counts: Callable[[str], bool]
    begins: str = ""
    ends: str = ""


@dataclass
class Trap:
    """Counts the requests of an operation and kills whoever sends the chosen one; shared by several proxies.

    What other processes send meanwhile, or help with, is not counted: whoever sends the first request is meant.
    """

    kill: Callable[[int], None]
    fired: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    seen: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _span: Span | None = None
    _hit: bool = False
    _sender: int = 0
    _label: str = ""
    _number: int = 0
    _when: When = When.BEFORE

    def arm(self, span: Span, number: int = 0, when: When = When.BEFORE, *, label: str = "", sender: int = 0) -> None:
        """Count from now on, and kill at the ``number``-th request whose label contains this one; 0 only counts."""
        self.reset()
        with self._lock:
            self._span, self._number, self._when = span, number, when
            self._label, self._sender = label, sender

    def reset(self) -> None:
        """Forget what was counted, and let everything pass."""
        with self._lock:
            self._span, self._sender = None, 0
            self._hit = False
            self.seen = []
            self.fired.clear()
            self.over.clear()

    def disarm(self) -> bool:
        """Let everything pass; tell whether somebody was killed, once that is over."""
        with self._lock:
            self._span = None
            hit = self._hit
        assert not hit or self.fired.wait(_KILLING), "who was to be killed was not; see the traceback above"
        return hit

    def verdict(self, label: str, sender: Callable[[], int]) -> When | None:
        """Count a request; say when to kill its sender, if at all."""
        with self._lock:
            span = self._span
            if span is None or not span.counts(label) or not (self.seen or span.begins in label):
                return None
            pid = sender()
            self._sender = self._sender or pid
            if pid != self._sender:
                return None
            self.seen.append(label)
            if self._label in label and sum(self._label in each for each in self.seen) == self._number:
                self._span, self._hit = None, True
                return self._when
            if span.ends and span.ends in label:
                self._span = None
                self.over.set()
            return None

    def spring(self, pid: int) -> None:
        """Kill a process now."""
        with self._lock:
            self._hit = True
        self.kill(pid)
        self.fired.set()


class Proxy:
    """Passes bytes between one server and a database on loopback; a thread for each connection."""

    def __init__(self, database: int, reader: Callable[[], Reader], trap: Trap) -> None:
        """Take the port of the database, who cuts its protocol, and the trap to ask."""
        self._database = database
        self._reader = reader
        self._trap = trap
        self._stop = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(_LISTENING)
        self._threads = [threading.Thread(target=self._listen, daemon=True)]

    @property
    def port(self) -> int:
        """Where to connect to."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Accept connections."""
        self._threads[0].start()

    def close(self) -> None:
        """Cut everything."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        self._socket.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                client, (_, port) = self._socket.accept()
                thread = threading.Thread(target=self._serve, args=(client, port), daemon=True)
                self._threads = [each for each in self._threads if each.is_alive()] + [thread]
                thread.start()

    def _serve(self, client: socket.socket, port: int) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._database)) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader, sender = self._reader(), cache(lambda: owner(port, self.port))
            while not self._stop.is_set():
                ready, _, _ = select.select([client, server], [], [], _LISTENING)
                if server in ready and not _pass(server, client):
                    return
                if client in ready and not self._forward(client, server, reader, sender):
                    return

    def _forward(self, client: socket.socket, server: socket.socket, reader: Reader, sender: Callable[[], int]) -> bool:
        raw = client.recv(_PIECE)
        return bool(raw) and all(self._send(request, server, sender) for request in reader.take(raw))

    def _send(self, request: Request, server: socket.socket, sender: Callable[[], int]) -> bool:
        """Send a request on; False when its sender was killed."""
        when = self._trap.verdict(request.label, sender)
        if when is not When.BEFORE:
            server.sendall(request.raw)
        if when is None:
            return True
        if when is When.AFTER:
            server.recv(_PIECE)  # it has been done; nobody will read that
        self._trap.spring(sender())
        return False


def _pass(source: socket.socket, target: socket.socket) -> bool:
    raw = source.recv(_PIECE)
    target.sendall(raw)
    return bool(raw)


def owner(port: int, to: int) -> int:
    """Return which process holds the connection from one port of the loopback to another; 0 when none does."""
    inode = _inode(port, to)
    for pid in processes() if inode else ():
        with suppress(OSError):
            for link in Path("/proc", str(pid), "fd").iterdir():
                with suppress(OSError):
                    if str(link.readlink()) == f"socket:[{inode}]":
                        return pid
    return 0


def _inode(*ports: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        # NOTE: both ends, because one port may be used for connections to several others.
        if tuple(int(end.rpartition(":")[2], 16) for end in fields[1:3]) == ports and fields[9] != "0":
            return fields[9]
    return ""
