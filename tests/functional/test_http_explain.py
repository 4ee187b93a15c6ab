"""…/evaluation?explain=: how a decision comes about, for those who may ask."""

import json
import logging
import threading
from collections.abc import Callable

import pytest
from functional_server import Server
from wsgi_client import Client

from policy_server.api.app import make_app
from policy_server.engine.explaining import CUT, MAX_EVENTS

URL = "/policy/r/g/p/1.0/evaluation"
REGO = """package g.p

allow if {
    print("user is", input.user)
    trace(sprintf("limit %d", [data.limit]))
    count(input.user) <= data.limit
}

agent := external.http.header("User-Agent")
"""


@pytest.fixture
def explaining(make_server: Callable[..., Server]) -> Server:
    """A server that explains, with a policy that prints."""
    server = make_server(explain=True)
    server.publish("r/g/p/1.0", REGO, data='{"limit": 3}')
    return server


def test_an_explanation_is_refused_unless_it_is_turned_on(server: Server) -> None:
    """Off means 403 with the name of the setting; the evaluation itself is answered as ever."""
    server.publish("r/g/p/1.0", REGO, data='{"limit": 3}')

    refused = server.client.post(f"{URL}?explain=full", b'{"user": "ada"}')

    assert (refused.status, refused.json["kind"]) == (403, 3)
    assert "POLICY_EXPLAIN" in refused.json["message"]
    assert server.client.post(URL, b'{"user": "ada"}').status == 200


def test_result_trace_and_prints_come_together(explaining: Server) -> None:
    """The trace is OPA's, of the same input, data and headers; the result is what comes without it."""
    headers = {"User-Agent": "<curl>"}

    answer = explaining.client.post(f"{URL}?explain=full", b'{"user": "ada"}', headers=headers)
    plain = explaining.client.post(URL, b'{"user": "ada"}', headers=headers)

    assert answer.status == 200
    assert list(answer.json) == ["result", "explanation", "printed"]
    assert answer.json["result"] == plain.json == {"agent": "<curl>", "allow": True}
    assert answer.json["printed"] == ["user is ada", "note: limit 3"]
    assert any("policy.rego:6" in line and "Eval" in line for line in answer.json["explanation"])
    assert b"\\u003ccurl\\u003e" in answer.body


def test_the_level_decides_what_is_told(explaining: Server) -> None:
    """The notes are what trace() said, the fails what was not true; another word is a bad request."""
    notes = explaining.client.post(f"{URL}?explain=notes", b'{"user": "ada"}').json["explanation"]
    fails = explaining.client.post(f"{URL}?explain=fails", b'{"user": "nobody"}').json["explanation"]
    wrong = explaining.client.post(f"{URL}?explain=all", b"{}")

    assert any('Note "limit 3"' in line for line in notes)
    assert not any("Fail" in line for line in notes)
    assert any("Fail" in line and "policy.rego:6" in line for line in fails)
    assert (wrong.status, wrong.json["kind"]) == (400, 1)


def test_the_revision_that_answered_is_explained(explaining: Server) -> None:
    """A new source is explained as soon as it answers."""
    explaining.publish("r/g/p/1.0", "package g.p\n\nfresh := 1\n")

    answer = explaining.client.post(f"{URL}?explain=full", b"{}").json

    assert answer["result"] == {"fresh": 1}
    assert any("policy.rego:3" in line for line in answer["explanation"])


def test_a_long_trace_is_cut(make_server: Callable[..., Server]) -> None:
    """An explanation has a bound; its last line says that more would follow."""
    server = make_server(explain=True, evaluation_deadline=30.0)
    server.publish("r/g/p/1.0", "package g.p\n\nn := count([x | some x in numbers.range(1, 2500); x > 5])\n")

    lines = server.client.post(f"{URL}?explain=full", b"{}").json["explanation"]

    assert lines[-1] == CUT
    assert len(lines) <= MAX_EVENTS + 1


def test_a_policy_that_takes_too_long_is_an_error(make_server: Callable[..., Server]) -> None:
    """Explanations have the deadline of evaluations."""
    server = make_server(explain=True, evaluation_deadline=0.2)
    pairs = "some a in numbers.range(1, 9999); some b in numbers.range(1, 9999); a == b"
    server.publish("r/g/p/1.0", f"package g.p\n\nn := count([1 | {pairs}])\n")

    answer = server.client.post(f"{URL}?explain=full", b"{}")

    assert (answer.status, answer.json["message"]) == (500, "error evaluating rego query")


def test_one_explanation_is_made_at_a_time(make_server: Callable[..., Server]) -> None:
    """The second caller is refused at once instead of waiting; plain evaluations go on meanwhile."""
    server = make_server(explain=True)
    server.publish("r/g/p/1.0", "package g.p\n\na := 1\n")
    explainer = server.parts.explainer
    assert explainer is not None
    inside, done = threading.Event(), threading.Event()
    evaluator = server.parts.evaluator
    find = evaluator.find

    def slow(question):
        inside.set()
        assert done.wait(20)
        return find(question)

    explainer._evaluator = _With(evaluator, slow)
    client = Client(make_app(server.parts))
    first = threading.Thread(target=client.post, args=(f"{URL}?explain=full", b"{}"))
    first.start()
    assert inside.wait(20)

    second = client.post(f"{URL}?explain=full", b"{}")
    plain = client.post(URL, b"{}")
    done.set()
    first.join()

    assert (second.status, second.json["kind"]) == (503, 8)
    assert plain.status == 200


class _With:
    """An evaluator that is held up where it looks for the policy."""

    def __init__(self, evaluator, find) -> None:
        self.find, self.answer = find, evaluator.answer


def test_what_a_policy_prints_is_in_the_debug_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """With the decision's id and the policy; at the level of others nothing is told."""
    server.publish("r/g/p/1.0", REGO, data='{"limit": 3}')
    headers = {"X-Evaluation-Id": "mine"}
    with caplog.at_level(logging.INFO, "policy_server"):
        server.client.post(URL, b'{"user": "bob"}', headers=headers)
    assert "bob" not in caplog.text

    with caplog.at_level(logging.DEBUG, "policy_server"):
        server.client.post(URL, b'{"user": "ada"}', headers=headers)

    told = [record for record in caplog.records if "policy printed: user is ada" in record.getMessage()]
    assert [(record.decision_id, record.policy, record.levelname) for record in told] == [
        ("mine", "r/g/p/1.0", "DEBUG")
    ]


def test_the_description_of_the_api_tells_of_explanations(server: Server) -> None:
    """Parameter and shape are in /openapi.json."""
    document = json.loads(server.client.get("/openapi.json").body)
    operation = document["paths"]["/policy/{repository}/{group}/{policy}/{version}/evaluation"]["post"]

    assert "explain" in [each["name"] for each in operation["parameters"]]
    shape = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert {"$ref": "#/components/schemas/Explanation"} in shape["anyOf"]
    assert list(document["components"]["schemas"]["Explanation"]["properties"]) == ["result", "explanation", "printed"]
