"""Writes down each change before it is made."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from policy_server.audit.caller import current
from policy_server.model.audit import AuditRecord
from policy_server.model.errors import PolicyServerError, StoreUnavailable
from policy_server.ports import AuditStore, Clock

FAILED: Final = "failed"
"""The outcome of a change that broke off for a reason that is not ours."""

log = logging.getLogger(__name__)


class Journal:
    """Keeps audit records in the order that loses none.

    A change is recorded before it is made: one that cannot be recorded is not
    made (StoreUnavailable). When it fails afterwards, a second record says so.
    A process that dies between the two leaves a record whose ``after`` no
    revision has, never a change without a record.
    """

    def __init__(self, store: AuditStore, clock: Clock) -> None:
        """Take where records are kept."""
        self._store = store
        self._clock = clock

    @contextmanager
    def change(
        self, action: str, subject: object, *, actor: str, before: str | None = None, after: str | None = None
    ) -> Iterator[None]:
        """Record a change, then let it be made; ``before`` and ``after`` are digests or ``entitled``."""
        self._store.record(self._made(action, subject, actor=actor, before=before, after=after))
        outcome = FAILED
        try:
            yield
            outcome = ""
        except PolicyServerError as error:
            outcome = error.slug
            raise
        finally:
            if outcome:
                self._correct(self._made(action, subject, actor=actor, before=before, outcome=outcome))

    def note(self, action: str, subject: object, *, actor: str, outcome: str, after: str | None = None) -> None:
        """Record what was tried and refused; StoreUnavailable."""
        self._store.record(self._made(action, subject, actor=actor, outcome=outcome, after=after))

    def _correct(self, record: AuditRecord) -> None:
        try:
            self._store.record(record)
        except StoreUnavailable as error:
            # The error that is on its way matters more; the log keeps what the store cannot.
            log.error(  # noqa: TRY400 - where it was raised is of no interest
                "%s of %s by %s: %s, which could not be recorded: %s",
                record.action,
                record.subject,
                record.actor,
                record.outcome,
                error.message,
                extra={"action": "audit.failed", "subject": record.subject},
            )

    def _made(
        self,
        action: str,
        subject: object,
        *,
        actor: str,
        before: str | None = None,
        after: str | None = None,
        outcome: str = "ok",
    ) -> AuditRecord:
        caller = current()
        return AuditRecord(
            at=self._clock(),
            actor=actor,
            action=action,
            subject=str(subject),
            outcome=outcome,
            origin="" if caller is None else caller.origin,
            request_id="" if caller is None else caller.request_id,
            before=before,
            after=after,
        )


def entitled(name: str, to: Sequence[str], until: datetime | None) -> str:
    """Write what somebody may do, for ``before`` and ``after``: ``ci: read edit; until 2030-…``."""
    rights = f"{name}: {' '.join(to)}" if to else name
    return rights if until is None else f"{rights}; until {until.isoformat()}"
