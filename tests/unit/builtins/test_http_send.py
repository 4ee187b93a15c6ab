"""``http.send``: what is sent, what comes back, what fails how."""

import json
import socket
import threading

import pytest
from asked_sites import LOOPBACK, Asked, Site, new_call
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from policy_server.builtins.network import Network
from policy_server.model.errors import BuiltinFailed
from policy_server.toolkit.toolkit import Toolkit
from policy_server.version import VERSION

NETWORK, INTERNAL = "eval_http_send_network_error", "eval_http_send_internal_error"


def answering(httpserver: HTTPServer, *answers: Response) -> list[Request]:
    """Answer requests one after the other, the last one for ever; return the list they are put on."""
    seen: list[Request] = []

    def handle(request: Request) -> Response:
        request.get_data()
        seen.append(request)
        return answers[min(len(seen), len(answers)) - 1]

    httpserver.expect_request("/").respond_with_handler(handle)
    return seen


def test_an_answer_has_opas_shape(http: Asked, httpserver: HTTPServer) -> None:
    """Status, code, headers in lower case with all their values, the body as text and decoded."""
    reply = Response('{"a": [1.50, 12345678901234567890, "é"]}', 200, content_type="application/json")
    reply.headers.add("X-Twice", "b")
    reply.headers.add("x-twice", "a")
    answering(httpserver, reply)

    found = http(httpserver.url_for("/"))

    assert sorted(found) == ["body", "headers", "raw_body", "status", "status_code"]
    assert (found["status"], found["status_code"]) == ("200 OK", 200)
    assert found["headers"]["x-twice"] == ["b", "a"]
    assert found["headers"]["content-type"] == ["application/json"]
    assert found["body"] == {"a": [1.5, 12345678901234567890, "é"]}
    assert found["raw_body"] == '{"a": [1.50, 12345678901234567890, "é"]}'


@pytest.mark.parametrize(
    ("content_type", "body", "keys", "expected"),
    [
        ("application/json", '{"x": 1}', {}, {"x": 1}),
        ("application/json; charset=utf-8", '{"x": 1}', {}, {"x": 1}),
        ("Application/Vnd.Acme+JSON", '{"x": 1}', {}, {"x": 1}),
        ("application/json; charset", '{"x": 1}', {}, None),
        ("application/json; a=b; A=c", '{"x": 1}', {}, None),
        ('application/json ; a = "x;y";', '{"x": 1}', {}, {"x": 1}),
        ("text/json", '{"x": 1}', {}, None),
        ("text/plain", '{"x": 1}', {}, None),
        ("text/plain", '{"x": 1}', {"force_json_decode": True}, {"x": 1}),
        ("text/plain", "nothing", {"force_json_decode": True}, None),
        ("application/json", "", {}, None),
        ("application/json", '{"x": 1} trailing', {}, {"x": 1}),
        ("application/json", '"\\ud800"', {}, "\ufffd"),
        ("application/json", '"\\ud83d\\ude00"', {}, "😀"),
        ("application/json", "NaN", {}, None),
        ("application/json", '{"x": 1, "x": 2}', {}, {"x": 2}),
        ("application/json", "[" * 100_000, {}, None),
    ],
)
def test_a_body_is_decoded_by_its_type(
    http: Asked, httpserver: HTTPServer, content_type: str, body: str, keys: dict[str, object], expected: object
) -> None:
    """JSON types and force_json_decode decode; what cannot be decoded is null, never an error."""
    answering(httpserver, Response(body, content_type=content_type))

    assert http(httpserver.url_for("/"), **keys)["body"] == expected


@pytest.mark.parametrize(
    ("content_type", "body", "keys", "expected"),
    [
        ("application/yaml", "a: [1, b]", {}, {"a": [1, "b"]}),
        ("application/x-yaml; v=1", "a: 1", {}, {"a": 1}),
        ("text/plain", "a: 1", {}, None),
        ("text/plain", "a: 1", {"force_yaml_decode": True}, {"a": 1}),
        ("application/yaml", "a: [", {}, None),
        ("application/json", "a: 1", {"force_yaml_decode": True}, None),
    ],
)
def test_yaml_is_decoded_by_opa(
    toolkit: Toolkit, httpserver: HTTPServer, content_type: str, body: str, keys: dict[str, object], expected: object
) -> None:
    """YAML types and force_yaml_decode decode as OPA's yaml.unmarshal does; JSON comes first."""
    answering(httpserver, Response(body, content_type=content_type))

    assert Asked(LOOPBACK, toolkit)(httpserver.url_for("/"), **keys)["body"] == expected


def test_bytes_that_are_no_text_are_replaced(http: Asked, httpserver: HTTPServer) -> None:
    """Each byte that is no UTF-8 becomes one replacement character, as in Go."""
    answering(httpserver, Response(b"a\xff\xe2\x82b"))

    assert http(httpserver.url_for("/"))["raw_body"] == "a\ufffd\ufffd\ufffdb"


@pytest.mark.parametrize(
    ("request_text", "sent"),
    [
        ('"body": {"b": [1.50, {2, 1}], "a": "<&>"}', rb'{"a":"\u003c\u0026\u003e","b":[1.50,[1,2]]}'),
        ('"body": "text"', b'"text"'),
        ('"body": null', b"null"),
        ('"body": {"x": 1}, "raw_body": "wins"', b"wins"),
        ('"raw_body": "\\"trimmed\\""', b"trimmed"),
        ('"timeout": "5s"', b""),
    ],
)
def test_bodies_are_sent_as_opa_sends_them(http: Asked, httpserver: HTTPServer, request_text: str, sent: bytes) -> None:
    """A body is JSON in Go's spelling, a raw one as it is, without quotes around it."""
    seen = answering(httpserver, Response("ok"))

    http.text(f'{{"method": "post", "url": "{httpserver.url_for("/")}", {request_text}}}')

    assert seen[0].method == "POST"
    assert seen[0].get_data() == sent
    assert seen[0].headers.get("Content-Length") == str(len(sent))
    assert "Content-Type" not in seen[0].headers


def test_headers_are_sent_and_framing_ones_are_ours(http: Asked, httpserver: HTTPServer) -> None:
    """Custom headers arrive with canonical names; those that frame the message are left to us."""
    seen = answering(httpserver, Response("ok"))

    given = {"x-a": "é", "host": "virtual.test:81", "content-length": "999", "transfer-encoding": "chunked"}
    http(httpserver.url_for("/"), headers=given)

    (sent,) = seen
    assert sent.headers["Host"] == "virtual.test:81"
    assert sent.headers["X-A"].encode("latin-1").decode() == "é"
    assert "Transfer-Encoding" not in sent.headers
    assert sent.headers.get("Content-Length") in {None, "0"}
    assert sent.headers["User-Agent"].startswith("Open-Policy-Agent/1.22.2 ")


@pytest.mark.parametrize(
    ("headers", "agent"),
    [
        ({}, f"policy-server/{VERSION}"),
        ({"X": "1"}, f"Open-Policy-Agent/1.22.2 (policy-server/{VERSION})"),
        ({"user-agent": "mine"}, "mine"),
    ],
)
def test_the_user_agent_is_opas_where_headers_are_given(
    http: Asked, httpserver: HTTPServer, headers: dict[str, str], agent: str
) -> None:
    """As in OPA, its name is added to custom headers without one, and no other is overwritten."""
    seen = answering(httpserver, Response("ok"))

    http(httpserver.url_for("/"), headers=headers)

    assert seen[0].headers["User-Agent"] == agent


def test_user_and_password_in_the_address_are_basic_credentials(http: Asked, httpserver: HTTPServer) -> None:
    """They become the Authorization header, and are not sent as part of the address."""
    seen = answering(httpserver, Response("ok"))

    http(httpserver.url_for("/").replace("http://", "http://kari:p%40ss@").replace("localhost", "127.0.0.1"))

    authorization = seen[0].authorization
    assert authorization is not None
    assert (authorization.username, authorization.password) == ("kari", "p@ss")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"bad": 1, "worse": 1}, 'operand 1 invalid request parameters(s): {"bad", "worse"}'),
        ({"method": 1}, '"method" must be a string'),
        ({"url": None}, '"url" must be a string'),
        ({"raw_body": {}}, '"raw_body" must be a string'),
        ({"tls_ca_cert_file": 1}, '"tls_ca_cert_file" must be a string'),
        ({"headers": []}, "invalid type for headers key"),
        ({"headers": {"a": 1}}, "invalid type for headers value 1"),
        ({"headers": {}, "cache_ignored_headers": "a"}, "cache_ignored_headers must be an array of strings"),
        ({"headers": {}, "cache_ignored_headers": None}, "cache_ignored_headers must be an array of strings"),
        ({"headers": {}, "cache_ignored_headers": [1]}, "cache_ignored_headers must be an array of strings"),
        ({"enable_redirect": "yes"}, 'enable_redirect: "yes" is no boolean'),
        ({"force_json_decode": 1}, 'invalid value for "force_json_decode" field'),
        ({"force_yaml_decode": "x"}, 'invalid value for "force_yaml_decode" field'),
        ({"cache": "x"}, 'invalid value for "cache" field'),
        ({"force_cache": 1}, 'invalid value for "force_cache" field'),
        ({"force_cache": True}, "'force_cache' set but 'force_cache_duration_seconds' parameter is missing"),
        ({"force_cache": True, "force_cache_duration_seconds": "9"}, '"9" is no whole number of seconds'),
        ({"force_cache": True, "force_cache_duration_seconds": 1.5}, "1.5 is no whole number of seconds"),
        ({"force_cache": True, "force_cache_duration_seconds": 2**31}, "is no whole number of seconds"),
        ({"timeout": 1.5}, "invalid timeout number value 1.5, must be int64"),
        ({"timeout": "soon"}, 'invalid timeout value "soon"'),
        ({"timeout": []}, "'timeout' must be one of {string, number}"),
        ({"max_retry_attempts": -1}, 'invalid value -1 for field "max_retry_attempts"'),
        ({"max_retry_attempts": "1"}, 'invalid value "1" for field "max_retry_attempts"'),
    ],
)
def test_a_wrong_request_fails_in_opas_words(http: Asked, keys: dict[str, object], message: str) -> None:
    """Undefined with the reason, raised where strict, and a value where raise_error is false."""
    url = "http://127.0.0.1:1/"
    call = new_call()

    assert http.text(json.dumps({"method": "get", "url": url, **keys}), call) is None
    assert len(call.errors) == 1
    assert call.errors[0].startswith("http.send: ")
    assert message in call.errors[0]
    with pytest.raises(BuiltinFailed) as caught:
        http.text(json.dumps({"method": "get", "url": url, **keys}), new_call(strict=True))
    assert message in caught.value.message
    found = http.text(json.dumps({"method": "get", "url": url, **keys, "raise_error": False}), new_call(strict=True))
    assert found["status_code"] == 0
    assert found["error"]["code"] == INTERNAL
    assert message in found["error"]["message"]


@pytest.mark.parametrize(
    ("request_text", "message"),
    [
        ('{"method": "get"}', 'operand 1 missing required request parameters(s): {"url"}'),
        ("{}", 'missing required request parameters(s): {"method", "url"}'),
        ('{"method": "get", "url": "x", 1: 2}', "invalid request parameters(s): {1}"),
        ('{"method": "get", "url": "x", "raise_error": 1}', "invalid value for raise_error field"),
        ('"text"', "operand 1 must be object"),
    ],
)
def test_requests_that_are_none_are_undefined(http: Asked, request_text: str, message: str) -> None:
    """Missing and odd keys are told."""
    call = new_call()

    assert http.text(request_text, call) is None
    assert message in call.errors[0]


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("foo://foo.com", NETWORK, "unsupported protocol scheme 'foo'"),
        ("unix://localhost/x?socket=%2Ftmp%2Fx.sock", NETWORK, "unsupported protocol scheme 'unix'"),
        ("file:///etc/passwd", NETWORK, "unsupported protocol scheme 'file'"),
        ("http://", NETWORK, "no host"),
        ("", NETWORK, "unsupported protocol scheme"),
        ("127.0.0.1:1", NETWORK, "unsupported protocol scheme"),
        ("http://[::1", INTERNAL, "not valid"),
        ("http://127.0.0.1:x/", INTERNAL, "not valid"),
        ("http://127.0.0.1/%zz", INTERNAL, "a % that escapes nothing"),
        ("http://169.254.169.254/latest", INTERNAL, "POLICY_TEST does not list it"),
        ("http://elsewhere.example/", INTERNAL, "POLICY_TEST does not list it"),
    ],
)
def test_where_nothing_is_sent_to(url: str, code: str, message: str) -> None:
    """Odd schemes are network errors as in OPA; what the lists do not name is refused by itself."""
    http = Asked(Network(hosts=("127.0.0.1",), networks=("127.0.0.1/32",), origin="POLICY_TEST"))

    error = http(url, raise_error=False)["error"]

    assert error["code"] == code
    assert message in error["message"]


def test_a_refused_connection_is_a_network_error(http: Asked) -> None:
    """The message names method and address, without user, password and query."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    found = http(f"http://u:hunter2@127.0.0.1:{port}/p?token=hunter2", raise_error=False)

    assert found == {
        "error": {"code": NETWORK, "message": f"GET http://127.0.0.1:{port}/p: the connection was refused."},
        "status_code": 0,
    }


@pytest.mark.parametrize("name", ["a b", "a:b", "", "x\r\ny"])
def test_headers_cannot_smuggle_anything(http: Asked, httpserver: HTTPServer, name: str) -> None:
    """Names and values that would end a line are refused before anything is sent."""
    seen = answering(httpserver, Response("ok"))

    by_name = http(httpserver.url_for("/"), headers={name: "v"}, raise_error=False)
    by_value = http(httpserver.url_for("/"), headers={"X": f"{name}\n"}, raise_error=False)

    assert (by_name["error"]["code"], by_value["error"]["code"]) == (NETWORK, NETWORK)
    assert seen == []


def test_attempts_are_repeated_when_the_connection_fails(http: Asked) -> None:
    """A transport error is tried again, so often as was asked; the answer that comes then counts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.settimeout(10)

        def serve() -> None:
            for attempt in range(3):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    if attempt == 2:
                        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno")

        thread = threading.Thread(target=serve)
        thread.start()
        found = http(f"http://127.0.0.1:{port}/", max_retry_attempts=5)
        thread.join()

    assert (found["status_code"], found["raw_body"]) == (500, "no")


def test_statuses_are_not_repeated(http: Asked, httpserver: HTTPServer) -> None:
    """An answer is an answer, whatever its status."""
    seen = answering(httpserver, Response("no", 503))

    assert http(httpserver.url_for("/"), max_retry_attempts=3)["status_code"] == 503
    assert len(seen) == 1


@pytest.mark.parametrize("method", ["get", "Post", "PUT", "delete", "patch", "head", "options"])
def test_methods_are_written_in_capitals(http: Asked, httpserver: HTTPServer, method: str) -> None:
    """Any method may be used."""
    seen = answering(httpserver, Response(""))

    assert http(httpserver.url_for("/"), method=method)["status_code"] == 200
    assert seen[0].method == method.upper()


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("", "/"),
        ("/", "/"),
        ("?", "/?"),
        ("/a/../b//c", "/a/../b//c"),
        ("/a%2fb%2Fc", "/a%2fb%2Fc"),
        ("/a b\u00e9|", "/a%20b%C3%A9%7C"),
        ('/?q={"a":1}&x=%zz', '/?q={"a":1}&x=%zz'),
        ("/?a=b c", "/?a=b%20c"),
        ("/p?x=1#fragment?y", "/p?x=1"),
        ("/a;b=c:@!$&'()*+,[]~", "/a;b=c:@!$&'()*+,[]~"),
    ],
)
def test_path_and_query_are_sent_as_they_are_written(http: Asked, site: Site, asked: str, sent: str) -> None:
    """As Go does: nothing is tidied; only what no request line can have is escaped."""
    assert http(site.url.rstrip("/") + asked)["status_code"] == 200
    assert site.seen[0].path == sent


@pytest.mark.parametrize("attempts", ["0", "1.0", "2"])
def test_attempts_are_whole_numbers(http: Asked, site: Site, attempts: str) -> None:
    """However they are spelled."""
    found = http.text(f'{{"method": "get", "url": "{site.url}", "max_retry_attempts": {attempts}}}')

    assert found["status_code"] == 200
