"""Shelves in this process's memory."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime

from policy_server.storage.shelf import EVERYTHING, Cell, Kind, Row, Wanted


class MemoryShelf:
    """Implements shelf.Shelf; safe for threads."""

    def __init__(self, kind: Kind) -> None:
        """Start empty."""
        self._kind = kind
        self._lock = threading.RLock()
        self._rows: dict[str, Row] = {}

    def insert(self, row: Row) -> bool:
        """Keep a new record."""
        with self._lock:
            if str(row["id"]) in self._rows or self._doubles(row):
                return False
            self._rows[str(row["id"])] = dict(row)
            return True

    def extend(self, rows: Sequence[Row]) -> None:
        """Keep new records."""
        with self._lock:
            for row in rows:
                self._rows.setdefault(str(row["id"]), dict(row))

    def put(self, row: Row) -> bool:
        """Insert or replace by id."""
        with self._lock:
            if self._doubles(row):
                return False
            self._rows[str(row["id"])] = dict(row)
            return True

    def fetch(self, name: str) -> Row | None:
        """Return one record by its id."""
        with self._lock:
            found = self._rows.get(name)
            return None if found is None else dict(found)

    def select(
        self,
        wanted: Wanted = EVERYTHING,
        *,
        limit: int | None = None,
        newest: bool = False,
        by: str = "id",
        skip: int = 0,
    ) -> list[Row]:
        """Return records, ordered by ``by``."""
        with self._lock:
            found = [dict(row) for row in self._rows.values() if _fits(row, wanted)]
        found.sort(key=lambda row: (_sortable(row[by]), str(row["id"])), reverse=newest)
        return found[skip:][:limit]

    def change(self, name: str, values: Row, *, when: Mapping[str, Cell] | None = None) -> bool:
        """Set values of one record if it has those of ``when``."""
        with self._lock:
            found = self._rows.get(name)
            if found is None or any(found[column] != value for column, value in (when or {}).items()):
                return False
            found.update(values)
            return True

    def remove(self, wanted: Wanted, *, limit: int | None = None) -> int:
        """Drop records."""
        with self._lock:
            gone = [name for name, row in self._rows.items() if _fits(row, wanted)]
            gone = gone if limit is None else sorted(gone)[:limit]
            for name in gone:
                del self._rows[name]
            return len(gone)

    def count(self, wanted: Wanted) -> int:
        """Return how many records there are."""
        with self._lock:
            return sum(_fits(row, wanted) for row in self._rows.values())

    def _doubles(self, row: Row) -> bool:
        return any(
            other["id"] != row["id"] and all(other[column] == row[column] for column in columns)
            for columns in self._kind.unique
            for other in self._rows.values()
        )


def _sortable(value: Cell) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _fits(row: Row, wanted: Wanted) -> bool:
    name = str(row["id"])
    if any(row[column] != value for column, value in wanted.equals.items()):
        return False
    if any(row[column] not in texts for column, texts in wanted.among.items()):
        return False
    if any(text not in str(row[column] or "") for column, text in wanted.contains.items()):
        return False
    if (wanted.after is not None and name <= wanted.after) or (wanted.before is not None and name >= wanted.before):
        return False
    return all(
        isinstance(value := row[column], datetime) and (value <= limit if included else value < limit)
        for bound, included in ((wanted.due, True), (wanted.until, False))
        if bound is not None
        for column, limit in [bound]
    )
