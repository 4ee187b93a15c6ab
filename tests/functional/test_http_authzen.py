"""The front door for clients that speak AuthZEN 1.0."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from functional_server import Server

from policy_server.model.policy import PolicyId

ONE = "/access/v1/evaluation"
MANY = "/access/v1/evaluations"
REGO = """package g.az

default decision := false

decision := {"decision": true, "context": {"big": 12345678901234567890}} if input.action.name == "read"

decision := true if {
    input.action.name == "write"
    input.subject.properties.admin
    input.context.ip == "10.0.0.1"
}

decision := {"decision": "yes"} if input.action.name == "odd"

decision := {"decision": true, "context": 1} if input.action.name == "odder"

decision := object.union({"a": 1}, input.resource.id) if input.action.name == "broken"
"""
ALICE = {"type": "user", "id": "alice", "properties": {"admin": True}}
DOC = {"type": "doc", "id": "1"}


@pytest.fixture
def az(make_server: Callable[..., Server]) -> Server:
    """A server with a policy for AuthZEN."""
    server = make_server(authzen_policy=PolicyId.parse("r/g/az/1"), url="https://pdp.example.com")
    server.publish("r/g/az/1", REGO)
    return server


def question(wanted: str, **more: object) -> dict[str, object]:
    """Make a request."""
    return {"subject": ALICE, "action": {"name": wanted}, "resource": DOC, **more}


def ask(server: Server, document: object, target: str = ONE, **headers: str):
    """Send a request."""
    return server.client.post(target, json.dumps(document).encode(), headers=headers)


def test_the_configuration_says_where_to_ask(az: Server) -> None:
    """Addresses under the one that callers see."""
    answer = az.client.get("/.well-known/authzen-configuration")

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {
        "policy_decision_point": "https://pdp.example.com",
        "access_evaluation_endpoint": "https://pdp.example.com/access/v1/evaluation",
        "access_evaluations_endpoint": "https://pdp.example.com/access/v1/evaluations",
    }


def test_a_decision_is_a_boolean_with_what_the_policy_adds(az: Server) -> None:
    """true, false by default, and a context word for word."""
    assert ask(az, question("read")).body == b'{"decision":true,"context":{"big":12345678901234567890}}'
    assert ask(az, question("delete")).json == {"decision": False}
    assert ask(az, question("write")).json == {"decision": False}
    assert ask(az, question("write", context={"ip": "10.0.0.1"})).json == {"decision": True}


def test_the_request_id_comes_back(az: Server) -> None:
    """In the answer's header, for good answers and for errors."""
    assert ask(az, question("read"), **{"X-Request-ID": "bfe9eb29"}).headers["x-request-id"] == "bfe9eb29"
    assert ask(az, {}, **{"X-Request-ID": "bfe9eb29"}).headers["x-request-id"] == "bfe9eb29"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "object"),
        ({}, "subject"),
        (question("read", subject={"type": "user"}), "subject"),
        (question("read", subject={"type": "user", "id": 1}), "subject"),
        (question("read", resource={"type": "doc", "id": "1", "properties": []}), "resource"),
        (question("read", action={}), "action"),
        (question("read", action="read"), "action"),
        (question("read", context=[]), "context"),
    ],
)
def test_a_request_that_is_none_is_refused_in_words(az: Server, document: object, named: str) -> None:
    """400 with a message as text; a problem document for who asks for one."""
    for target in (ONE, MANY):
        answer = ask(az, document, target)
        assert (answer.status, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
        assert named in answer.body.decode()
    assert ask(az, document, Accept="application/problem+json").json["type"] == "/problems/invalid-json"


def test_several_are_answered_in_their_order(az: Server) -> None:
    """Each takes what it lacks from the request; an error of one is its own denial."""
    document = {
        "subject": ALICE,
        "resource": DOC,
        "action": {"name": "read"},
        "evaluations": [{}, {"action": {"name": "delete"}}, {"subject": {}}, 1, {"action": {"name": "odd"}}, {}],
    }

    answers = ask(az, document, MANY).json["evaluations"]

    assert [each["decision"] for each in answers] == [True, False, False, False, False, True]
    assert [each.get("context", {}).get("error", {}).get("status") for each in answers[1:5]] == [None, 400, 400, 500]


@pytest.mark.parametrize("document", [question("odd"), question("read", subject={})], ids=["policy", "request"])
def test_an_error_of_one_of_several_is_what_it_would_be_alone(az: Server, document: dict[str, object]) -> None:
    """The same status and the same words."""
    alone, among = ask(az, document), ask(az, {"evaluations": [document]}, MANY)

    error = among.json["evaluations"][0]["context"]["error"]
    assert error == {"status": alone.status, "message": alone.body.decode()}


def test_several_questions_to_a_locked_policy_are_told_so(az: Server) -> None:
    """It is no failure of the server."""
    az.store.lock(PolicyId.parse("r/g/az/1"), datetime.now(UTC))

    answers = ask(az, {"evaluations": [question("read")]}, MANY).json["evaluations"]

    assert answers == [{"decision": False, "context": {"error": {"status": 403, "message": "The policy is locked."}}}]


@pytest.mark.parametrize(
    ("semantic", "decisions"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
        (None, [True, False, True]),
    ],
)
def test_several_end_where_the_semantic_says(az: Server, semantic: str | None, decisions: list[bool]) -> None:
    """All, up to the first denial, or up to the first permission."""
    actions = [{"action": {"name": name}} for name in ("read", "delete", "read")]
    options = {} if semantic is None else {"options": {"evaluations_semantic": semantic, "other": 1}}

    answers = ask(az, {"subject": ALICE, "resource": DOC, "evaluations": actions, **options}, MANY).json

    assert [each["decision"] for each in answers["evaluations"]] == decisions


@pytest.mark.parametrize("evaluations", [{}, {"evaluations": []}])
def test_without_evaluations_it_is_one_request(az: Server, evaluations: dict) -> None:
    """Answered as one."""
    assert ask(az, {**question("delete"), **evaluations}, MANY).json == {"decision": False}


@pytest.mark.parametrize(
    "wrong",
    [{"evaluations": 1}, {"evaluations": [{}] * 1001}, {"evaluations": [{}], "options": {"evaluations_semantic": "x"}}],
)
def test_a_batch_that_is_none_is_refused(az: Server, wrong: dict) -> None:
    """400 for the whole of it."""
    assert ask(az, {**question("read"), **wrong}, MANY).status == 400


@pytest.mark.parametrize("action", ["odd", "odder", "broken"])
def test_an_answer_that_is_no_decision_permits_nothing(az: Server, action: str) -> None:
    """500 for one; for a policy that is undefined a denial."""
    answer = ask(az, question(action))

    assert answer.status == 500 or answer.json["decision"] is False


def test_a_package_with_allow_will_do(make_server: Callable[..., Server]) -> None:
    """Policies without a rule ``decision`` answer with their ``allow``."""
    server = make_server(authzen_policy=PolicyId.parse("r/g/az/1"))
    server.publish("r/g/az/1", 'package g.az\n\nallow if input.action.name == "read"\n')

    assert ask(server, question("read")).json == {"decision": True}
    assert ask(server, question("write")).json == {"decision": False}


def test_without_a_policy_there_is_no_decision_point(server: Server) -> None:
    """404 where none is configured; 500 where the configured one is not there."""
    missing = server.fresh(authzen_policy=PolicyId.parse("r/g/none/1"))

    assert server.client.get("/.well-known/authzen-configuration").status == 404
    assert ask(server, question("read")).status == 404
    assert missing.post(ONE, json.dumps(question("read")).encode()).status == 500
    assert missing.post(MANY, json.dumps(question("read", evaluations=[{}])).encode()).json == {
        "evaluations": [
            {"decision": False, "context": {"error": {"status": 500, "message": "There is no policy r/g/none/1."}}}
        ]
    }
