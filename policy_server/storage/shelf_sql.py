"""Shelves in the tables of an SQL database."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from policy_server.storage.connections import Database
from policy_server.storage.shelf import EVERYTHING, Cell, Kind, Row, Wanted
from policy_server.storage.tables import metadata


def _insert(connection: Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """Begin an insert that knows about conflicts; both databases write it alike."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


class SqlShelf:
    """Implements shelf.Shelf."""

    def __init__(self, kind: Kind, database: Database) -> None:
        """Take the database; nothing is opened yet."""
        self._database = database
        self._table: Table = metadata.tables[kind.name]

    def insert(self, row: Row) -> bool:
        """Keep a new record."""
        with self._database.noting() as connection:
            adding = _insert(connection, self._table).values(row).on_conflict_do_nothing()
            return connection.execute(adding.returning(self._table.c.id)).first() is not None

    def extend(self, rows: Sequence[Row]) -> None:
        """Keep new records."""
        with self._database.noting() as connection:
            # One statement for all rows, so that the databases need no turn among writers for it.
            connection.execute(_insert(connection, self._table).on_conflict_do_nothing(), rows)

    def put(self, row: Row) -> bool:
        """Insert or replace by id."""
        with self._database.noting() as connection:
            adding = _insert(connection, self._table).values(row)
            adding = adding.on_conflict_do_update(index_elements=["id"], set_=row)
            try:
                connection.execute(adding)
            except IntegrityError:
                return False
            return True

    def fetch(self, name: str) -> Row | None:
        """Return one record by its id."""
        with self._database.reading() as connection:
            found = connection.execute(select(self._table).where(self._table.c.id == name)).mappings().first()
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
        columns = [self._table.c[name] for name in dict.fromkeys((by, "id"))]
        query = select(self._table).where(*self._where(wanted))
        query = query.order_by(*(column.desc() if newest else column for column in columns)).limit(limit).offset(skip)
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def change(self, name: str, values: Row, *, when: Mapping[str, Cell] | None = None) -> bool:
        """Set values of one record if it has those of ``when``."""
        conditions = self._where(Wanted(equals={"id": name, **(when or {})}))
        with self._database.noting() as connection:
            return connection.execute(update(self._table).where(*conditions).values(values)).rowcount == 1

    def remove(self, wanted: Wanted, *, limit: int | None = None) -> int:
        """Drop records."""
        conditions = self._where(wanted)
        if limit is not None:
            first = select(self._table.c.id).where(*conditions).order_by(self._table.c.id).limit(limit)
            conditions = [self._table.c.id.in_(first)]
        with self._database.reading() as connection:
            # Writers wait for each other, and most of the time there is nothing to drop.
            if not connection.execute(select(exists(select(self._table.c.id).where(*conditions)))).scalar():
                return 0
        with self._database.noting() as connection:
            return connection.execute(delete(self._table).where(*conditions)).rowcount

    def count(self, wanted: Wanted) -> int:
        """Return how many records there are."""
        with self._database.reading() as connection:
            query = select(func.count()).select_from(self._table).where(*self._where(wanted))
            return int(connection.execute(query).scalar_one())

    def _where(self, wanted: Wanted) -> list[ColumnElement[bool]]:
        columns = self._table.c
        conditions = [columns[name] == value for name, value in wanted.equals.items()]
        # PERF: not by an index, which SQLite would take, and then sort all that it finds: 750 ms where this takes 3.
        conditions += [columns[name].concat("").in_(sorted(texts)) for name, texts in wanted.among.items()]
        conditions += [columns[name].contains(text, autoescape=True) for name, text in wanted.contains.items()]
        if wanted.after is not None:
            conditions.append(columns.id > wanted.after)
        if wanted.before is not None:
            conditions.append(columns.id < wanted.before)
        if wanted.due is not None:
            conditions.append(_moment(self._table, wanted.due) <= wanted.due[1])
        if wanted.until is not None:
            conditions.append(_moment(self._table, wanted.until) < wanted.until[1])
        return conditions


def _moment(table: Table, bound: tuple[str, datetime]) -> ColumnElement[datetime]:
    return table.c[bound[0]]
