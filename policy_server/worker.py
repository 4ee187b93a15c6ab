"""gunicorn's thread worker, in which nobody who is slow can keep calls waiting.

gunicorn gives every connection a thread as soon as it is accepted. Whoever
connects and says nothing, sends a request bit by bit, or asks for something
that takes long, would thus take threads away from Pexip's requests. Here the
main loop collects the head of a request first, without waiting for anybody;
only then the request gets a thread, and calls have threads of their own.
"""

import errno
import json
import re
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Final

from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.http import errors as wrong  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

HEAD_TIME: Final = 10.0
"""How long the head of a request may take from its first byte to its last, in seconds."""

BODY_TIME: Final = 30.0
"""How long a body may take, in seconds."""

SEND_TIME: Final = 60.0
"""How long a client may take to read an answer, in seconds."""

CLOSE_TIME: Final = 2.0
"""How long a client may take to read the end of its last answer, and to finish when the worker stops."""

LONGEST_HEAD: Final = 256 << 10
"""How many bytes are collected; a longer head is refused by the one who reads it, or is no call."""

WAITING: Final = 64
"""How many requests that are no calls may wait for each thread; more are refused."""

_UNREADABLE: Final = (
    (wrong.LimitRequestLine, 414, "URI Too Long", "the request line is longer than 8190 bytes"),
    (
        wrong.LimitRequestHeaders,
        431,
        "Request Header Fields Too Large",
        "a header is longer than 16380 bytes, or over 200",
    ),
    (
        wrong.InvalidRequestLine,
        400,
        "Bad Request",
        "the request line is not HTTP; bytes outside ASCII are written as %XX",
    ),
    (wrong.InvalidRequestMethod, 400, "Bad Request", "the method is not one of HTTP"),
    (wrong.InvalidHTTPVersion, 400, "Bad Request", "the version is neither HTTP/1.0 nor HTTP/1.1"),
    (wrong.UnsupportedTransferCoding, 501, "Not Implemented", "of transfer codings only chunked is understood"),
    (wrong.ExpectationFailed, 417, "Expectation Failed", "only 100-continue can be expected"),
    (wrong.ParseException, 400, "Bad Request", "a header or the body's framing cannot be read"),
)
"""What gunicorn cannot read, and what its sender hears; the first that fits counts."""

_OURS: Final = (wrong.InvalidResponseHeader, wrong.InvalidResponseHeaderName, wrong.ConfigurationProblem)
"""What gunicorn counts among them, but is no fault of the sender."""

_END: Final = b"\r\n\r\n"
_CALL: Final = re.compile(rb"GET [^ ?]*/policy/v1/|GET /live(z|ness)[ ?]")
_PROBE: Final = re.compile(rb"GET /(readyz|readiness|health|metrics)[ ?]")
_BODY: Final = re.compile(rb"\r\n(content-length:[ \t]*(?!0+[ \t]*\r)|transfer-encoding:)", re.IGNORECASE)
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class QuietLogger(Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's logger without its access lines: ours hold no query strings, and cost less."""

    def access(self, resp: object, req: object, environ: object, request_time: object) -> None:
        """Say nothing."""


class Lane:
    """Threads for one sort of requests, and how many of those there are."""

    def __init__(self, name: str, threads: int, *, most: int | None = None) -> None:
        """Begin without threads; they come with the requests. ``most`` requests are taken at a time."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = most
        self._taken = 0

    def is_full(self) -> bool:
        """Tell whether another request would wait too long."""
        return self._most is not None and self._taken >= self._most

    def submit(self, work: Callable[["Connection"], object], connection: "Connection") -> Future[object]:
        """Give a request to a thread; from the main loop only."""
        self._taken += 1
        return self._pool.submit(work, connection)

    def done(self) -> None:
        """Count a request out; from the main loop only."""
        self._taken -= 1

    def shutdown(self) -> None:
        """Take no more; nobody waits for those under way."""
        self._pool.shutdown(wait=False)


class Lanes:
    """Sorts requests: calls, probes, and everything else."""

    def __init__(self, threads: int) -> None:
        """Give calls their threads, and everything else as many of its own."""
        self.calls = Lane("calls", threads)
        self.probes = Lane("probes", 2, most=2 * WAITING)
        self.others = Lane("others", threads, most=threads * WAITING)

    def choose(self, head: bytes) -> Lane:
        """Return where a request belongs.

        A call has no body: who sends one can be slow about it.
        """
        if len(head) > LONGEST_HEAD or _BODY.search(head):
            return self.others
        if _CALL.match(head):
            return self.calls
        return self.probes if _PROBE.match(head) else self.others

    def shutdown(self, *, wait: bool) -> None:  # noqa: ARG002 - gunicorn's worker says it
        """Take no more."""
        for lane in (self.calls, self.probes, self.others):
            lane.shutdown()


class Incoming(SocketUnreader):  # type: ignore[misc] # gunicorn has no types
    """What a client sends, until its time is up."""

    def __init__(self, sock: socket.socket) -> None:
        """Read from a socket."""
        super().__init__(sock)
        self.until = 0.0

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return what comes next; TimeoutError when it comes too late."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long to arrive")
        self.sock.settimeout(left)
        try:
            data: bytes = super().chunk(size_hint)
        finally:
            self.sock.settimeout(SEND_TIME)
        return data


class Connection(TConn):  # type: ignore[misc] # gunicorn has no types
    """A client, with what it has sent of its next request."""

    def __init__(
        self, cfg: Config, sock: socket.socket, client: object, server: object, leave: Callable[["Connection"], None]
    ) -> None:
        """Take the socket, and who sees to it that the client can read the end."""
        super().__init__(cfg, sock, client, server)
        self._leave = leave
        self.head = bytearray()
        self.lane: Lane | None = None

    def collect(self) -> bool:
        """Read what is there; True when the head is complete, or nothing more will come."""
        if self.initialized:
            # Sent along with the request before.
            self.head += self.parser.unreader.take_buffered()
        while not self._complete():
            try:
                data = self.sock.recv(1 << 16)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError:
                data = b""
            if not data:
                return True
            if not self.head:
                self.timeout = time.monotonic() + HEAD_TIME
            self.head += data
        return True

    def begin(self) -> None:
        """Hand what was collected to the parser."""
        if not self.initialized:
            self.init()
            self.parser.unreader = Incoming(self.sock)
        self.parser.unreader.unread(bytes(self.head))
        self.head.clear()
        self.data_ready = True

    def close(self, graceful: bool = False) -> None:
        """Close; gracefully means that the client gets the time to read what it was sent."""
        if graceful:
            self._leave(self)
        else:
            super().close()

    def _complete(self) -> bool:
        return _END in self.head or len(self.head) > LONGEST_HEAD


class RequestWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's thread worker with lanes, and errors in our shape where it refuses a request itself."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Take what gunicorn gives."""
        super().__init__(*args, **kwargs)
        self._leaving: deque[Connection] = deque()
        self._next_look = 0.0

    def get_thread_pool(self) -> Lanes:
        """Make the lanes."""
        return Lanes(self.cfg.threads)

    def accept(self, listener: socket.socket) -> None:
        """Welcome a client."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in _FULL:
                self._make_room()
            return  # somebody else was faster, or the client has gone
        self.nr_conns += 1
        self.enqueue_req(Connection(self.cfg, client, address, listener.getsockname(), self._leave))

    def enqueue_req(self, conn: Connection) -> None:
        """Give the next request of a client to its lane, now or when its head has come."""
        conn.sock.settimeout(0)
        conn.timeout = time.monotonic() + (self.cfg.keepalive if self.alive else CLOSE_TIME)
        if conn.collect():
            self._dispatch(conn)
            return
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def on_pending_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """Read on."""
        if conn.collect():
            self.poller.unregister(client)
            self.pending_conns.remove(conn)
            self._dispatch(conn)

    def handle(self, conn: Connection) -> object:
        """Answer a request, in a thread of its lane."""
        conn.parser.unreader.until = time.monotonic() + BODY_TIME
        return super().handle(conn)

    def handle_request(self, req: object, conn: Connection) -> bool:
        """Answer a request whose head was read."""
        conn.sock.settimeout(SEND_TIME)
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError:
            self.log.debug("a client was too slow")
            return False

    def finish_request(self, conn: Connection, fs: Future[object]) -> None:
        """Count a request out, in the main loop."""
        if conn.lane is not None:
            conn.lane.done()
            conn.lane = None
        super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Close, about once a second, the connections whose time is up."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + 0.5
        for conn in [each for each in self.pending_conns if each.timeout <= now]:
            self.pending_conns.remove(conn)
            self._drop(conn)
            self.nr_conns -= 1
        while self._leaving and self._leaving[0].timeout <= now:
            self._drop(self._leaving.popleft())
        if not self.alive:
            for conn in self.pending_conns:
                # Nothing was asked yet, so nobody waits for an answer.
                conn.timeout = conn.timeout if conn.head else min(conn.timeout, now + CLOSE_TIME)

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: Exception) -> None:
        """Answer what cannot be read as a problem document; leave the rest to gunicorn."""
        for kind, status, title, detail in _UNREADABLE:
            if isinstance(exc, kind) and not isinstance(exc, _OURS):
                # SECURITY: gunicorn's own words quote lines and headers, and with them aliases and passwords.
                self.log.warning("refused a request that cannot be read: %s", detail)
                _refuse(client, status, title, detail, "too-large" if status in {414, 431} else "bad-request")
                return
        super().handle_error(req, client, addr, exc)

    def _dispatch(self, conn: Connection) -> None:
        head = bytes(conn.head)
        lane = self.tpool.choose(head)
        if lane.is_full():
            _refuse_busy(conn.sock, head)
            self.nr_conns -= 1
            conn.close(graceful=True)
            return
        conn.begin()
        conn.lane = lane
        future = lane.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def _leave(self, conn: Connection) -> None:
        """Say that nothing more comes, and close when the client has read it or its time is up."""
        try:
            conn.sock.settimeout(0)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self._on_leaving, conn))
        except (OSError, KeyError, ValueError):
            conn.close()
            return
        conn.timeout = time.monotonic() + CLOSE_TIME
        self._leaving.append(conn)

    def _on_leaving(self, conn: Connection, client: socket.socket) -> None:
        """Read to the end what a leaving client still sends; closing before would lose its last answer."""
        try:
            if client.recv(1 << 16):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass  # it has closed the hard way
        self._leaving.remove(conn)
        self._drop(conn)

    def _make_room(self) -> None:
        """Close the connection that has been idle longest: no more can be opened."""
        idle = self.pending_conns or self.keepalived_conns
        if not idle:
            time.sleep(0.01)
            return
        self._drop(idle.popleft())
        self.nr_conns -= 1

    def _drop(self, conn: Connection) -> None:
        with suppress(OSError, KeyError, ValueError):  # it was not registered any more
            self.poller.unregister(conn.sock)
        conn.close()


def _refuse(client: socket.socket, status: int, title: str, detail: str, kind: str = "too-large") -> None:
    document = {"type": f"/problems/{kind}", "title": title, "status": status, "detail": detail}
    _send(client, status, title, "application/problem+json", document)


def _refuse_busy(client: socket.socket, head: bytes) -> None:
    """Answer that there is too much to do, in the shape of the policy service or as a problem."""
    detail = "too many requests are waiting; try again later"
    target = head.split(b" ", 2)[1:2]
    if target and target[0].startswith((b"/policy/", b"/v1/")):
        document = {"id": secrets.token_hex(8), "kind": 8, "message": detail}
        _send(client, 503, "Service Unavailable", "application/json", document)
    else:
        _refuse(client, 503, "Service Unavailable", detail, "busy")


def _send(client: socket.socket, status: int, title: str, media: str, document: dict[str, object]) -> None:
    body = json.dumps(document)
    wait = "Retry-After: 1\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {title}\r\nConnection: close\r\n{wait}"
        f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        client.sendall((head + body).encode("latin-1"))
    except OSError:
        return  # the caller has gone; there is nobody to tell
