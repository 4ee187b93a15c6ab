"""Repositories that policies come from, and how each is doing."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class GitCondition(StrEnum):
    """WAITING: not synchronised yet. SYNCING: being looked at. READY: as in Git. FAILING: the last attempt failed."""

    WAITING = "waiting"
    SYNCING = "syncing"
    READY = "ready"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class GitCounts:
    """What the last successful look led to, in policies; ``skipped`` counts files and directories."""

    published: int = 0
    unchanged: int = 0
    failed: int = 0
    deleted: int = 0
    kept: int = 0
    marked: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class GitState:
    """How one repository is doing; kept in the store, written only by who synchronises it.

    ``commit`` is the one whose policies are published, and ``seconds`` how long that took.
    ``error`` is None unless the last attempt failed; ``failures`` counts attempts since the last success.
    ``broken`` has at most 50 policies that could not be published, each with its reason; ``warnings`` at most 50
    things that were left alone. ``answered`` is the newest request to synchronise that was seen to.
    """

    repository: str
    condition: GitCondition = GitCondition.WAITING
    commit: str | None = None
    last_attempt: datetime | None = None
    last_success: datetime | None = None
    next_attempt: datetime | None = None
    error: str | None = None
    failures: int = 0
    seconds: float | None = None
    counts: GitCounts = GitCounts()
    broken: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    answered: str = ""
