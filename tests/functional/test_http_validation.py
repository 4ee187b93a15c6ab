"""Evaluating and checking the result against the policy's output schema."""

from collections.abc import Callable

import pytest
from functional_server import Server

from policy_server.model.errors import InvalidSchema

REGO = "package g.p\n\nallow := input.allow\n"
SCHEMA = '{"type": "object", "properties": {"allow": {"type": "boolean"}}, "required": ["allow"]}'
URL = "/policy/r/g/p/1.0/validation"


@pytest.fixture
def checked(server: Server) -> Server:
    """A server whose policy has an output schema."""
    server.publish("r/g/p/1.0", REGO, output_schema=SCHEMA)
    return server


def test_a_valid_result_is_answered(checked: Server) -> None:
    """It looks exactly like an evaluation's answer."""
    answer = checked.client.post(URL, b'{"allow": true}', headers={"x-evaluation-id": "e1"})

    assert (answer.status, answer.body, answer.headers["etag"]) == (200, b'{"allow":true}\n', "e1")
    assert checked.client.get(URL + "/did.json", body=b'{"allow": true}').status == 200


def test_a_schema_that_is_none_is_named_as_the_reason(server: Server) -> None:
    """It is found when the policy is published, and told at the request in the policy service's words."""
    with pytest.raises(InvalidSchema):
        server.publish("r/g/p/1.0", REGO, output_schema='{"type": "nothing"}')

    answers = [server.client.post(url) for url in (URL, "/policy/r/g/p/1.0/evaluation")]

    assert {(each.status, each.json["kind"]) for each in answers} == {(500, 0)}
    assert [each.json["message"] for each in answers] == [
        "error compiling output validation schema",
        "error evaluating policy",
    ]


def test_an_invalid_result_is_refused(checked: Server) -> None:
    """500 kind 0 in the policy service's words, and where; the problem document says the same."""
    plain = checked.client.post(URL, b'{"allow": "yes"}')
    told = checked.client.post(URL, b'{"allow": "yes"}', headers={"Accept": "application/problem+json"})

    assert (plain.status, plain.json["kind"]) == (500, 0)
    assert plain.json["message"] == "policy output schema validation failed"
    assert plain.json["errors"] == [
        {"detail": 'the value is not of type "boolean"', "code": "type", "pointer": "/allow"}
    ]
    assert told.json["type"] == "/problems/output-invalid"
    assert told.json["errors"] == plain.json["errors"]
    assert checked.client.post("/policy/r/g/p/1.0/evaluation").status == 200


def test_the_policy_is_locked_after_a_failure_where_that_is_wanted(make_server: Callable[..., Server]) -> None:
    """With the option on, one bad result stops the policy."""
    server = make_server(lock_on_validation_failure=True)
    server.publish("r/g/p/1.0", REGO, output_schema=SCHEMA)

    assert server.client.post(URL, b'{"allow": 1}').json["message"] == "policy output schema validation failed"
    assert server.client.post(URL, b'{"allow": true}').json["kind"] == 3
    assert server.client.post("/policy/r/g/p/1.0/evaluation", b'{"allow": true}').status == 403


def test_other_errors_have_the_three_members_only(checked: Server) -> None:
    """As the policy service answers them."""
    answer = checked.client.post("/policy/r/g/x/1.0/validation")

    assert answer.json.keys() == {"id", "kind", "message"}


@pytest.mark.parametrize("schema", [None, "  "])
def test_without_a_schema_there_is_nothing_to_validate(server: Server, schema: str | None) -> None:
    """400 kind 1, even when the policy is locked."""
    server.publish("r/g/p/1.0", REGO, **({} if schema is None else {"output_schema": schema}))
    server.client.post("/policy/r/g/p/1.0/lock")

    answer = server.client.post(URL)

    assert (answer.status, answer.json["kind"]) == (400, 1)
    assert answer.json["message"] == "validation schema for policy output is not found"


def test_an_unknown_policy_is_not_found(checked: Server) -> None:
    """The message is this endpoint's own."""
    answer = checked.client.post("/policy/r/g/x/1.0/validation")

    assert (answer.status, answer.json["kind"], answer.json["message"]) == (404, 5, "error retrieving policy")


def test_a_locked_policy_is_refused(checked: Server) -> None:
    """403 kind 3, as for an evaluation."""
    checked.client.post("/policy/r/g/p/1.0/lock")

    answer = checked.client.post(URL)

    assert (answer.status, answer.json["kind"], answer.json["message"]) == (403, 3, "error evaluating policy")


def test_a_policy_sees_the_headers(server: Server) -> None:
    """Headers reach the policy on this endpoint too."""
    server.publish("r/g/p/1.0", 'package g.p\n\n_ := external.http.header("X-Who")\n', output_schema='{"const": "ada"}')

    assert server.client.post(URL, headers={"X-Who": "ada"}).body == b'"ada"\n'


def test_the_unwrapped_document_is_what_is_checked(server: Server) -> None:
    """A blank rule's bare value must fit the schema."""
    server.publish("r/g/p/1.0", "package g.p\n\n_ := 5\n", output_schema='{"type": "integer"}')

    assert server.client.post(URL).body == b"5\n"
