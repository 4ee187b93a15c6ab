"""The store that keeps everything in an SQL database: SQLite or PostgreSQL."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from policy_server.model.change import Applied, Change
from policy_server.model.errors import SettingsError
from policy_server.model.policy import (
    Page,
    PolicyChanged,
    PolicyFilter,
    PolicyId,
    PolicyRecord,
    PolicySource,
    Revision,
    RevisionSummary,
)
from policy_server.model.refresh import RefreshState
from policy_server.storage import bookkeeping, records, writing
from policy_server.storage.around import Around
from policy_server.storage.connections import Database
from policy_server.storage.listing import KEEP, check_limit, decode_cursor, in_utc, utc
from policy_server.storage.migrations.schema import check_schema, upgrade
from policy_server.storage.shelf_sql import SqlShelf
from policy_server.storage.single import Single
from policy_server.storage.sqlite import SqliteFile

SQLITE: Final = "sqlite:///"


class SqlStore(Single, Around):
    """Implements ports.Store; safe for threads, for several processes, and for forks.

    Every method is one transaction. Nothing is opened before the first one,
    and ``migrate`` makes the tables that the others need.
    """

    def __init__(self, url: str, *, keep: int = KEEP) -> None:
        """Take ``sqlite:///path`` or ``postgresql://…``; ``keep`` revisions of each policy stay."""
        self._database = _database(url)
        super().__init__(lambda kind: SqlShelf(kind, self._database))
        self._keep = max(keep, 1)

    def migrate(self) -> None:
        """Make or upgrade the tables; repeatable, and safe when several processes begin at once."""
        with self._database.migrating() as connection:
            upgrade(connection, self._database.place)

    def stamp(self) -> int:
        """Return the number of committed changes of policies."""
        return self._database.stamp()

    def changes(self, since: int) -> Sequence[PolicyChanged]:
        """Return the newest change of each policy and kind after ``since``, oldest first."""
        with self._database.reading() as connection:
            return records.read_changes(connection, since)

    def apply(self, changes: Iterable[Change]) -> Sequence[Applied]:
        """Make all changes in one transaction."""
        with self._database.writing() as connection:
            return [writing.apply(connection, in_utc(change), keep=self._keep) for change in changes]

    def get(self, policy: PolicyId) -> PolicyRecord:
        """Return one policy."""
        with self._database.reading() as connection:
            return records.read_record(connection, policy)

    def revisions(self, policy: PolicyId, *, limit: int, before: int | None = None) -> Sequence[RevisionSummary]:
        """List the kept revisions, newest first."""
        check_limit(limit)
        with self._database.reading() as connection:
            return records.read_summaries(connection, policy, limit, before)

    def revision(self, policy: PolicyId, number: int) -> Revision:
        """Return one kept revision."""
        with self._database.reading() as connection:
            return records.read_kept(connection, policy, number)

    def foreign(self) -> Sequence[PolicySource]:
        """Return nothing; nobody else keeps policies here."""
        return ()

    def find(self, wanted: PolicyFilter, *, limit: int, cursor: str | None = None) -> Page:
        """List policies ordered by id."""
        check_limit(limit)
        after = None if cursor is None else decode_cursor(cursor)
        with self._database.reading() as connection:
            return records.read_page(connection, wanted, limit, after)

    def module(self, digest: str) -> bytes:
        """Return compiled bytes; KeyError when no revision refers to them."""
        with self._database.reading() as connection:
            return records.read_module(connection, digest)

    def lock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
        """Lock a policy that is not locked."""
        at = utc(at)
        with self._database.writing() as connection:
            writing.lock(connection, policy, at, actor)

    def unlock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
        """Unlock a policy that is locked."""
        at = utc(at)
        with self._database.writing() as connection:
            writing.unlock(connection, policy, at, actor)

    def locks(self) -> frozenset[PolicyId]:
        """Return all locked policies."""
        with self._database.reading() as connection:
            return records.read_locks(connection)

    def acquire(self, name: str, holder: str, *, until: datetime, at: datetime) -> bool:
        """Take or renew a lease."""
        until, at = utc(until), utc(at)
        # Most askers are refused; they need not queue with the writers to learn it.
        with self._database.reading() as connection:
            if not bookkeeping.may_acquire(connection, name, holder, at):
                return False
        with self._database.writing() as connection:
            return bookkeeping.acquire(connection, name, holder, until, at)

    def release(self, name: str, holder: str) -> None:
        """Give a lease back when it is this holder's."""
        with self._database.writing() as connection:
            bookkeeping.release(connection, name, holder)

    def refresh_state(self, policy: PolicyId) -> RefreshState | None:
        """Return how the scheduled data of one policy is doing."""
        with self._database.reading() as connection:
            return bookkeeping.read_state(connection, policy)

    def refresh_states(self) -> Sequence[RefreshState]:
        """Return all states, ordered by id."""
        with self._database.reading() as connection:
            return bookkeeping.read_states(connection)

    def save_refresh(self, state: RefreshState) -> None:
        """Insert or replace the state of one policy."""
        state = replace(
            state,
            next_run=None if state.next_run is None else utc(state.next_run),
            last_attempt=None if state.last_attempt is None else utc(state.last_attempt),
            last_success=None if state.last_success is None else utc(state.last_success),
        )
        with self._database.writing() as connection:
            bookkeeping.save_state(connection, state)

    def drop_refresh(self, policy: PolicyId) -> None:
        """Forget the state of one policy."""
        with self._database.writing() as connection:
            bookkeeping.drop_state(connection, policy)

    def ping(self) -> None:
        """Prove that the database is there, is the one that was opened, and has the right tables."""
        self._database.check()
        with self._database.reading() as connection:
            check_schema(connection, self._database.place)
        self._database.stamp()

    def follow(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Return at once; the stamp is cheap to ask for."""

    def tidy(self) -> None:
        """Do nothing; transactions leave nothing over."""

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        self._database.close()


def _database(url: str) -> Database:
    if url.startswith(SQLITE):
        return SqliteFile(_path(url))
    from policy_server.storage.postgresql import PostgresServer  # noqa: PLC0415 - the driver is an extra

    return PostgresServer(url)


def _path(url: str) -> Path:
    """Read ``sqlite:///relative`` or ``sqlite:////absolute``; the path is taken as it stands."""
    path = url.removeprefix(SQLITE)
    if path in ("", ":memory:") or "\0" in path:
        raise SettingsError(f"The URL of an SQLite store is {SQLITE}path, with the path of a file.")
    return Path(path)
