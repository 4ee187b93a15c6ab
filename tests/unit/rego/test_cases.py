"""Every case file, through WebAssembly and through OPA itself."""

import io
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from PIL import Image

from policy_server.model.decision import Decision, Question
from policy_server.model.policy import Dialect
from policy_server.pexip.answers import Answers, Observation, Route
from policy_server.pexip.kinds import Fallback, RequestKind
from policy_server.pexip.replies import Reply
from rego.bundled import Bundle, policy_id, source
from rego.cases import Case, all_cases

AT = datetime(2026, 11, 1, tzinfo=UTC)
CASES = all_cases()


class Replay:
    """Sends one case through the bundled policies and keeps what came by."""

    def __init__(self, bundle: Bundle, case: Case) -> None:
        """Take the policies and the case."""
        self.question: Question | None = None
        self.decision: bytes | None = None
        self.seen: list[Observation] = []
        self._bundle = bundle
        self._case = case

    def decide(self, question: Question) -> Decision:
        """Evaluate with the book of the case."""
        kind = RequestKind(question.policy.name)
        policy = self._bundle.policy(kind)
        policy.set_data(self.book(kind))
        self.question = question
        self.decision = policy.evaluate_json(question.input, entrypoint=question.entrypoint)
        return Decision(question.id, question.policy, 1, self.decision, 0)

    def book(self, kind: RequestKind) -> bytes:
        """Return the book of the case, or the sample."""
        return self._bundle.data(kind) if self._case.book is None else orjson.dumps(self._case.book)

    def send(self) -> Reply:
        """Ask what the case asks."""
        fallback = Fallback(self._case.fallback)
        routes = {
            kind: Route(enabled=True, policy=policy_id(kind), fallback=fallback, deadline=30) for kind in RequestKind
        }
        answers = Answers(self.decide, routes, lambda: AT, self.seen.append)
        return answers.answer(self._case.kind, alias=self._case.alias, query=self._case.query)


def seen_reply(reply: Reply, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the reply in the form case files have."""
    seen: dict[str, Any] = {"status": reply.status}
    if reply.content_type == "image/jpeg":
        seen["image"] = list(Image.open(io.BytesIO(reply.body)).size)
    elif "body" in wanted:
        seen["body"] = orjson.loads(reply.body)
        assert seen["body"].pop("decision_id")
    return seen


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_is_answered_as_its_file_says(bundle: Bundle, case: Case) -> None:
    """Reply and observation are those of the file."""
    replay = Replay(bundle, case)

    reply = replay.send()

    seen = replay.seen[0]
    assert seen_reply(reply, case.reply) == case.reply
    assert {
        "outcome": str(seen.outcome),
        "reason": seen.reason,
        "violations": [violation.code for violation in seen.violations],
    } == case.log


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_opa_decides_a_case_like_webassembly(bundle: Bundle, case: Case) -> None:
    """The decision is the one of OPA's own interpreter."""
    replay = Replay(bundle, case)
    replay.send()
    assert replay.question is not None
    kind = RequestKind(replay.question.policy.name)

    answer = bundle.toolkit.eval(
        f"data.pexip.{kind}.decision",
        {"policy.rego": source(kind)},
        data=orjson.loads(replay.book(kind)),
        input=orjson.loads(replay.question.input or b"null"),
        dialect=Dialect.V1,
    )

    assert orjson.loads(replay.decision or b"null") == value_of(answer)


def value_of(answer: Any) -> Any:
    """Return the one value of an answer of OPA."""
    return answer["result"][0]["expressions"][0]["value"]


def test_every_kind_has_cases() -> None:
    """Who adds a kind of request adds cases."""
    assert {case.name.partition("/")[0] for case in CASES} == {str(kind) for kind in RequestKind}
