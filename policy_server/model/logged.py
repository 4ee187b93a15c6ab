"""Decisions as they are kept and found again."""

from dataclasses import dataclass, field
from datetime import datetime

from policy_server.model.policy import PolicyId


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One decision, masked.

    ``id`` is unique and sorts by time; ``decision_id`` may be the caller's, and repeat. ``path`` is what was evaluated
    (``group/name/rule``), ``endpoint`` through which door (``pexip``, ``evaluation``, ``validation``, ``data``,
    ``authzen``), ``kind`` the kind of a Pexip request. ``body`` is the whole record, JSON text.
    """

    id: str
    decision_id: str
    at: datetime
    policy: PolicyId | None
    path: str
    endpoint: str
    outcome: str
    requested_by: str
    failed: bool
    body: str = field(repr=False)
    kind: str | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions to list; None means any.

    ``since`` is included, ``until`` is not. ``alias_contains`` does not look at case. ``failed`` True: only those
    with an error. ``repositories`` are those that whoever asks may see, None all of them; a decision of no
    policy is seen only by who sees all.
    """

    policy: PolicyId | None = None
    path: str | None = None
    endpoint: str | None = None
    kind: str | None = None
    outcome: str | None = None
    requested_by: str | None = None
    decision_id: str | None = None
    alias_contains: str | None = None
    failed: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    repositories: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """One page of decisions, newest first."""

    decisions: tuple[LoggedDecision, ...]
    next_cursor: str | None
