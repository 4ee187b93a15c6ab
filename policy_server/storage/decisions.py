"""Records of decisions, on any shelf."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

from policy_server.model.errors import DecisionNotFound
from policy_server.model.logged import DecisionFilter, DecisionPage, LoggedDecision
from policy_server.storage.listing import check_limit, fold, utc
from policy_server.storage.shelf import (
    POLICY,
    Cell,
    Row,
    Shelf,
    Wanted,
    decode_name,
    encode_name,
    moment_id,
    policy_row,
    row_policy,
)

_PORTION: Final = 500
"""How many old records are dropped at a time, so that other writers get their turn."""

_NO_POLICY: Final = dict.fromkeys(POLICY, "")


class Decisions:
    """Implements ports.DecisionStore."""

    def __init__(self, shelf: Shelf) -> None:
        """Take a shelf of decisions."""
        self._shelf = shelf

    def record(self, decisions: Sequence[LoggedDecision]) -> None:
        """Append records."""
        if decisions:
            self._shelf.extend([_row(decision) for decision in decisions])

    def find(self, wanted: DecisionFilter, *, limit: int, cursor: str | None = None) -> DecisionPage:
        """List records, newest first."""
        check_limit(limit)
        rows = self._shelf.select(_wanted(wanted, cursor), limit=limit + 1, newest=True)
        found = tuple(_decision(row) for row in rows[:limit])
        return DecisionPage(found, encode_name(found[-1].id) if len(rows) > limit else None)

    def get(self, decision_id: str) -> LoggedDecision:
        """Return the newest record with this decision id."""
        rows = self._shelf.select(Wanted(equals={"decision_id": decision_id}), limit=1, newest=True)
        if not rows:
            raise DecisionNotFound(f"There is no record of a decision {decision_id}.")
        return _decision(rows[0])

    def prune(self, before: datetime, *, keep: int) -> int:
        """Drop old records, and those that are too many."""
        bound = moment_id(utc(before))
        surplus = self._shelf.select(limit=1, newest=True, skip=keep)
        if surplus:
            # The newest that goes goes, too.
            bound = max(bound, f"{surplus[0]['id']}0")
        gone = 0
        while dropped := self._shelf.remove(Wanted(before=bound), limit=_PORTION):
            gone += dropped
        return gone


def _wanted(wanted: DecisionFilter, cursor: str | None) -> Wanted:
    bounds = [] if cursor is None else [decode_name(cursor)]
    if wanted.until is not None:
        bounds.append(moment_id(utc(wanted.until)))
    names = ("path", "endpoint", "kind", "outcome", "requested_by", "decision_id", "failed")
    equals: dict[str, Cell] = {name: value for name in names if (value := getattr(wanted, name)) is not None}
    if wanted.policy is not None:
        equals |= policy_row(wanted.policy)
    return Wanted(
        equals=equals,
        among={} if wanted.repositories is None else {"policy_repository": wanted.repositories - {""}},
        contains={} if wanted.alias_contains is None else {"folded_alias": fold(wanted.alias_contains)},
        after=None if wanted.since is None else moment_id(utc(wanted.since)),
        before=min(bounds) if bounds else None,
    )


def _row(decision: LoggedDecision) -> Row:
    return {
        "id": decision.id,
        "decision_id": decision.decision_id,
        "at": utc(decision.at),
        **(_NO_POLICY if decision.policy is None else policy_row(decision.policy)),
        "path": decision.path,
        "endpoint": decision.endpoint,
        "kind": decision.kind,
        "alias": decision.alias,
        "folded_alias": None if decision.alias is None else fold(decision.alias),
        "outcome": decision.outcome,
        "requested_by": decision.requested_by,
        "failed": decision.failed,
        "body": decision.body,
    }


def _decision(row: Row) -> LoggedDecision:
    return LoggedDecision(
        id=cast(str, row["id"]),
        decision_id=cast(str, row["decision_id"]),
        at=cast(datetime, row["at"]),
        policy=row_policy(row) if row["policy_repository"] else None,
        path=cast(str, row["path"]),
        endpoint=cast(str, row["endpoint"]),
        kind=cast("str | None", row["kind"]),
        alias=cast("str | None", row["alias"]),
        outcome=cast(str, row["outcome"]),
        requested_by=cast(str, row["requested_by"]),
        failed=bool(row["failed"]),
        body=cast(str, row["body"]),
    )
