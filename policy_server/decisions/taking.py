"""Notes on the thread of a request what was decided: references only, nothing is copied or written."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from policy_server.engine.evaluator import Evaluator
from policy_server.model.errors import InvalidJson, PolicyServerError
from policy_server.model.policy import Revision

if TYPE_CHECKING:
    from policy_server.builtins.call import Memo
    from policy_server.engine.catalog import Ready
    from policy_server.model.decision import Decision, Question
    from policy_server.model.policy import PolicyId
    from policy_server.pexip.answers import Observation


class Request:
    """Who asked for a decision, and what became of the request.

    ``handler`` is its path template, ``status`` that of the answer, ``trace`` what log
    lines say of the trace it belongs to.
    """

    __slots__ = ("handler", "id", "requested_by", "status", "trace")

    def __init__(
        self,
        *,
        handler: str,
        status: int,
        requested_by: str,
        request_id: str = "",
        trace: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Take what the request knows."""
        self.handler = handler
        self.status = status
        self.requested_by = requested_by
        self.id = request_id
        self.trace = trace


MOST_ERRORS: Final = 20
LONGEST: Final = 2000
"""How many failures of functions are kept, and how many characters of each text."""

UNKNOWN: Final = Request(handler="", status=0, requested_by="")
"""Until the request was answered."""


class Slip:
    """One decision while its request is being answered.

    ``at_ns`` is the time since 1970. ``seen`` is there for Pexip. ``error`` is the slug of what went wrong and
    its message. ``oversize`` are pointers to what was too large to keep.
    PERF: a plain object; a frozen dataclass takes twice as long to make.
    """

    __slots__ = (
        "at_ns", "duration_ns", "entrypoint", "error", "errors", "id", "input", "oversize", "policy", "request",
        "result", "revision", "seen"
    )  # fmt: skip

    def __init__(
        self,
        question: "Question | None",
        revision: Revision | None = None,
        decision: "Decision | None" = None,
        error: PolicyServerError | None = None,
    ) -> None:
        """Take what is known of a decision; not the question itself, which holds on to the whole request."""
        self.at_ns = time.time_ns()
        self.policy: PolicyId | None = None
        self.entrypoint: str | None = None
        self.input: bytes | None = None
        self.id = ""
        if question is not None:
            self.policy, self.entrypoint, self.input = question.policy, question.entrypoint, question.input
            self.id = question.id
        self.result: bytes | None = None
        self.duration_ns = 0
        self.errors: tuple[str, ...] = ()
        if decision is not None:
            self.id, self.result = decision.id, decision.result
            self.duration_ns, self.errors = decision.duration_ns, decision.errors[:MOST_ERRORS]
        self.revision = revision
        self.error: tuple[str, str] | None = None
        if error is not None:
            self.fail(error)
        self.seen: Observation | None = None
        self.oversize: tuple[str, ...] = ()
        self.request = UNKNOWN

    def fail(self, error: PolicyServerError) -> None:
        """Note why there is no usable decision; not the error itself, whose traceback holds on to the whole request."""
        self.error = (error.slug, error.message[:LONGEST])

    def shrink(self, most: int) -> None:
        """Let the larger of input and result go when they have more bytes together, and the other if it must.

        So that what waits stays small.
        """
        asked, answered = len(self.input or b""), len(self.result or b"")
        if asked + answered <= most:
            return
        if asked > most or asked > answered:
            self.input, self.oversize = None, ("/input",)
        if answered > most or asked <= answered:
            self.result, self.oversize = None, (*self.oversize, "/result")


_open: ContextVar[list[Slip] | None] = ContextVar("decisions", default=None)


def begin() -> None:
    """Note from now on what this thread decides."""
    _open.set([])


def end() -> list[Slip] | None:
    """Note no more; return what was decided since `begin`, None when nobody began."""
    slips = _open.get()
    _open.set(None)
    return slips


def observe(seen: "Observation") -> None:
    """Note how Pexip was answered; observers of ``Answers`` call it."""
    slips = _open.get()
    if slips is None:
        return
    if not slips:
        slips.append(Slip(None))
    slips[-1].seen = seen


def spoil(error: PolicyServerError) -> None:
    """Note that what was decided last could not be used as an answer."""
    slips = _open.get()
    if slips:
        slips[-1].fail(error)


class RecordingEvaluator(Evaluator):
    """Decides like any other, and notes it where somebody wants to know."""

    def find(self, question: "Question") -> "Ready":
        """Return what answers a question now; a refusal is a decision, too."""
        try:
            return super().find(question)
        except PolicyServerError as error:
            _note(Slip(question, error=error))
            raise

    def answer(self, ready: "Ready", question: "Question", memo: "Memo | None" = None) -> "Decision":
        """Evaluate one question."""
        try:
            decision = super().answer(ready, question, memo)
        except InvalidJson:
            # Nothing was asked that could be decided; some callers ask again with what can be read.
            raise
        except PolicyServerError as error:
            _note(Slip(question, ready.revision, error=error))
            raise
        _note(Slip(question, ready.revision, decision))
        return decision


def _note(slip: Slip) -> None:
    slips = _open.get()
    if slips is not None:
        slips.append(slip)
