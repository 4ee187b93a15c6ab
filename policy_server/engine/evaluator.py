"""Answers questions: the read spine."""

import logging
import time
import uuid

from policy_server.builtins.call import Memo
from policy_server.engine.catalog import Catalog, Ready
from policy_server.model.decision import Decision, Question

log = logging.getLogger(__name__)


class Evaluator:
    """Asks the catalog who answers, and the policy what it answers."""

    def __init__(self, catalog: Catalog) -> None:
        """Take the catalog of this worker."""
        self._catalog = catalog

    def find(self, question: Question) -> Ready:
        """Return what answers a question now; PolicyNotFound, PolicyLocked, PolicyUnusable."""
        return self._catalog.find(question.policy)

    def decide(self, question: Question) -> Decision:
        """Evaluate one question.

        Raises:
            PolicyNotFound: there is no such policy.
            PolicyLocked: the policy is locked.
            PolicyUnusable: no revision of it was ever good.
            EntrypointNotFound: it has no such rule.
            InvalidJson: the input is not strict JSON.
            EvaluationError: the evaluation failed, each way with its own class.
        """
        return self.answer(self.find(question), question)

    def answer(self, ready: Ready, question: Question, memo: Memo | None = None) -> Decision:
        """Evaluate one question by the revision that was found for it; raises as `decide` does.

        ``memo`` keeps what functions answered, for an explanation.
        """
        errors: list[str] = []
        printed: list[str] = []
        name = question.id or str(uuid.uuid4())
        started = time.perf_counter_ns()
        try:
            result = ready.policy.evaluate_json(
                question.input,
                entrypoint=question.entrypoint or ready.revision.manifest.entrypoints[0],
                headers=question.headers,
                deadline=question.deadline,
                strict=question.strict,
                trusted=question.trusted,
                errors=errors,
                printed=printed,
                memo=memo,
            )
            duration = time.perf_counter_ns() - started
        finally:
            # What was printed before a failure is what its author wants to see.
            if printed:
                _tell(printed, name, question)
        return Decision(
            id=name,
            policy=question.policy,
            revision=ready.revision.number,
            result=result,
            duration_ns=duration,
            errors=tuple(errors),
            printed=tuple(printed),
        )


def _tell(printed: list[str], name: str, question: Question) -> None:
    # SECURITY: a policy may print anything of its input, so nobody sees it who did not ask for debugging.
    if log.isEnabledFor(logging.DEBUG):
        about = {"action": "policy.print", "decision_id": name, "policy": str(question.policy)}
        for line in printed:
            log.debug("policy printed: %s", line, extra=about)
