"""Audit records, on any shelf."""

import secrets
from dataclasses import replace
from datetime import datetime
from typing import cast

from policy_server.model.audit import AuditFilter, AuditPage, AuditRecord
from policy_server.storage.listing import check_limit, utc
from policy_server.storage.shelf import Cell, Row, Shelf, Wanted, decode_name, encode_name, moment_id


class Audit:
    """Implements ports.AuditStore."""

    def __init__(self, shelf: Shelf) -> None:
        """Take a shelf of audit records."""
        self._shelf = shelf

    def record(self, record: AuditRecord) -> AuditRecord:
        """Append a record under an id that sorts by its time."""
        at = utc(record.at)
        kept = replace(record, at=at, id=moment_id(at) + secrets.token_hex(8))
        self._shelf.insert(_row(kept))
        return kept

    def find(self, wanted: AuditFilter, *, limit: int, cursor: str | None = None) -> AuditPage:
        """List records, newest first."""
        check_limit(limit)
        bounds = [] if cursor is None else [decode_name(cursor)]
        if wanted.until is not None:
            bounds.append(moment_id(utc(wanted.until)))
        equals: dict[str, Cell] = {
            name: value
            for name, value in (("actor", wanted.actor), ("action", wanted.action), ("subject", wanted.subject))
            if value is not None
        }
        since = None if wanted.since is None else moment_id(utc(wanted.since))
        which = Wanted(equals=equals, after=since, before=min(bounds) if bounds else None)
        rows = self._shelf.select(which, limit=limit + 1, newest=True)
        records = tuple(_record(row) for row in rows[:limit])
        return AuditPage(records, encode_name(records[-1].id) if len(rows) > limit else None)

    def prune(self, before: datetime) -> int:
        """Drop old records."""
        return self._shelf.remove(Wanted(before=moment_id(utc(before))))


def _row(record: AuditRecord) -> Row:
    return {
        "id": record.id,
        "at": record.at,
        "actor": record.actor,
        "action": record.action,
        "subject": record.subject,
        "outcome": record.outcome,
        "origin": record.origin,
        "request_id": record.request_id,
        "before": record.before,
        "after": record.after,
    }


def _record(row: Row) -> AuditRecord:
    return AuditRecord(
        at=cast(datetime, row["at"]),
        actor=cast(str, row["actor"]),
        action=cast(str, row["action"]),
        subject=cast(str, row["subject"]),
        outcome=cast(str, row["outcome"]),
        origin=cast(str, row["origin"]),
        request_id=cast(str, row["request_id"]),
        before=cast("str | None", row["before"]),
        after=cast("str | None", row["after"]),
        id=cast(str, row["id"]),
    )
