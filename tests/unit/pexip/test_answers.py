"""From a request to a reply, with a function as policy."""

import base64
import io
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from policy_server.model.decision import Decision, Question
from policy_server.model.errors import (
    EvaluationTimeout,
    EvaluationTrapped,
    PolicyLocked,
    PolicyNotFound,
    StoreUnavailable,
)
from policy_server.model.policy import PolicyId
from policy_server.pexip.answers import Answers, Observation, Outcome, Route
from policy_server.pexip.kinds import Fallback, RequestKind
from policy_server.pexip.replies import Reply

AT = datetime(2026, 11, 1, tzinfo=UTC)
POLICY = PolicyId("bundled", "pexip", "service", "1.0")
ROOM: dict[str, Any] = {
    "action": "continue",
    "result": {"service_type": "conference", "name": "Room", "service_tag": "t"},
}
UNDEFINED = object()


class Pexip:
    """Answers with one decision for everything, and what was asked and observed on the way."""

    def __init__(self, decision: object = UNDEFINED, **route: Any) -> None:
        """Take what the policy decides: a value, bytes, an error to raise, or a function."""
        self.asked: list[Question] = []
        self.seen: list[Observation] = []
        self.now = 0.0
        self._decision = decision
        routes = {kind: Route(**{"enabled": True, "policy": POLICY, **route}) for kind in RequestKind}
        self.answers = Answers(self._decide, routes, lambda: AT, self.seen.append, timer=lambda: self.now)

    def _decide(self, question: Question) -> Decision:
        self.asked.append(question)
        decision = self._decision() if callable(self._decision) else self._decision
        if isinstance(decision, Exception):
            raise decision
        result = None if decision is UNDEFINED else decision
        text = result if isinstance(result, bytes) or decision is UNDEFINED else orjson.dumps(result)
        return Decision(question.id, question.policy, 1, text, 1000)

    def ask(self, kind: RequestKind = RequestKind.SERVICE, query: str = "", alias: str | None = None) -> Reply:
        """Ask once."""
        return self.answers.answer(kind, alias=alias, query=query)


def body(reply: Reply) -> Any:
    """Return the JSON of a reply without its decision id, which is never empty."""
    document = orjson.loads(reply.body)
    assert document.pop("decision_id")
    return document


def test_a_decision_becomes_pexips_answer() -> None:
    """Status success and the decision id are ours, everything else the policy's."""
    pexip = Pexip({**ROOM, "rule_id": "r1"})

    reply = pexip.ask(query="local_alias=room")

    assert reply.status == 200
    assert body(reply) == {"status": "success", **ROOM, "rule_id": "r1"}
    assert pexip.seen[0].outcome is Outcome.ANSWERED
    assert pexip.seen[0].alias == "room"


def test_the_question_names_the_rule_and_carries_the_document() -> None:
    """The policy's rule decision is asked, with the typed input and the route's deadline."""
    pexip = Pexip(ROOM, deadline=1.5)

    pexip.answers.answer(RequestKind.SERVICE, query="registered=True", headers={"X-A": "1"}, mount="/p")

    question = pexip.asked[0]
    document = orjson.loads(question.input or b"")
    assert (question.policy, question.entrypoint, question.deadline) == (POLICY, "pexip/service/decision", 1.5)
    assert (document["call"]["registered"], document["mount"]) == (True, "/p")
    assert question.headers == {"X-A": "1"}
    assert question.id == pexip.seen[0].decision_id


def test_a_route_may_name_another_rule() -> None:
    """Own policies need not have a rule called decision."""
    pexip = Pexip(ROOM, entrypoint="a/b/c")

    pexip.ask()

    assert pexip.asked[0].entrypoint == "a/b/c"


@pytest.mark.parametrize(
    "decision", [UNDEFINED, None, {"action": "default"}, {"action": "default", "result": {"x": 1}}]
)
@pytest.mark.parametrize("kind", RequestKind)
def test_no_opinion_is_a_404_whatever_the_fallback(decision: object, kind: RequestKind) -> None:
    """Undefined, null and default leave the matter to Pexip; that is no failure."""
    pexip = Pexip(decision, fallback=Fallback.REJECT)

    reply = pexip.ask(kind, alias="a")

    assert reply.status == 404
    assert pexip.seen[0].outcome is Outcome.NO_OPINION


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (PolicyNotFound(), "policy-not-found"),
        (PolicyLocked(), "policy-locked"),
        (EvaluationTimeout(), "evaluation-timeout"),
        (EvaluationTrapped(), "evaluation-trapped"),
        (StoreUnavailable(), "store-unavailable"),
        (RuntimeError("boom"), "internal"),
        (RecursionError(), "internal"),
        (b"{not json", "output-invalid"),
        (b"\xff", "output-invalid"),
        ([1], "output-invalid"),
        ("continue", "output-invalid"),
        (True, "output-invalid"),
        ({"action": "admit"}, "output-invalid"),
        ({"action": "reject", "result": ROOM["result"]}, "output-invalid"),
        ({"action": "continue", "result": {"view": "ac"}}, "output-invalid"),
        ({"status": "fail", "action": "continue", "result": {"pin": "1"}}, "output-invalid"),
    ],
)
@pytest.mark.parametrize(
    ("fallback", "expected"),
    [(Fallback.NOT_FOUND, None), (Fallback.CONTINUE, "continue"), (Fallback.REJECT, "reject")],
)
def test_without_a_usable_decision_the_fallback_is_sent(
    failure: object, reason: str, fallback: Fallback, expected: str | None
) -> None:
    """Errors, broken and unacceptable decisions become what the operator chose, and the reason is observed."""
    pexip = Pexip(failure, fallback=fallback)

    reply = pexip.ask(query="local_alias=room")

    assert pexip.seen[0].outcome is Outcome.FALLBACK
    assert (pexip.seen[0].reason, pexip.seen[0].alias) == (reason, "room")
    assert reply.status == (404 if expected is None else 200)
    if expected is not None:
        assert body(reply) == {"status": "success", "action": expected, "fallback": reason}


def test_what_was_wrong_is_observed() -> None:
    """The violations tell the author of the rule what to change."""
    pexip = Pexip({"action": "continue", "result": {**ROOM["result"], "pin": "12", "sip_proxy": "x"}})

    pexip.ask()

    assert {violation.code for violation in pexip.seen[0].violations} == {"P04", "P08"}
    assert pexip.seen[0].detail == "P04 result.pin: must be 4 to 20 digits, the last may be #"


def test_warnings_do_not_cost_the_answer() -> None:
    """What Pexip would only ignore is sent and observed."""
    pexip = Pexip({**ROOM, "result": {**ROOM["result"], "nonsense": 1}})

    assert pexip.ask().status == 200
    assert [violation.code for violation in pexip.seen[0].violations] == ["P08"]


def test_an_answer_after_the_deadline_is_not_used() -> None:
    """Past the deadline the fallback is the answer, however good the decision was."""

    def slow() -> object:
        pexip.now += 2.5
        return ROOM

    pexip = Pexip(slow, fallback=Fallback.REJECT, deadline=2.0)

    reply = pexip.ask()

    assert body(reply)["fallback"] == "evaluation-timeout"
    assert pexip.seen[0].duration == 2.5


def test_a_kind_that_is_off_is_left_to_pexip() -> None:
    """Nobody is asked, and the answer is 404."""
    pexip = Pexip(ROOM, enabled=False)

    assert pexip.ask() == Reply(404)
    assert pexip.asked == []
    assert pexip.seen[0].outcome is Outcome.OFF


def test_a_kind_without_a_route_is_left_to_pexip() -> None:
    """What is not configured is off."""
    answers = Answers(Pexip()._decide, {}, lambda: AT)

    assert answers.answer(RequestKind.SERVICE).status == 404


@pytest.mark.parametrize("alias", ["", None])
def test_a_registration_without_alias_is_a_directory_search(alias: str | None) -> None:
    """A slash at the end of the path asks for the phone book."""
    pexip = Pexip({"result": []})

    reply = pexip.ask(RequestKind.REGISTRATION, "q=bu", alias)

    assert body(reply) == {"status": "success", "result": []}
    assert orjson.loads(pexip.asked[0].input or b"")["request_type"] == "directory"


def test_a_directory_answer_keeps_to_the_limit_of_the_request() -> None:
    """More entries than asked for cost the answer."""
    entry = {"username": "", "alias": "a", "description": "A"}
    pexip = Pexip({"result": [entry] * 3})

    assert pexip.ask(RequestKind.DIRECTORY, "limit=3").status == 200
    assert pexip.ask(RequestKind.DIRECTORY, "limit=2").status == 404


def test_an_avatar_is_drawn_in_the_size_asked_for() -> None:
    """The policy names a picture, Pexip gets a JPEG of the right size."""
    out = io.BytesIO()
    Image.new("RGB", (10, 10), "navy").save(out, "PNG")
    pexip = Pexip({"result": {"image": base64.b64encode(out.getvalue()).decode()}})

    reply = pexip.ask(RequestKind.AVATAR, "width=40&height=30", "sip:kari@corp.example")

    assert (reply.status, reply.content_type) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(reply.body)).size == (40, 30)
    assert pexip.seen[0].alias == "sip:kari@corp.example"


@pytest.mark.parametrize("fallback", Fallback)
def test_an_avatar_that_cannot_be_drawn_is_a_404_without_body(fallback: Fallback) -> None:
    """Pexip then draws a placeholder."""
    pexip = Pexip({"result": {"image": "aGVsbG8="}}, fallback=fallback)

    assert pexip.ask(RequestKind.AVATAR, alias="a") == Reply(404)
    assert pexip.seen[0].reason == "invalid-image"


def test_a_broken_observer_costs_no_answer() -> None:
    """Whoever listens, the caller is answered."""

    def broken(_: Observation) -> None:
        raise RuntimeError("boom")

    pexip = Pexip(ROOM)
    answers = Answers(pexip._decide, {RequestKind.SERVICE: Route(enabled=True, policy=POLICY)}, lambda: AT, broken)

    assert answers.answer(RequestKind.SERVICE).status == 200


def test_a_broken_clock_costs_no_answer() -> None:
    """Even what should never fail only leads to the fallback."""

    def broken() -> datetime:
        raise OSError("no time")

    answers = Answers(Pexip(ROOM)._decide, {RequestKind.SERVICE: Route(enabled=True, policy=POLICY)}, broken)

    assert answers.answer(RequestKind.SERVICE).status == 404


def test_observations_hold_no_secret() -> None:
    """PINs, passwords and passcodes are not in what is remembered."""
    decision = {"action": "continue", "result": {**ROOM["result"], "pin": "867530x"}}
    pexip = Pexip(decision)

    pexip.ask(query="local_alias=room&third_party_passcode=55512345&new_parameter=5")

    assert "867530" not in repr(pexip.seen)
    assert "55512345" not in repr(pexip.seen)
    assert pexip.seen[0].unknown == ("new_parameter",)


def test_long_aliases_are_remembered_short() -> None:
    """A megabyte of alias does not go into every log line."""
    pexip = Pexip(ROOM)

    pexip.ask(query="local_alias=" + "x" * 1_000_000)

    assert pexip.seen[0].alias == "x" * 250


_DECISIONS: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(max_size=9)
    | st.sampled_from(["reject", "default"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["action", "result", "image", "location", "name", "status"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(
    kind=st.sampled_from(RequestKind),
    query=st.text(st.characters(max_codepoint=255), max_size=60),
    alias=st.none() | st.text(st.characters(), max_size=9),
    decision=_DECISIONS | st.binary(max_size=20),
    fallback=st.sampled_from(Fallback),
)
def test_every_request_is_answered(
    kind: RequestKind, query: str, alias: str | None, decision: object, fallback: Fallback
) -> None:
    """Whatever is asked and decided, the reply is 200 or 404 and one observation is made."""
    pexip = Pexip(decision, fallback=fallback)

    reply = pexip.ask(kind, query, alias)

    assert reply.status in {200, 404}
    assert len(pexip.seen) == 1
