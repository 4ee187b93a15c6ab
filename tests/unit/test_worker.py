"""A client that is slow costs calls nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CALL = b"GET /some/prefix/policy/v1/service/configuration?x=1 HTTP/1.1\r\nHost: x\r\n\r\n"
BLOCK = b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n"
THREADS = 2


class Front:
    """One gunicorn with one worker of ours."""

    def __init__(self, directory: Path) -> None:
        """Start it on a port it was given by the system."""
        self.gate = directory / "gate"
        self.log = directory / "log"
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(listener.getsockname()[1])
        command = [
            sys.executable, "-P", "-m", "gunicorn", "--workers", "1", "--threads", str(THREADS), "--no-control-socket",
            "--worker-class", "policy_server.worker.RequestWorker", "--bind", f"fd://{listener.fileno()}",
            "--graceful-timeout", "15",
            "--log-level", "warning", "--log-file", str(self.log), "--pythonpath", str(HERE),
            "worker_app:application",
        ]  # fmt: skip
        environ = os.environ | {"WORKER_APP_GATE": str(self.gate)}
        self.process = subprocess.Popen(command, env=environ, pass_fds=[listener.fileno()])
        listener.close()
        self.clients: list[socket.socket] = []

    def connect(self, said: bytes = b"") -> socket.socket:
        """Open a connection and say something."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.clients.append(client)
        client.sendall(said)
        return client

    def stop(self) -> int:
        """Stop it in its way; return how it ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """A running worker."""
    front = Front(tmp_path)
    yield front
    front.gate.touch()
    for client in front.clients:
        client.close()
    if front.process.poll() is None:
        front.process.kill()
        front.process.wait()


def answer(client: socket.socket) -> bytes:
    """Return one answer with its body."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += receive(client)
    head, _, body = said.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-le"))
    while len(body) < length:
        body += receive(client)
    return head + b"\r\n\r\n" + body


def receive(client: socket.socket) -> bytes:
    """Return what came; an end is no answer."""
    data = client.recv(65536)
    assert data, "the connection was closed"
    return data


def is_answered(front: Front) -> bool:
    """Tell whether calls, and the probe of life, still get their answers."""
    for _ in range(2 * THREADS):
        with front.connect(CALL) as client:
            if b" 200 " not in answer(client):
                return False
    with front.connect(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        return b" 200 " in answer(client)


@pytest.mark.parametrize(
    "said",
    [
        BLOCK,
        b"",
        CALL[:-2],
        b"GET /policy/v1/registrations HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * (300 << 10),
    ],
    ids=["endless", "idle", "slow head", "call with body", "slow body", "slow chunks", "long head"],
)
def test_calls_are_answered_beside_slow_clients(front: Front, said: bytes) -> None:
    """However many there are, and whatever they are slow with."""
    slow = [front.connect(said) for _ in range(5 * THREADS)]

    assert is_answered(front)
    assert len(slow) == 5 * THREADS


def test_clients_that_do_not_close_do_not_hold_the_loop(front: Front) -> None:
    """Each had two seconds in which nobody else was heard."""
    leaving = [front.connect(CALL[:-2] + b"Connection: close\r\n\r\n") for _ in range(20)]
    for client in leaving:
        assert b" 200 " in answer(client)

    with front.connect(CALL) as client:
        assert b" 200 " in answer(client)


def test_a_head_that_comes_too_slowly_is_cut_off(front: Front) -> None:
    """However steadily it drips."""
    client = front.connect(CALL[:-2])
    client.settimeout(0.02)
    until = time.monotonic() + 20
    said = None
    while said is None and time.monotonic() < until:
        try:
            client.sendall(b"X: y\r\n")
            said = client.recv(1)
        except TimeoutError:
            continue
        except ConnectionError:
            said = b""
    assert said == b""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"GET /a?b=\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/7.0\r\nHost: x\r\n\r\n", b"400"),
        (b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : secret\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: secret\x00\r\n\r\n", b"400"),
        (b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: secret\r\n\r\n", b"501"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
    ],
    ids=["bytes", "no request", "version", "method", "blank", "header", "coding", "long line", "long header"],
)
def test_what_is_not_http_is_refused_as_a_problem(front: Front, said: bytes, expected: bytes) -> None:
    """In one shape, and nothing of what was sent comes back or reaches the log."""
    reply = answer(front.connect(said))

    assert expected == reply.split(b" ")[1]
    assert b"application/problem+json" in reply
    assert b"secret" not in reply
    assert "cannot be read" in front.log.read_text()
    assert "secret" not in front.log.read_text()


def test_a_body_that_comes_too_slowly_is_refused(front: Front) -> None:
    """Its thread is free again."""
    client = front.connect(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")

    assert b" 408 " in answer(client)
    assert client.recv(1) == b""


def test_more_than_can_wait_is_refused_at_once(front: Front) -> None:
    """With a word on when to come back; calls are still answered."""
    waiting = [front.connect(BLOCK) for _ in range(THREADS * 64)]
    assert is_answered(front)  # so everything before has arrived

    with front.connect(b"POST /policy/a/b/c/1/evaluation HTTP/1.1\r\nHost: x\r\n\r\n") as late:
        refused = answer(late)
    assert b" 503 " in refused
    assert b"Retry-After: 1" in refused
    assert b'"kind": 8' in refused
    with front.connect(b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n") as late:
        assert b"/problems/busy" in answer(late)
    assert is_answered(front)
    front.gate.touch()
    assert all(b" 200 " in answer(client) for client in waiting)
    with front.connect(b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n") as later:
        assert b" 200 " in answer(later)


def test_requests_in_pieces_and_in_one_are_told_apart(front: Front) -> None:
    """Byte by byte, two at once, and one after the other on the same connection."""
    with front.connect() as client:
        for byte in CALL:
            client.sendall(bytes([byte]))
        assert answer(client).endswith(b"configuration")
        client.sendall(CALL + b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" + CALL[:20])
        both = b""
        while not both.endswith(b"/read"):
            both += receive(client)
        assert both.count(b" 200 OK") == 2
        client.sendall(CALL[20:])
        assert answer(client).endswith(b"configuration")


def test_a_stop_waits_for_answers_and_not_for_idlers(front: Front) -> None:
    """Requests under way are answered; who says nothing is left after two seconds."""
    idle, kept, busy = front.connect(), front.connect(CALL), front.connect(BLOCK)
    assert b" 200 " in answer(kept)
    front.process.send_signal(signal.SIGTERM)
    assert idle.recv(1) == b""
    front.gate.touch()

    assert b" 200 " in answer(busy)
    assert front.process.wait(10) == 0
