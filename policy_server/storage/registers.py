"""Subscribers and automatic imports, on any shelf."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, cast

from policy_server.model.auto_import import AutoImport
from policy_server.model.errors import AlreadyExists, AutoImportNotFound, StoreUnavailable, SubscriberNotFound
from policy_server.model.policy import PolicyId
from policy_server.model.subscriber import Subscriber, SubscriberState
from policy_server.storage.listing import utc, utc_or_none
from policy_server.storage.shelf import EVERYTHING, Row, Shelf, Wanted, policy_row, row_policy

_TRIES: Final = 10


class Subscribers:
    """Implements ports.SubscriberStore."""

    def __init__(self, shelf: Shelf) -> None:
        """Take a shelf of subscribers."""
        self._shelf = shelf

    def add(self, subscriber: Subscriber) -> None:
        """Keep a new one."""
        if not self._shelf.insert(_subscriber_row(subscriber)):
            raise AlreadyExists("There is such a subscriber already.")

    def get(self, subscriber: str) -> Subscriber:
        """Return one by its id."""
        found = self._shelf.fetch(subscriber)
        if found is None:
            raise SubscriberNotFound(f"There is no subscriber {subscriber}.")
        return _subscriber(found)

    def find(self, policy: PolicyId | None = None) -> Sequence[Subscriber]:
        """Return those of a policy, or all."""
        wanted = EVERYTHING if policy is None else Wanted(equals=policy_row(policy))
        return [_subscriber(row) for row in self._shelf.select(wanted)]

    def save(self, subscriber: Subscriber) -> None:
        """Replace one."""
        self.get(subscriber.id)
        if not self._shelf.put(_subscriber_row(subscriber)):
            raise AlreadyExists("There is such a subscriber already.")

    def remove(self, subscriber: str) -> None:
        """Forget one."""
        if not self._shelf.remove(Wanted(equals={"id": subscriber})):
            raise SubscriberNotFound(f"There is no subscriber {subscriber}.")


class AutoImports:
    """Implements ports.AutoImportStore."""

    def __init__(self, shelf: Shelf) -> None:
        """Take a shelf of automatic imports."""
        self._shelf = shelf

    def save(self, auto_import: AutoImport) -> AutoImport:
        """Insert, or replace the one with this URL."""
        # The URL decides, and somebody else may add or remove it between looking and writing.
        for _ in range(_TRIES):
            known = self._by_url(auto_import.url)
            kept = auto_import if known is None else replace(auto_import, id=known.id)
            row = _import_row(kept)
            if self._shelf.insert(row) if known is None else self._shelf.put(row):
                return _import(row)
        raise StoreUnavailable("This automatic import is being changed by others all the time; try again.")

    def all(self) -> Sequence[AutoImport]:
        """Return all, ordered by URL."""
        return [_import(row) for row in self._shelf.select(by="url")]

    def due(self, at: datetime) -> Sequence[AutoImport]:
        """Return those that are due."""
        return [_import(row) for row in self._shelf.select(Wanted(due=("next_import", utc(at))), by="next_import")]

    def remove(self, url: str) -> AutoImport:
        """Forget and return one."""
        known = self._by_url(url)
        if known is None or not self._shelf.remove(Wanted(equals={"id": known.id})):
            raise AutoImportNotFound(f"There is no automatic import of {url}.")
        return known

    def _by_url(self, url: str) -> AutoImport | None:
        found = self._shelf.select(Wanted(equals={"url": url}))
        return _import(found[0]) if found else None


def _subscriber_row(subscriber: Subscriber) -> Row:
    return {
        "id": subscriber.id,
        **policy_row(subscriber.policy),
        "name": subscriber.name,
        "url": subscriber.url,
        "created_at": utc(subscriber.created_at),
        "updated_at": utc(subscriber.updated_at),
        "secret": subscriber.secret,
        "state": str(subscriber.state),
    }


def _subscriber(row: Row) -> Subscriber:
    return Subscriber(
        id=cast(str, row["id"]),
        policy=row_policy(row),
        name=cast(str, row["name"]),
        url=cast(str, row["url"]),
        created_at=cast(datetime, row["created_at"]),
        updated_at=cast(datetime, row["updated_at"]),
        secret=cast("str | None", row["secret"]),
        state=SubscriberState(cast(str, row["state"])),
    )


def _import_row(auto_import: AutoImport) -> Row:
    return {
        "id": auto_import.id,
        "url": auto_import.url,
        "interval": auto_import.interval // timedelta(microseconds=1) * 1000,  # nanoseconds, as the original has it
        "next_import": utc(auto_import.next_import),
        "last_attempt": utc_or_none(auto_import.last_attempt),
        "last_success": utc_or_none(auto_import.last_success),
        "error": auto_import.error,
    }


def _import(row: Row) -> AutoImport:
    return AutoImport(
        id=cast(str, row["id"]),
        url=cast(str, row["url"]),
        interval=timedelta(microseconds=cast(int, row["interval"]) // 1000),
        next_import=cast(datetime, row["next_import"]),
        last_attempt=cast("datetime | None", row["last_attempt"]),
        last_success=cast("datetime | None", row["last_success"]),
        error=cast("str | None", row["error"]),
    )
