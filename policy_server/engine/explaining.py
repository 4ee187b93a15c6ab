"""Tells how a decision comes about: OPA's own trace of the same evaluation."""

import threading
import time
from typing import Final, cast

from policy_server.builtins.call import Call
from policy_server.builtins.registry import Registry
from policy_server.engine.catalog import Ready
from policy_server.engine.evaluator import Evaluator
from policy_server.model.decision import Explained, Level, Question
from policy_server.model.errors import Busy, EvaluationTimeout
from policy_server.model.values import UNDEFINED
from policy_server.toolkit.toolkit import Toolkit

MAX_EVENTS: Final = 10_000
"""How many steps of an evaluation are kept; one explanation must not cost the worker its memory."""

FILE: Final = "policy.rego"
"""The name of the source in traces; the same as in the messages of its module."""

CUT: Final = "(the rest of the trace is left out)"


class Explainer:
    """Answers questions twice: by the policy, and step by step by OPA's interpreter.

    One at a time in a process, so that explanations never take the threads or the
    processor from decisions; who comes second is refused.
    """

    def __init__(self, evaluator: Evaluator, toolkit: Toolkit, registry: Registry) -> None:
        """Take who decides, and what the interpreter needs."""
        self._evaluator = evaluator
        self._toolkit = toolkit
        self._registry = registry
        self._turn = threading.Lock()

    def explain(self, question: Question, level: Level) -> Explained:
        """Decide, and trace the same revision with the same input; one deadline covers both.

        Raises:
            Busy: another question is being explained in this process.
            PolicyServerError: as `Evaluator.decide`, and when the trace could not be made in time.
        """
        if not self._turn.acquire(blocking=False):
            raise Busy("Another evaluation is being explained; try again in a moment.")
        try:
            until = time.monotonic() + question.deadline
            now = time.time_ns()
            ready = self._evaluator.find(question)
            # One memory for both, so that what a policy makes others do is done once.
            call = Call(question.headers, now, until, strict=False)
            decision = self._evaluator.answer(ready, question, call.memo)
            return Explained(decision, self._trace(ready, question, level, call))
        finally:
            self._turn.release()

    def _trace(self, ready: Ready, question: Question, level: Level, call: Call) -> tuple[str, ...]:
        remaining = call.remaining()
        if remaining <= 0:
            raise EvaluationTimeout("The decision left no time for its explanation.")
        source, manifest, data = ready.revision.source, ready.revision.manifest, ready.revision.data
        answer = self._toolkit.eval(
            query_of(question.entrypoint or manifest.entrypoints[0]),
            {FILE: source.rego},
            data=None if data is None else data.encode(),
            input=UNDEFINED if question.input is None else question.input,
            dialect=manifest.dialect,
            trace=level,
            trace_limit=MAX_EVENTS,
            text_only=True,
            now_ns=call.now_ns,
            builtins=self._registry.declarations(),
            host=self._registry.host(call),
            deadline=remaining,
        )
        lines = str(answer["trace_text"]).splitlines()
        return (*lines, CUT) if cast("bool", answer["trace_cut"]) else tuple(lines)


def query_of(entrypoint: str) -> str:
    """Return the Rego reference of an entrypoint: ``group/name`` is ``data["group"]["name"]``."""
    quoted = (part.replace("\\", "\\\\").replace('"', '\\"') for part in entrypoint.split("/"))
    return "data" + "".join(f'["{part}"]' for part in quoted)
