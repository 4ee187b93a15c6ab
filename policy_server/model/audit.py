"""Who changed what, when and from where."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One action that changed something, or tried to.

    ``subject`` is what was acted on (a policy, ``token/<id>``); ``origin`` the
    address it came from. ``before`` and ``after`` are digests or masked values,
    never secrets. ``id`` is given by the store and sorts by time.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    outcome: str = "ok"
    origin: str = ""
    request_id: str = ""
    before: str | None = None
    after: str | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records to list; None means any. ``since`` is included, ``until`` is not."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page of records, newest first."""

    records: tuple[AuditRecord, ...]
    next_cursor: str | None
