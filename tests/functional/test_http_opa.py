"""The front door for clients that speak OPA's data API."""

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from functional_server import Server

from policy_server.model.policy import PolicyId

REGO = """package g.p

decision := {"who": input.who, "list": [{"n": 12345678901234567890}, {"a/b": "x"}]}

more := 1

# METADATA
# entrypoint: true
deep.inside := {"x": input.who}
"""


@pytest.fixture
def asked(server: Server) -> Server:
    """A server with one policy in two versions."""
    server.publish("r/g/p/1.9", "package g.p\n\nmore := 9\n")
    server.publish("r/g/p/1.10", REGO)
    return server


def ask(server: Server, path: str, given: object = None, query: str = ""):
    """Ask with an input."""
    return server.client.post(f"/v1/data/{path}{query}", json.dumps({"input": given}).encode())


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("g/p/more", b"1"),
        ("g/p/decision/who", b'"ada"'),
        ("g/p/decision/list/0", b'{"n":12345678901234567890}'),
        ("g/p/decision/list/0/n", b"12345678901234567890"),
        ("g/p/decision/list/1/a%2Fb", b'"x"'),
        ("g/p/deep/inside", b'{"x":"ada"}'),
        ("g/p/deep/inside/x", b'"ada"'),
        ("g/p/deep", b'{"inside":{"x":"ada"}}'),
        ("/g/p/more/", b"1"),
    ],
)
def test_a_path_names_a_package_and_what_is_in_it(asked: Server, path: str, result: bytes) -> None:
    """Rules, and members and positions of their values, as they are written."""
    answer = ask(asked, path, {"who": "ada"})

    assert answer.status == 200
    assert answer.body.endswith(b',"result":' + result + b"}\n")
    assert answer.json["decision_id"]


@pytest.mark.parametrize(
    "path",
    ["g/p/nothing", "g/p/more/x", "g/p/decision/list/9", "g/p/decision/list/-1", "g/q", "g", "x", "g/p/%00", "é/ü"],
)
def test_what_is_undefined_has_no_result(asked: Server, path: str) -> None:
    """200 without ``result``, as OPA has it, also for a package nobody has."""
    answer = ask(asked, path, {"who": "ada"})

    assert (answer.status, "result" in answer.json) == (200, False)


def test_the_input_is_undefined_null_or_any_value(server: Server) -> None:
    """Absent is not null; OPA warns of it."""
    server.publish("r/g/p/1", "package g.p\n\nvalue := input\n")
    client = server.client

    assert "result" not in client.post("/v1/data/g/p/value").json
    assert client.post("/v1/data/g/p/value").json["warning"]["code"] == "api_usage_warning"
    assert "warning" not in client.get("/v1/data/g/p/value").json
    assert client.post("/v1/data/g/p/value", b'{"input": null}').json["result"] is None
    assert client.post("/v1/data/g/p/value", b'{"input": 1.50}').body.endswith(b'"result":1.50}\n')
    assert client.get(f"/v1/data/g/p/value?input={quote('[1]')}").json["result"] == [1]


@pytest.mark.parametrize("body", [b"[]", b"x", b'{"input": }', b'{"input": "\xff"}', b'{"input": NaN}'])
def test_a_body_that_cannot_be_read_is_refused(asked: Server, body: bytes) -> None:
    """400 as a problem."""
    answer = asked.client.post("/v1/data/g/p", body)

    assert (answer.status, answer.json["type"]) == (400, "/problems/invalid-json")


def test_the_highest_version_answers_unless_one_is_named(asked: Server) -> None:
    """1.10 is more than 1.9; what is published, deleted or locked later counts at once."""
    assert ask(asked, "g/p/more").json["result"] == 1
    assert ask(asked, "g/p/more", query="?version=1.9").json["result"] == 9
    asked.publish("r/g/p/2.0.0-rc.1", "package g.p\n\nmore := 2\n")
    assert ask(asked, "g/p/more").json["result"] == 1

    asked.publisher.delete(PolicyId.parse("r/g/p/1.10"), author="me")
    assert ask(asked, "g/p/more").json["result"] == 9
    asked.client.post("/policy/r/g/p/1.9/lock")
    assert (ask(asked, "g/p/more").status, ask(asked, "g/p/more").json["type"]) == (403, "/problems/policy-locked")


def test_one_policy_in_several_repositories_has_to_be_named(make_server: Callable[..., Server]) -> None:
    """409 with the choices; a setting or the query chooses."""
    server = make_server()
    for repository in ("a", "b", "c"):
        server.publish(f"{repository}/g/p/1", f'package g.p\n\nwhere := "{repository}"\n')

    unclear = ask(server, "g/p/where")
    assert (unclear.status, unclear.json["type"]) == (409, "/problems/ambiguous")
    assert "a/g/p/1, b/g/p/1, c/g/p/1" in unclear.json["detail"]
    assert ask(server, "g/p/where", query="?repository=b").json["result"] == "b"
    assert ask(make_server(store=server.store, repositories=["c"]), "g/p/where").json["result"] == "c"


def test_a_longer_package_wins(server: Server) -> None:
    """``a.b.c`` is the policy ``c`` of the group ``a.b``, if there is one."""
    server.publish("r/a/b/1", 'package a.b\n\nc := {"d": "rule"}\n')
    assert ask(server, "a/b/c/d").json["result"] == "rule"

    server.publish("r/a.b/c/1", 'package a.b.c\n\nd := "package"\n')
    assert ask(server, "a/b/c/d").json["result"] == "package"


def test_switches_add_to_the_answer(asked: Server) -> None:
    """metrics, provenance and pretty; with no value they are on, with false they are off."""
    full = ask(asked, "g/p/more", query="?metrics&provenance=true&pretty").json
    plain = ask(asked, "g/p/more", query="?metrics=false&provenance=0")

    assert full["metrics"]["timer_rego_query_eval_ns"] <= full["metrics"]["timer_server_handler_ns"]
    assert full["provenance"]["bundles"] == {"r/g/p/1.10": {"revision": "1"}}
    assert {"metrics", "provenance"}.isdisjoint(plain.json)
    assert ask(asked, "g/p/more", query="?pretty").body.startswith(b'{\n  "decision_id"')


def test_builtin_errors_are_undefined_unless_strict(server: Server) -> None:
    """As OPA has it, and unlike the policy service."""
    server.publish("r/g/p/1", 'package g.p\n\na := io.jwt.decode("x")\n\nb := 1\n')

    assert ask(server, "g/p").json["result"] == {"b": 1}
    assert ask(server, "g/p", query="?strict-builtin-errors").status == 500


def test_explanations_are_not_pretended(asked: Server) -> None:
    """400 names the parameter; off is fine."""
    assert ask(asked, "g/p", query="?explain=full").json["errors"][0]["parameter"] == "explain"
    assert ask(asked, "g/p", query="?explain=off").status == 200


def test_other_methods_are_not_allowed(asked: Server) -> None:
    """Data is written through the administration."""
    assert asked.client.ask("PUT", "/v1/data/g/p", body=b"{}").status == 405
