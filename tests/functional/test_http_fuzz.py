"""Whatever is sent, the server answers, and never with an error it did not foresee."""

import logging
from collections.abc import Callable

import pytest
from functional_server import Server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wsgi_client import Client

from policy_server.api.routes import ROUTES
from policy_server.model.policy import PolicyId

# What gunicorn lets through: no control characters or spaces in a request line, any other byte.
line_bytes = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f#?"), max_size=30)
escapes = st.lists(st.integers(0, 255), max_size=6).map(lambda codes: "".join(f"%{code:02X}" for code in codes))
pieces = st.one_of(line_bytes, escapes, st.sampled_from(["", ".", "..", "%2F", "policy", "v1", "evaluation", "%"]))
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)
methods = st.sampled_from(["GET", "POST", "DELETE", "PUT", "PUT", "HEAD", "OPTIONS", "BREW"])
DOORS = [
    b'{"rego":"package g.p\\n\\na := 1\\n","data":{"x":1}}',
    b'{"rego":1}',
    b'{"rego":"package g.p\\n\\na := \\n","tests":"package t","dialect":"v0"}',
    b'{"revision":1}',
    b'{"revision":-1e9}',
    b'{"deep":%b}' % (b"[" * 5000 + b"]" * 5000),
    b'{"input":{"a":1}}',
    b'{"input":"\xff"}',
    b'{"subject":{"type":"u","id":"a"},"action":{"name":"r"},"resource":{"type":"d","id":"1"}}',
    b'{"evaluations":[{},1,null],"options":{"evaluations_semantic":"execute_all"}}',
]
bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"null", b'{"a":1}', b'"\\ud800"', b"1e999", b'{"a":"\xff"}', b"[[[", *DOORS]),
)
headers = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Content-Type",
            "X-Evaluation-ID",
            "x-cache-ttl",
            "Authorization",
            "X-Request-ID",
            "If-Match",
            "If-None-Match",
        ]
    ),
    values,
    max_size=3,
)
parameters = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "locked",
                "limit",
                "cursor",
                "policyName",
                "rego",
                "verbose",
                "q",
                "width",
                "since",
                "pretty",
                "input",
                "dry_run",
            ]
        ),
        pieces,
    ),
    max_size=3,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
FUZZ = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def fuzzed(make_server: Callable[..., Server]) -> Client:
    """A server with a policy, a schema and a password."""
    server = make_server(pexip_policies=(), authzen_policy=PolicyId.parse("x/g/p/1.0"))
    server.publish("x/g/p/1.0", "package g.p\n\na := input\n", output_schema="true")
    server.publish("test/pexip/service/1.0", 'package pexip.service\n\ndecision := {"action": "continue"}\n')
    return server.client


@st.composite
def targets(draw: st.DrawFn) -> str:
    """An address of the route table filled with anything, or anything at all."""
    if draw(st.booleans()):
        path = draw(st.sampled_from([route.path for route in ROUTES]))
        known = {
            "repository": "x",
            "group": "g",
            "policy": "p",
            "version": "1.0",
            "n": "1",
            "other": "2",
            "path:path": "g/p",
        }
        parts = [
            draw(st.one_of(st.just(known.get(part[1:-1], "x")), pieces)) if part.startswith("{") else part
            for part in path.split("/")
        ]
        return draw(st.sampled_from(["", "", "/mount", "/%FF"])) + "/".join(parts)
    return "/" + "/".join(draw(st.lists(pieces, max_size=7)))


@FUZZ
@given(method=methods, target=targets(), query=parameters, body=bodies, sent=headers)
def test_nothing_makes_an_unforeseen_error(
    fuzzed: Client, caplog: pytest.LogCaptureFixture, method: str, target: str, query: str, body: bytes, sent: dict
) -> None:
    """Any address, query, header and body is answered in a shape of ours."""
    caplog.set_level(logging.ERROR)
    caplog.clear()

    answer = fuzzed.ask(method, f"{target}?{query}", body=body, headers=sent)

    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert answer.status in {200, 201, 204, 400, 401, 403, 404, 405, 409, 412, 422, 500, 503}
    if answer.status == 500 and answer.headers["content-type"] != "text/plain; charset=utf-8":
        assert answer.json.get("kind", 0) == 0
    if "/policy/v1/" in target and "evaluation" not in target and "validation" not in target:
        assert answer.status not in {500, 503}
    assert "location" not in answer.headers
