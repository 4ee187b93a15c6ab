"""Evaluating policies over HTTP, the way the policy service does."""

import io
import json
from collections.abc import Callable

import pytest
from functional_server import Server, now
from wsgi_client import Chunked

from policy_server.model.cache import CacheKey
from policy_server.model.errors import ValueNotFound, WrongPackage

V1 = "package g.p\n\n"
ECHO = V1 + "given := input\n"


@pytest.fixture
def echo(server: Server) -> Server:
    """A server whose policy repeats its input."""
    server.publish("r/g/p/1.0", ECHO)
    return server


URL = "/policy/r/g/p/1.0/evaluation"


def test_the_whole_package_is_the_answer(server: Server) -> None:
    """All rules of the package are in the document: compact, sorted, escaped, with a line feed at the end."""
    server.publish("r/g/p/1.0", V1 + 'b := {"<x>": [1, 2.50]}\n\na if input.user == "ada"\n\nf(x) := x\n')

    answer = server.client.post(URL, b'{"user": "ada"}', headers={"Content-Type": "application/json"})

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == b'{"a":true,"b":{"\\u003cx\\u003e":[1,2.50]}}\n'


def test_no_rule_true_is_an_empty_object(server: Server) -> None:
    """A package without a true rule is ``{}``, not an error."""
    server.publish("r/g/p/1.0", V1 + 'a if input.user == "ada"\n')

    assert server.client.get(URL).body == b"{}\n"


@pytest.mark.parametrize(
    ("rego", "body"),
    [
        ("package g.p\n_ = 1", b"1\n"),
        ("package g.p\n_ = null", b"null\n"),
        ("package g.p\n_ = false", b"false\n"),
        ('package g.p\n_ = "x"', b'"x"\n'),
        ("package g.p\n_ = 12345678901234567890123", b"12345678901234567890123\n"),
        ("package g.p\n_ = 1\n_ = 2", b'{"$0":1,"$1":2}\n'),
        ("package g.p\n_ = 1\nb = 2", b'{"$0":1,"b":2}\n'),
        ("package g.p\n_ = input.nothing.here", b"{}\n"),
        ("package g.p\np[x] { x = [3, 1, 2][_] }", b'{"p":[1,2,3]}\n'),
        ("package g.p\np = {1: true, true: 2}", b'{"p":{"true":2,"1":true}}\n'),
    ],
)
def test_documents_of_old_policies(server: Server, rego: str, body: bytes) -> None:
    """Blank rules, sets and odd keys look as they always did."""
    server.publish("r/g/p/1.0", rego)

    answered = server.client.post(URL)

    assert answered.status == 200
    if body.startswith(b'{"p":{'):
        assert answered.json == json.loads(body)
    else:
        assert answered.body == body


@pytest.mark.parametrize("body", [b"", b"  \r\n\t"])
def test_without_a_body_the_input_is_null(echo: Server, body: bytes) -> None:
    """Null is defined: a rule that repeats the input has a value."""
    assert echo.client.post(URL, body).body == b'{"given":null}\n'


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "application/xml", "???", ""])
def test_any_content_type_is_json(echo: Server, content_type: str | None) -> None:
    """A plain curl -d works, and so do clients that send no content type."""
    headers = {} if content_type is None else {"Content-Type": content_type}

    assert echo.client.post(URL, b'{"a":1}', headers=headers).body == b'{"given":{"a":1}}\n'


@pytest.mark.parametrize("accept", ["*/*", "application/xml", "text/html", "", ";;;", "q=1", "\xff", "application/gob"])
def test_the_answer_is_json_whatever_is_accepted(echo: Server, accept: str) -> None:
    """No Accept header can make an evaluation fail."""
    answer = echo.client.post(URL, b"1", headers={"Accept": accept})

    assert (answer.status, answer.body) == (200, b'{"given":1}\n')


def test_a_get_may_have_a_body(echo: Server) -> None:
    """The body of a GET is the input; the query is not."""
    assert echo.client.get(URL + "?a=1", body=b"[true]").body == b'{"given":[true]}\n'


def test_numbers_are_exact(echo: Server) -> None:
    """Digits beyond what a float holds go in and come out unharmed."""
    assert echo.client.post(URL, b"90071992547409931234").body == b'{"given":90071992547409931234}\n'


def test_did_json_is_the_same_answer(echo: Server) -> None:
    """A DID resolver gets the document too, by GET only."""
    assert echo.client.get(URL + "/did.json").body == b'{"given":null}\n'
    assert echo.client.post(URL + "/did.json").status == 405


def test_the_evaluation_id_is_the_bare_etag(echo: Server) -> None:
    """The caller's id comes back without quotes; without one a new one is made each time."""
    named = echo.client.post(URL, headers={"X-Evaluation-ID": "my-id"})
    made = {echo.client.post(URL).headers["etag"] for _ in range(3)}

    assert named.headers["etag"] == "my-id"
    assert len(made) == 3
    assert not any('"' in etag for etag in made)


@pytest.mark.parametrize("bad", ["a\x01b", "a b", "\xe9", "x" * 200])
def test_an_evaluation_id_that_cannot_be_a_header_is_refused(echo: Server, bad: str) -> None:
    """It is the caller's mistake, not a broken connection."""
    answer = echo.client.post(URL, headers={"X-Evaluation-ID": bad})

    assert (answer.status, answer.json["kind"]) == (400, 1)


@pytest.mark.parametrize(("ttl", "status"), [("60", 200), ("0", 200), ("-1", 200), ("", 200), ("1.5", 400), ("x", 400)])
def test_the_cache_ttl_must_be_a_number(echo: Server, ttl: str, status: int) -> None:
    """Anything but a whole number is refused in the policy service's words."""
    answer = echo.client.post(URL, headers={"x-cache-ttl": ttl})

    assert answer.status == status
    if status == 400:
        assert answer.json["message"] == f'invalid value "{ttl}" for "x-cache-ttl", must be a integer'


def test_a_policy_sees_the_headers(server: Server) -> None:
    """All headers can be read by the policy, by any spelling of their names."""
    server.publish("r/g/p/1.0", V1 + '_ := external.http.header("x-CACHE-key")\n')

    assert server.client.post(URL, headers={"X-Cache-Key": "k1"}).body == b'"k1"\n'
    assert server.client.post(URL).body == b'""\n'


@pytest.mark.parametrize(("body", "given"), [(b'{"a":1} x', b'{"a":1}'), (b"1 2 3", b"1"), (b'"a""b"', b'"a"')])
def test_the_first_json_value_of_a_body_counts(echo: Server, body: bytes, given: bytes) -> None:
    """What follows the first value is ignored, as it always was."""
    assert echo.client.post(URL, body).body == b'{"given":' + given + b"}\n"


@pytest.mark.parametrize("body", [b"nope", b"{", b"{'a':1}", b"\x00", b"NaN", b"\xff\xfe", b"<xml/>", b"a=1&b=2"])
def test_a_body_that_is_not_json_is_refused(echo: Server, body: bytes) -> None:
    """Status 400, kind 1, and an id of eight characters."""
    answer = echo.client.post(URL, body)

    assert answer.status == 400
    assert answer.json["kind"] == 1
    assert answer.json["message"]
    assert len(answer.json["id"]) == 8


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_bottomless_body_is_refused_or_fails_alone(echo: Server, opening: bytes) -> None:
    """Endless nesting is an error for its caller, and the next caller is served."""
    answer = echo.client.post(URL, opening * 500_000)

    assert answer.status in {400, 500}
    assert echo.client.post(URL, b"1").status == 200


def test_fifty_megabytes_are_refused_without_reading_them(echo: Server) -> None:
    """A declared length is enough to say 413; a chunked body is read to the limit and not further."""
    declared = Chunked(b"x")
    chunked = Chunked(b"[" + b"1," * (25 << 20))

    refused = echo.client.post(URL, declared, headers={"Content-Length": str(50 << 20)})
    stopped = echo.client.post(URL, chunked)

    assert (refused.status, refused.json["kind"], declared.consumed) == (413, 1, 0)
    assert stopped.status == 413
    assert chunked.consumed < 11 << 20


def test_an_unknown_policy_is_not_found(echo: Server) -> None:
    """Each of the four parts must be right."""
    for path in ("x/g/p/1.0", "r/x/p/1.0", "r/g/x/1.0", "r/g/p/x", "r/g/p/1.0%00", "%FF/g/p/1.0", "a%20b/g/p/1.0"):
        answer = echo.client.post(f"/policy/{path}/evaluation")

        assert answer.status == 404
        assert {**answer.json, "id": ""} == {"id": "", "kind": 5, "message": "error evaluating policy"}
        assert len(answer.json["id"]) == 16


def test_a_locked_policy_is_refused(echo: Server) -> None:
    """403, kind 3, from the moment the lock was acknowledged until it is taken off."""
    assert echo.client.post("/policy/r/g/p/1.0/lock").status == 200

    refused = echo.client.post(URL)

    assert (refused.status, refused.json["kind"], refused.json["message"]) == (403, 3, "error evaluating policy")
    assert echo.client.ask("DELETE", "/policy/r/g/p/1.0/lock").status == 200
    assert echo.client.post(URL).status == 200


@pytest.mark.parametrize(
    "rego",
    [
        V1 + "a := 1 if input\n\na := 2 if true\n",
        V1 + 'a := time.parse_rfc3339_ns("noon")\n',
    ],
)
def test_a_failing_evaluation_is_a_500_of_kind_0(server: Server, rego: str) -> None:
    """Conflicting rules and failing host functions are errors here, never silently undefined."""
    server.publish("r/g/p/1.0", rego)

    answer = server.client.post(URL, b"true")

    assert (answer.status, answer.json["kind"]) == (500, 0)
    assert answer.json["message"] == "error evaluating rego query"


def test_an_endless_policy_ends_at_its_deadline(make_server: Callable[..., Server]) -> None:
    """The caller gets an error, and the next one an answer."""
    server = make_server(evaluation_deadline=0.2)
    steps = "some zero in [0, -1]; some _ in many; some _ in many; some each in many; each == zero"
    server.publish("r/g/p/1.0", V1 + f"many := numbers.range(1, 9999)\n\nn if {{ {steps} }}\n")
    server.publish("r/g/q/1.0", "package g.q\n\na := 1\n")

    answer = server.client.post(URL)

    assert (answer.status, answer.json["kind"]) == (500, 0)
    assert server.client.post("/policy/r/g/q/1.0/evaluation").body == b'{"a":1}\n'


def test_a_policy_that_never_compiled_is_a_500(server: Server) -> None:
    """The caller hears as little as ever; a client that asks for a problem document hears the line."""
    with pytest.raises(Exception, match=r"policy\.rego"):
        server.publish("r/g/p/1.0", V1 + "a := nothing_known(1)\n")

    plain = server.client.post(URL)
    told = server.client.post(URL, headers={"Accept": "application/problem+json"})

    assert (plain.status, plain.json["kind"], plain.json["message"]) == (500, 0, "error evaluating policy")
    assert told.status == 500
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json["type"] == "/problems/policy-unusable"
    assert (told.json["errors"][0]["file"], told.json["errors"][0]["line"]) == ("policy.rego", 3)


def test_a_package_below_the_policys_is_nested(server: Server) -> None:
    """The document of the policy's package has the packages below it as members."""
    server.publish("r/g/p/1.0", "package g.p.sub\n\nx := 1\n")

    assert server.client.post(URL).body == b'{"sub":{"x":1}}\n'


@pytest.mark.parametrize("operation", ["evaluation", "validation"])
def test_a_policy_with_another_package_has_no_results(server: Server, operation: str) -> None:
    """The policy service looks for the package, finds nothing and says so."""
    with pytest.raises(WrongPackage):
        server.publish("r/g/p/1.0", "package g.other\n\nx := 1\n")

    answer = server.client.post(f"/policy/r/g/p/1.0/{operation}")

    assert (answer.status, answer.json["kind"]) == (500, 0)
    assert answer.json["message"] == "policy evaluation results are empty"


def test_errors_come_as_problem_documents_when_asked_for(echo: Server) -> None:
    """RFC 9457, with the type's page, the request's id and its address."""
    headers = {"Accept": "application/json, application/problem+json;q=0.5", "X-Request-ID": "req-1"}

    answer = echo.client.post("/policy/r/g/x/1.0/evaluation", headers=headers)

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "/problems/policy-not-found"
    assert answer.json["request_id"] == answer.headers["x-request-id"] == "req-1"
    assert answer.json["instance"] == "/policy/r/g/x/1.0/evaluation"
    assert echo.client.get(answer.json["type"]).json["status"] == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"])
def test_other_methods_are_refused_without_a_body(echo: Server, method: str) -> None:
    """405 with the methods that work."""
    answer = echo.client.ask(method, URL)

    assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", "GET, POST")
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("path", [URL + "/", "/policy", "/policy/", "/policy/r/g/p/1.0", "/v1", "/v1/x", "/policy/%FF"])
def test_unknown_addresses_answer_like_the_policy_service(echo: Server, path: str) -> None:
    """No slash is forgiven, and the body is the one its clients know."""
    answer = echo.client.get(path)

    expected = {"name": "fault", "id": "", "message": "404 page not found"}
    assert answer.status == 404
    assert {**answer.json, "id": ""} == {**expected, "temporary": False, "timeout": False, "fault": True}
    assert len(answer.json["id"]) == 8


def test_a_new_revision_answers_and_a_broken_one_does_not(echo: Server) -> None:
    """The last good revision goes on serving."""
    echo.publish("r/g/p/1.0", V1 + "a := 2\n")
    with pytest.raises(Exception, match=r"policy\.rego"):
        echo.publish("r/g/p/1.0", V1 + "a := \n")
    echo.catalog.sync()

    assert echo.client.post(URL).body == b'{"a":2}\n'


def test_a_body_may_be_a_stream_without_end_marker(echo: Server) -> None:
    """A server that neither declares nor ends the body is not waited for."""
    environ = {"wsgi.input_terminated": False}

    assert echo.client.post(URL, io.BytesIO(b"1"), environ=environ).body == b'{"given":null}\n'


def test_a_result_with_a_time_to_live_is_kept(echo: Server) -> None:
    """Under the id of the evaluation, after the answer; without a time it is not."""
    kept, other = "evaluation-1", "evaluation-2"
    echo.client.post(URL, b'{"a": 1}', headers={"x-evaluation-id": kept, "x-cache-ttl": "60"})
    echo.client.post(URL, b'{"a": 1}', headers={"x-evaluation-id": other})
    while echo.parts.results.work():
        pass

    assert echo.store.cache.get(CacheKey(kept), at=now()) == echo.client.post(URL, b'{"a": 1}').json
    with pytest.raises(ValueNotFound):
        echo.store.cache.get(CacheKey(other), at=now())
