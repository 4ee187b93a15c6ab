"""Outgoing requests against servers that do what servers should not."""

import gzip
import socket
import threading
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from policy_server.model.errors import FetchError, TargetRefused
from policy_server.net.client import GuardedClient
from policy_server.net.guard import NetworkGuard

TLS = Path(__file__).parent / "tls"
LOOPBACK = ["127.0.0.1/32"]
OK = "HTTP/1.1 200 OK\nConnection: close"


def client(
    *, allowed: Sequence[str] = LOOPBACK, max_bytes: int = 100_000, deadline: float = 20.0, ca_file: Path | None = None
) -> GuardedClient:
    """Make a client that may talk to loopback and knows inside.test."""

    def resolve(host: str, port: int) -> list[str]:
        return [
            "127.0.0.1" if host == "inside.test" else str(info[4][0]) for info in socket.getaddrinfo("127.0.0.1", port)
        ]

    guard = NetworkGuard(allowed, resolve=resolve)
    return GuardedClient(guard, max_bytes=max_bytes, deadline=deadline, ca_file=ca_file)


def test_a_plain_answer_arrives_whole(servers) -> None:
    """Status, headers and body come back as they were sent."""
    port = servers.answer("HTTP/1.1 203 Fine\nX-Is: 1\nContent-Length: 7", b'{"a":1}')

    fetched = client().fetch("GET", f"http://127.0.0.1:{port}/data")

    assert (fetched.status, fetched.body, fetched.headers["x-is"]) == (203, b'{"a":1}', "1")


def test_what_is_sent_is_what_was_asked(servers) -> None:
    """Method, path, query, host, headers and body reach the server; cookies and proxies do not."""
    seen: list[bytes] = []

    def script(connection: socket.socket, _stop: threading.Event) -> None:
        while b"hello" not in b"".join(seen):
            seen.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    port = servers.run(script)
    client().fetch("POST", f"http://inside.test:{port}/p?x=1", body=b"hello", headers={"Content-Type": "text/x"})

    sent = b"".join(seen).decode()
    assert sent.startswith("POST /p?x=1 HTTP/1.1\r\n")
    assert f"Host: inside.test:{port}\r\n" in sent
    assert "Content-Type: text/x\r\n" in sent
    assert sent.endswith("\r\n\r\nhello")


def test_the_environment_is_not_asked_for_a_proxy(servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect for us, past the guard."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    port = servers.answer("HTTP/1.1 200 OK\nContent-Length: 2", b"{}")

    assert client().fetch("GET", f"http://127.0.0.1:{port}/").body == b"{}"


def test_loopback_is_refused_unless_listed(servers) -> None:
    """Without POLICY_ALLOWED_NETWORKS nobody reaches a neighbour."""
    port = servers.answer(OK, b"{}")

    with pytest.raises(TargetRefused, match="loopback"):
        client(allowed=[]).fetch("GET", f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/", "http://[bad", ""]
)
def test_redirects_are_answers_not_orders(servers, location: str) -> None:
    """A redirect to a metadata service goes nowhere."""
    port = servers.answer(f"HTTP/1.1 302 Found\nLocation: {location}\nContent-Length: 0")

    assert client().fetch("GET", f"http://127.0.0.1:{port}/").status == 302


def test_a_name_that_changes_its_address_gains_nothing(servers) -> None:
    """The address that was checked is the one that is connected to; the name is asked once."""
    asked: list[str] = []
    inside = servers.answer("HTTP/1.1 200 OK\nContent-Length: 6", b"inside")

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    guard = NetworkGuard(["127.0.0.2/32"], resolve=rebinding)
    with pytest.raises(FetchError, match="refused"):  # nothing listens on 127.0.0.2, and 127.0.0.1 is never met
        GuardedClient(guard).fetch("GET", f"http://rebind.test:{inside}/")
    with pytest.raises(TargetRefused):  # the second answer is judged anew
        GuardedClient(guard).fetch("GET", f"http://rebind.test:{inside}/")
    assert asked == ["rebind.test", "rebind.test"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x/", "data:,x", "/etc/passwd"])
def test_other_schemes_are_refused(url: str) -> None:
    """Only http and https leave the house."""
    with pytest.raises(TargetRefused, match="Only http and https"):
        client().fetch("GET", url)


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://x:99999/", "http://x:port/", "http://\x00/"])
def test_urls_that_cannot_be_read_are_fetch_errors(url: str) -> None:
    """A broken URL gets a message that does not repeat it."""
    with pytest.raises(FetchError, match="cannot be made"):
        client().fetch("GET", url)


def test_headers_cannot_smuggle_lines() -> None:
    """A line break in a header value is refused before anything is sent."""
    with pytest.raises(FetchError, match="cannot be made"):
        client().fetch("GET", "http://127.0.0.1:1/", headers={"X": "a\r\nHost: b"})


def test_messages_hide_user_password_query_and_fragment() -> None:
    """Whoever reads the log does not learn the secrets in a URL."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(FetchError) as caught:
        client().fetch("GET", f"http://user:hunter2@127.0.0.1:{port}/path?token=hunter2#hunter2")

    assert caught.value.message == f"GET http://127.0.0.1:{port}/path: the connection was refused."


def test_a_body_over_the_limit_is_refused_at_once(servers) -> None:
    """An announced length over the limit is not even read."""
    port = servers.answer("HTTP/1.1 200 OK\nContent-Length: 100001", b"x")

    with pytest.raises(FetchError, match="larger than 100000 bytes"):
        client().fetch("GET", f"http://127.0.0.1:{port}/")


def test_an_endless_body_is_cut(servers) -> None:
    """A server that never stops sending is left as soon as the limit is met."""

    def script(connection: socket.socket, stop: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not stop.is_set():
            connection.sendall(b"x" * 65536)

    port = servers.run(script)

    with pytest.raises(FetchError, match="larger than"):
        client().fetch("GET", f"http://127.0.0.1:{port}/")


def test_a_gzip_bomb_is_cut(servers) -> None:
    """A small body that unpacks to a huge one costs the limit, not the huge one."""
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    port = servers.answer(f"HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: {len(bomb)}", bomb)

    tracemalloc.start()
    with pytest.raises(FetchError, match="larger than"):
        client().fetch("GET", f"http://127.0.0.1:{port}/")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 10_000_000


def test_a_packed_answer_is_unpacked(servers) -> None:
    """Gzip is what is asked for and understood."""
    packed = gzip.compress(b'{"a":1}', mtime=0)
    port = servers.answer(f"HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: {len(packed)}", packed)

    assert client().fetch("GET", f"http://127.0.0.1:{port}/").body == b'{"a":1}'


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"{}", mtime=0)[:-3]),
        ("gzip", b"plain text"),
        ("gzip", gzip.compress(b"{}", mtime=0) * 2),
        ("br", b"whatever"),
    ],
)
def test_wrongly_packed_answers_are_refused(servers, encoding: str, body: bytes) -> None:
    """Half of an answer is never taken for the answer."""
    port = servers.answer(f"HTTP/1.1 200 OK\nContent-Encoding: {encoding}\nContent-Length: {len(body)}", body)

    with pytest.raises(FetchError, match="packed"):
        client().fetch("GET", f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("HTTP/1.1 200 OK\nContent-Length: 50", b'{"a":1}'),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b'7\r\n{"a":1}\r\n'),
        ("Nonsense", b""),
    ],
)
def test_half_an_answer_is_no_answer(servers, head: str, body: bytes) -> None:
    """A connection that ends early is an error, not a short document."""
    port = servers.answer(head, body)

    with pytest.raises(FetchError, match="ended before"):
        client().fetch("GET", f"http://127.0.0.1:{port}/")


def test_a_chunked_answer_arrives_whole(servers) -> None:
    """Chunks are put together."""
    port = servers.answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n')

    assert client().fetch("GET", f"http://127.0.0.1:{port}/").body == b'{"a":1}'


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_drips_is_left_at_the_deadline(servers, start: bytes) -> None:
    """One byte now and then keeps a read alive, but not the request."""

    def script(connection: socket.socket, stop: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(start)
        while not stop.wait(0.02):
            connection.sendall(b"x")

    port = servers.run(script)

    with pytest.raises(FetchError, match=r"not done within 0\.3 s"):
        client(deadline=0.3).fetch("GET", f"http://127.0.0.1:{port}/")


def test_a_silent_server_is_left(servers) -> None:
    """No answer at all ends with the read time-out."""
    port = servers.run(lambda _connection, stop: bool(stop.wait(30)) and None)
    silent = GuardedClient(NetworkGuard(LOOPBACK), read_timeout=0.2)

    with pytest.raises(FetchError, match=r"no answer for 0\.2 s"):
        silent.fetch("GET", f"http://127.0.0.1:{port}/")


def test_certificates_are_checked(servers) -> None:
    """A certificate nobody we know has signed is not accepted."""
    port = servers.answer("HTTP/1.1 200 OK\nContent-Length: 2", b"{}", tls=True)

    with pytest.raises(FetchError, match="certificate is not valid"):
        client().fetch("GET", f"https://inside.test:{port}/")


def test_certificates_are_checked_against_the_name(servers) -> None:
    """The name in the URL counts, not the address it was connected to."""
    port = servers.answer("HTTP/1.1 200 OK\nContent-Length: 2", b"{}", tls=True)
    trusting = client(ca_file=TLS / "cert.pem")

    assert trusting.fetch("GET", f"https://inside.test:{port}/").body == b"{}"
    with pytest.raises(FetchError, match="certificate is not valid"):
        trusting.fetch("GET", f"https://other.test:{port}/")


def test_no_tls_where_tls_is_expected(servers) -> None:
    """A plain server behind https is an error."""
    port = servers.answer("HTTP/1.1 200 OK", b"{}")

    with pytest.raises(FetchError, match="TLS could not be agreed on"):
        client().fetch("GET", f"https://inside.test:{port}/")


def test_threads_do_not_outlive_a_fetch(servers) -> None:
    """The timer of a request ends with it."""
    port = servers.answer("HTTP/1.1 200 OK\nContent-Length: 2", b"{}")

    client().fetch("GET", f"http://127.0.0.1:{port}/")

    assert [thread.name for thread in threading.enumerate() if "Timer" in type(thread).__name__] == []
