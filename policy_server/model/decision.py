"""What is asked of a policy, and what it decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from policy_server.model.policy import PolicyId


@dataclass(frozen=True, slots=True)
class Question:
    """One evaluation that somebody wants.

    ``input`` is the JSON text of the input document, or None for undefined
    input. ``entrypoint`` is a path inside the module (``group/name/rule``);
    None means the package document. ``headers`` have canonical names
    (``X-Cache-Key``) and the first value. ``deadline`` is in seconds. ``id`` is
    the decision id to use, "" to make one. ``strict`` makes a failing builtin an
    error instead of undefined. ``trusted`` says that we wrote the input ourselves, so
    that it need not be checked for being strict JSON.
    """

    policy: PolicyId
    input: bytes | None = None
    entrypoint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline: float = 2.0
    id: str = ""
    strict: bool = False
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: ``result`` is JSON text, None when undefined.

    ``duration_ns`` is the time inside the evaluation; ``errors`` are the
    builtin errors that became undefined on the way; ``printed`` the lines of ``print``.
    """

    id: str
    policy: PolicyId
    revision: int
    result: bytes | None
    duration_ns: int
    errors: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()


class Level(StrEnum):
    """How much an explanation tells: every step, what ``trace`` said, or what failed."""

    FULL = "full"
    NOTES = "notes"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision, and how OPA's interpreter comes to it: ``lines`` of its own trace."""

    decision: Decision
    lines: tuple[str, ...]
