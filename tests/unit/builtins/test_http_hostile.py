"""``http.send`` against servers, names and redirects that mean no good."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from asked_sites import Asked, Site, new_call
from werkzeug import Response

from policy_server.builtins.http_request import INTERNAL, NETWORK
from policy_server.builtins.http_send import HttpSend
from policy_server.builtins.http_tls import Credentials
from policy_server.model.errors import BuiltinFailed, EvaluationTimeout
from policy_server.net.caching import AnswerCache
from policy_server.net.guard import NetworkGuard
from policy_server.net.sender import GuardedSender
from policy_server.net.targets import Targets

Script = Callable[[socket.socket, threading.Event], None]


@pytest.fixture
def hostile() -> Iterator[Callable[[Script], str]]:
    """Return a function that runs a script on every connection to an address, which it returns."""
    stop = threading.Event()
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(listener: socket.socket, script: Script) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    script(connection, stop)

    def run(script: Script) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(listener, script))
        listeners.append(listener)
        threads.append(thread)
        thread.start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield run
    stop.set()
    for each in listeners:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
    for thread in threads:
        thread.join(10)


def drip(start: bytes) -> Script:
    """Return a script that sends a beginning and then a byte now and then."""

    def script(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(start)
        while not stop.wait(0.02):
            connection.sendall(b"x")

    return script


def silent(_connection: socket.socket, stop: threading.Event) -> None:
    """Never answer."""
    stop.wait(30)


def endless(connection: socket.socket, stop: threading.Event) -> None:
    """Send for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not stop.is_set():
        connection.sendall(b"x" * 65536)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-A: "])
@pytest.mark.parametrize("timeout", [200_000_000, "200000000", "200ms", "0.2s"])
def test_a_request_ends_at_its_timeout(http: Asked, hostile, start: bytes, timeout: object) -> None:
    """Nanoseconds or a Go duration; a byte now and then does not prolong it."""
    error = http(hostile(drip(start)), timeout=timeout, raise_error=False)["error"]

    assert error["code"] == NETWORK
    assert "not done within 0.2 s" in error["message"]


def test_a_body_that_does_not_end_is_an_internal_error(http: Asked, hostile) -> None:
    """As in OPA, an answer that had begun is not asked for again."""
    url = hostile(drip(b"HTTP/1.1 200 OK\r\n\r\n"))

    error = http(url, timeout="200ms", max_retry_attempts=5, raise_error=False)["error"]

    assert error["code"] == INTERNAL
    assert "not done within 0.2 s" in error["message"]


@pytest.mark.parametrize("keys", [{}, {"timeout": 0}, {"raise_error": False}, {"max_retry_attempts": 100}])
@pytest.mark.parametrize("script", [silent, drip(b"HTTP/1.1 200 OK\r\n\r\n")])
def test_nothing_outlives_the_evaluation(http: Asked, hostile, script: Script, keys: dict[str, object]) -> None:
    """Whatever the request says, the evaluation's deadline ends it, and the evaluation with it."""
    with pytest.raises(EvaluationTimeout):
        http(hostile(script), call=new_call(seconds=0.2), **keys)


def test_no_time_is_no_request(http: Asked, site: Site) -> None:
    """Past the deadline nothing is sent any more."""
    with pytest.raises(EvaluationTimeout):
        http(site.url, call=new_call(seconds=-1))

    assert site.seen == []


def test_pauses_do_not_use_the_evaluation_up(http: Asked) -> None:
    """When the next pause would be longer than the evaluation, the policy hears of the failure instead."""
    pauses: list[float] = []
    sender = GuardedSender(NetworkGuard(["127.0.0.1/32"]), max_bytes=1000)
    send = HttpSend(sender, AnswerCache(0), Credentials(), None, sleep=pauses.append)
    request = b'{"method": "get", "url": "http://127.0.0.1:1/", "max_retry_attempts": 1000}'

    with pytest.raises(BuiltinFailed, match="refused"):
        send(new_call(seconds=3), request)

    assert pauses[0] == 0
    assert 0.128 <= pauses[1] <= 0.192
    assert 0.2048 <= pauses[2] <= 0.3072
    assert all(pause < 3 for pause in pauses)
    assert len(pauses) < 12


@pytest.mark.parametrize(("body", "encoding"), [(b"x" * 100_001, None), (gzip.compress(bytes(50_000_000)), "gzip")])
def test_bodies_over_the_limit_are_refused(http: Asked, site: Site, body: bytes, encoding: str | None) -> None:
    """As sent and as unpacked."""
    site.answer = lambda _request, _count: Response(
        body, headers={} if encoding is None else {"Content-Encoding": encoding}
    )

    error = http(site.url, raise_error=False)["error"]

    assert error["code"] == INTERNAL
    assert "larger than 100000 bytes" in error["message"]


def test_an_endless_body_is_cut(http: Asked, hostile) -> None:
    """A server that never stops sending is left as soon as the limit is met."""
    assert "larger than" in http(hostile(endless), raise_error=False)["error"]["message"]


def test_gzip_is_unpacked_unless_the_request_speaks_of_encodings(http: Asked, site: Site) -> None:
    """As Go's client: what we asked for ourselves is unpacked, and the headers about it are gone."""
    packed = gzip.compress(b'{"a": 1}', mtime=0)
    site.answer = lambda _request, _count: Response(
        packed, headers={"Content-Encoding": "gzip"}, content_type="application/json"
    )

    ours = http(site.url)
    theirs = http(site.url, headers={"Accept-Encoding": "gzip"})

    assert ours["body"] == {"a": 1}
    assert not {"content-encoding", "content-length"} & set(ours["headers"])
    assert theirs["body"] is None
    assert theirs["headers"]["content-encoding"] == ["gzip"]


def test_redirects_are_answers_unless_they_are_enabled(http: Asked, site: Site) -> None:
    """As in OPA."""
    site.answer = lambda _request, _count: Response("", 302, headers={"Location": "/there"})

    found = http(site.url)

    assert (found["status_code"], found["headers"]["location"]) == (302, ["/there"])
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "PUT", "GET", b""),
        (303, "DELETE", "GET", b""),
        (303, "HEAD", "HEAD", b""),
        (307, "POST", "POST", b"text"),
        (308, "PUT", "PUT", b"text"),
    ],
)
def test_redirects_are_followed_as_go_does(
    http: Asked, site: Site, status: int, method: str, then: str, body: bytes
) -> None:
    """301 to 303 become GET without a body; 307 and 308 are sent again."""
    site.answer = lambda _request, count: Response("", status if count == 0 else 200, headers={"Location": "there?x=1"})

    http(site.url, method=method, raw_body="text", enable_redirect=True, headers={"Authorization": "secret"})

    first, second = site.seen
    assert first.method == method
    assert (second.method, second.path, second.body) == (then, "/there?x=1", body)
    assert second.headers["Authorization"] == "secret"


def test_credentials_do_not_follow_to_another_host(http: Asked, site: Site) -> None:
    """Authorization and cookies stay with the host they were given for."""
    site.answer = lambda _request, count: Response(
        "", 302 if count == 0 else 200, headers={"Location": site.url.replace("127.0.0.1", "localhost")}
    )
    given = {"Authorization": "secret", "Cookie": "a=b", "X-Other": "1", "Host": "virtual.test"}

    assert http(site.url, enable_redirect=True, headers=given)["status_code"] == 200

    first, second = site.seen
    assert (first.headers["Authorization"], first.headers["Host"]) == ("secret", "virtual.test")
    assert (second.headers["Authorization"], second.headers["Cookie"]) == (None, None)
    assert second.headers["X-Other"] == "1"
    assert second.headers["Host"] == f"localhost:{site.port}"


def test_a_redirect_without_an_address_is_an_answer(http: Asked, site: Site) -> None:
    """There is nowhere to go."""
    site.answer = lambda _request, _count: Response("", 302)

    assert http(site.url, enable_redirect=True)["status_code"] == 302


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254"),
        ("http://10.0.0.1/", "10.0.0.1"),
        ("http://127.0.0.2/", "127.0.0.2"),
        ("http://[::ffff:169.254.169.254]/", "does not list it"),
        ("http://2130706433/", "does not list it"),
        ("//elsewhere.example/", "elsewhere.example"),
        ("file:///etc/passwd", "not http or https"),
        ("gopher://127.0.0.1/", "not http or https"),
        ("http://", "not http or https"),
        ("http:there", "not http or https"),
        ("http://[::1", "cannot be read"),
    ],
)
def test_redirects_are_guarded(http: Asked, site: Site, location: str, message: str) -> None:
    """A listed server cannot send us where the lists do not lead."""
    site.answer = lambda _request, _count: Response("", 302, headers={"Location": location})

    error = http(site.url, enable_redirect=True, raise_error=False)["error"]

    assert message in error["message"]
    assert len(site.seen) == 1


def test_redirects_end(http: Asked, site: Site) -> None:
    """After ten of them there is no answer."""
    site.answer = lambda _request, _count: Response("", 307, headers={"Location": site.url})

    error = http(site.url, enable_redirect=True, raise_error=False)["error"]

    assert "stopped after 10 redirects" in error["message"]
    assert len(site.seen) == 11


@pytest.mark.parametrize("bad", ["169.254.169.254", "10.0.0.1", "::1"])
def test_a_name_that_changes_its_address_gains_nothing(site: Site, bad: str) -> None:
    """A listed name is judged at every look-up, and the address that was judged is the one that is met."""
    looks: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        looks.append(host)
        return ["127.0.0.1"] if len(looks) == 1 else [bad]

    guard = NetworkGuard(["127.0.0.1/32"], resolve=rebinding, targets=Targets(["rebind.test"], origin="LIST"))
    send = HttpSend(GuardedSender(guard, max_bytes=1000), AnswerCache(0), Credentials(), None)
    request = f'{{"method": "get", "url": "http://rebind.test:{site.port}/"}}'.encode()

    assert b'"status_code":200' in send(new_call(), request)
    with pytest.raises(BuiltinFailed, match="does not list it"):
        send(new_call(), request)
    assert looks == ["rebind.test"] * 2
    assert len(site.seen) == 1


def test_a_resolver_that_hangs_is_left() -> None:
    """A name look-up is part of the request's time."""
    release = threading.Event()

    def hanging(_host: str, _port: int) -> list[str]:
        release.wait(10)
        return []

    guard = NetworkGuard([], resolve=hanging)
    send = HttpSend(GuardedSender(guard, max_bytes=1000), AnswerCache(0), Credentials(), None)

    with pytest.raises(BuiltinFailed, match="was not resolved within"):
        send(new_call(), b'{"method": "get", "url": "http://slow.test/", "timeout": "50ms"}')
    with pytest.raises(EvaluationTimeout):
        send(new_call(seconds=0.05), b'{"method": "get", "url": "http://slow.test/"}')
    release.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(1000)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_broken_answers_are_failures(http: Asked, hostile, answer: bytes) -> None:
    """Half an answer, or none, is never taken for one."""
    url = hostile(lambda connection, _stop: connection.sendall(answer))

    assert http(url, raise_error=False)["error"]["code"] in {NETWORK, INTERNAL}


def test_no_thread_is_left_behind(http: Asked, site: Site) -> None:
    """The timer of a request ends with it."""
    http(site.url)

    assert [each for each in threading.enumerate() if isinstance(each, threading.Timer)] == []
