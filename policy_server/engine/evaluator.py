"""Answers questions: the read spine."""

import time
import uuid

from policy_server.engine.catalog import Catalog
from policy_server.model.decision import Decision, Question


class Evaluator:
    """Asks the catalog who answers, and the policy what it answers."""

    def __init__(self, catalog: Catalog) -> None:
        """Take the catalog of this worker."""
        self._catalog = catalog

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
        ready = self._catalog.find(question.policy)
        errors: list[str] = []
        started = time.perf_counter_ns()
        result = ready.policy.evaluate_json(
            question.input,
            entrypoint=question.entrypoint or ready.revision.manifest.entrypoints[0],
            headers=question.headers,
            deadline=question.deadline,
            strict=question.strict,
            trusted=question.trusted,
            errors=errors,
        )
        return Decision(
            id=question.id or str(uuid.uuid4()),
            policy=question.policy,
            revision=ready.revision.number,
            result=result,
            duration_ns=time.perf_counter_ns() - started,
            errors=tuple(errors),
        )
