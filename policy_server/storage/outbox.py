"""Events about changes and their deliveries, on any two shelves."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from policy_server.model.errors import DeliveryNotFound
from policy_server.model.event import ChangeEvent, Delivery, DeliveryPage, DeliveryState
from policy_server.model.policy import PolicyId, Revision
from policy_server.storage.listing import check_limit, utc
from policy_server.storage.shelf import Cell, Row, Shelf, Wanted, decode_name, encode_name, policy_row, row_policy


class ShelfOutbox:
    """Implements ports.Outbox; the events themselves are written by whoever writes the change."""

    def __init__(self, events: Shelf, deliveries: Shelf) -> None:
        """Take the two shelves."""
        self._events = events
        self._deliveries = deliveries

    def events(self, *, after: int, limit: int) -> Sequence[ChangeEvent]:
        """Return events, oldest first."""
        return [read_event(row) for row in self._events.select(Wanted(after=event_key(max(after, 0))), limit=limit)]

    def event(self, stamp: int) -> ChangeEvent | None:
        """Return one event."""
        found = self._events.fetch(event_key(stamp))
        return None if found is None else read_event(found)

    def undispatched(self, limit: int) -> Sequence[ChangeEvent]:
        """Return events that were not handed to targets yet."""
        return [read_event(row) for row in self._events.select(Wanted(equals={"dispatched": False}), limit=limit)]

    def dispatch(self, event: ChangeEvent, targets: Sequence[str], *, at: datetime) -> None:
        """Make one delivery for each target, then note that this was done: a crash in between only repeats it."""
        at = utc(at)
        for target in targets:
            name = f"{event_key(event.stamp)}-{target}"
            self._deliveries.insert(_row(Delivery(name, event.stamp, target, DeliveryState.PENDING, 0, at, at)))
        self._events.change(event_key(event.stamp), {"dispatched": True})

    def claim(self, limit: int, *, at: datetime, until: datetime) -> Sequence[Delivery]:
        """Take deliveries that are due."""
        at, until = utc(at), utc(until)
        due = Wanted(equals={"state": str(DeliveryState.PENDING)}, due=("next_attempt", at))
        claimed = []
        for row in self._deliveries.select(due, limit=limit, by="next_attempt"):
            found = _delivery(row)
            mine = replace(found, attempts=found.attempts + 1, next_attempt=until)
            if self._swap(found, mine):
                claimed.append(mine)
        return claimed

    def delivered(self, delivery: Delivery, *, at: datetime) -> bool:
        """Note success."""
        done = replace(delivery, state=DeliveryState.DELIVERED, settled_at=utc(at), error=None)
        return self._swap(delivery, done)

    def retry(self, delivery: Delivery, *, error: str, next_attempt: datetime) -> bool:
        """Note a failure to be tried again."""
        return self._swap(delivery, replace(delivery, next_attempt=utc(next_attempt), error=error))

    def bury(self, delivery: Delivery, *, error: str, at: datetime) -> bool:
        """Give up."""
        return self._swap(delivery, replace(delivery, state=DeliveryState.DEAD, settled_at=utc(at), error=error))

    def redeliver(self, delivery: str, *, at: datetime) -> Delivery:
        """Make a settled delivery due again."""
        again: Row = {
            "state": str(DeliveryState.PENDING),
            "attempts": 0,
            "next_attempt": utc(at),
            "settled_at": None,
            "error": None,
        }
        for state in (DeliveryState.DEAD, DeliveryState.DELIVERED):
            self._deliveries.change(delivery, again, when={"state": str(state)})
        found = self._deliveries.fetch(delivery)
        if found is None:
            raise DeliveryNotFound(f"There is no delivery {delivery}.")
        return _delivery(found)

    def deliveries(
        self,
        *,
        limit: int,
        state: DeliveryState | None = None,
        target: str | None = None,
        cursor: str | None = None,
    ) -> DeliveryPage:
        """List deliveries, newest event first."""
        check_limit(limit)
        equals: dict[str, Cell] = {} if state is None else {"state": str(state)}
        if target is not None:
            equals["target"] = target
        wanted = Wanted(equals=equals, before=None if cursor is None else decode_name(cursor))
        rows = self._deliveries.select(wanted, limit=limit + 1, newest=True)
        found = tuple(_delivery(row) for row in rows[:limit])
        return DeliveryPage(found, encode_name(found[-1].id) if len(rows) > limit else None)

    def pending(self) -> int:
        """Return how many deliveries are to be tried."""
        return self._deliveries.count(Wanted(equals={"state": str(DeliveryState.PENDING)}))

    def prune(self, before: datetime) -> int:
        """Drop what is old and settled."""
        before = utc(before)
        gone = 0
        for state in (DeliveryState.DELIVERED, DeliveryState.DEAD):
            gone += self._deliveries.remove(Wanted(equals={"state": str(state)}, until=("settled_at", before)))
        waiting = {cast(int, row["stamp"]) for row in self._deliveries.select(Wanted(equals={"state": "pending"}))}
        # Also events that nobody ever handed on: without targets they would be kept for ever.
        gone += self._events.remove(Wanted(until=("at", before), before=event_key(min(waiting)) if waiting else None))
        for row in self._events.select(Wanted(until=("at", before))):
            if _stamp(row) not in waiting:
                gone += self._events.remove(Wanted(equals={"id": row["id"]}))
        return gone

    def _swap(self, old: Delivery, new: Delivery) -> bool:
        when: Row = {"state": str(old.state), "attempts": old.attempts, "next_attempt": old.next_attempt}
        return self._deliveries.change(old.id, _row(new), when=when)


def event_key(stamp: int) -> str:
    """Return under which id the event of a change is kept; sorts as the stamps do."""
    return f"{stamp:016x}"


def event_row(
    stamp: int, what: str, policy: PolicyId, *, revision: int | None, changed: Sequence[str], actor: str, at: datetime
) -> Row:
    """Make the event of a change, to be written in its transaction."""
    return {
        "id": event_key(stamp),
        "event": str(uuid.uuid4()),
        "type": what,
        **policy_row(policy),
        "revision": revision,
        "changed": tuple(changed),
        "actor": actor,
        "at": at,
        "dispatched": False,
    }


def read_event(row: Row) -> ChangeEvent:
    """Read what ``event_row`` made."""
    return ChangeEvent(
        id=cast(str, row["event"]),
        stamp=_stamp(row),
        type=cast(str, row["type"]),
        policy=row_policy(row),
        revision=cast("int | None", row["revision"]),
        changed=cast("tuple[str, ...]", row["changed"]),
        actor=cast(str, row["actor"]),
        at=cast(datetime, row["at"]),
    )


def changed_parts(before: Revision | None, after: Revision) -> tuple[str, ...]:
    """Name the parts in which two revisions differ; the first one differs in all that it has."""
    return differing({} if before is None else _parts(before), _parts(after))


def differing(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """Name the parts that are not equal, in the order of ``after``; if all are, another module was made of them."""
    return tuple(name for name, value in after.items() if value != before.get(name)) or ("module",)


def _parts(revision: Revision) -> dict[str, str | None]:
    source = revision.source
    return {
        "rego": source.rego,
        "data": revision.data,
        "data_config": source.data_config,
        "output_schema": source.output_schema,
        "export_config": source.export_config,
    }


def _stamp(row: Row) -> int:
    return int(cast(str, row["id"]), 16)


def _row(delivery: Delivery) -> Row:
    return {
        "id": delivery.id,
        "stamp": delivery.stamp,
        "target": delivery.target,
        "state": str(delivery.state),
        "attempts": delivery.attempts,
        "next_attempt": delivery.next_attempt,
        "created_at": delivery.created_at,
        "settled_at": delivery.settled_at,
        "error": delivery.error,
    }


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=cast(str, row["id"]),
        stamp=cast(int, row["stamp"]),
        target=cast(str, row["target"]),
        state=DeliveryState(cast(str, row["state"])),
        attempts=cast(int, row["attempts"]),
        next_attempt=cast(datetime, row["next_attempt"]),
        created_at=cast(datetime, row["created_at"]),
        settled_at=cast("datetime | None", row["settled_at"]),
        error=cast("str | None", row["error"]),
    )
