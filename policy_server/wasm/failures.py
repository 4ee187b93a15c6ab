"""What a stopped module means, in the words of model/errors.py."""

import re
from typing import Final

from policy_server.model.errors import (
    EvaluationAborted,
    EvaluationError,
    EvaluationTimeout,
    EvaluationTrapped,
    MemoryExceeded,
    Problem,
    RuleConflict,
)
from policy_server.wasm.machine import Stopped

_PLACE: Final = re.compile(r"(?P<file>.+):(?P<line>[0-9]+):(?P<column>[0-9]+): (?P<message>.+)", re.DOTALL)
_CONFLICTS: Final = {
    "var assignment conflict": "complete rules must not produce multiple outputs",
    "object insert conflict": "object keys must be unique",
}


class Aborted(Exception):
    """The module called opa_abort with this text."""


def of_abort(error: Aborted) -> EvaluationError:
    """Tell what an abort means."""
    text = str(error)
    if text == "opa_malloc: failed":
        return MemoryExceeded()
    place = _PLACE.fullmatch(text)
    message = place["message"] if place else text
    problem = Problem(message, place["file"], int(place["line"]), int(place["column"])) if place else Problem(message)
    if message in _CONFLICTS:
        problem = Problem(_CONFLICTS[message], problem.file, problem.line, problem.column, "eval_conflict_error")
        return RuleConflict(f"Two rules gave different values for the same thing: {problem}", problems=[problem])
    return EvaluationAborted(f"The policy module aborted: {problem}", problems=[problem])


def of_trap(error: Stopped) -> EvaluationError:
    """Tell what a trap means."""
    if error.code == "INTERRUPT":
        return EvaluationTimeout()
    if error.code == "STACK_OVERFLOW":
        return EvaluationTrapped("The policy module trapped: its stack was exhausted, values nest too deeply.")
    reason = str(error).strip().splitlines()
    return EvaluationTrapped(f"The policy module trapped: {reason[-1].strip() if reason else 'no reason given'}")
