"""Shelves in MongoDB's collections; those that the original service has are read and written as it does.

Its dates end at the millisecond and it lacks some of our fields, so that exact
moments (``…_us``) stand beside its dates, and what is missing has a default.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, cast

import bson.json_util
from bson import ObjectId
from pymongo import errors
from pymongo.collection import Collection

from policy_server.storage.mongo_journal import Journal
from policy_server.storage.mongo_micros import from_micros, to_micros
from policy_server.storage.mongo_server import Document, MongoServer, only_duplicates
from policy_server.storage.shelf import (
    AUDIT,
    AUTO_IMPORTS,
    CACHE,
    DECISIONS,
    DELIVERIES,
    EVENTS,
    EVERYTHING,
    KEYS,
    POLICY,
    SUBSCRIBERS,
    TOKENS,
    VALUES,
    Cell,
    Kind,
    Row,
    Wanted,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a kind is kept: its collection, the names of its fields, its moments, and defaults for what is missing.

    ``dates`` are moments that the original service keeps as dates of its own.
    """

    collection: str
    identity: str = "_id"
    names: Mapping[str, str] = field(default_factory=dict)
    moments: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    defaults: Mapping[str, Cell] = field(default_factory=dict)
    objects: bool = False
    """Whether ids are ObjectIds, as the original service makes them."""


_LAYOUTS: Final = {
    SUBSCRIBERS.name: Layout(
        "subscribers",
        names={
            "policy_repository": "policyrepository",
            "policy_group": "policygroup",
            "policy_name": "policyname",
            "policy_version": "policyversion",
            "url": "webhookurl",
            "created_at": "createdat",
            "updated_at": "updatedat",
        },
        dates=frozenset({"created_at", "updated_at"}),
        defaults={"state": "active", "name": "", "url": ""},
        objects=True,
    ),
    AUTO_IMPORTS.name: Layout(
        "policy_auto_import",
        names={"url": "policyURL", "next_import": "nextImport"},
        moments=frozenset({"last_attempt", "last_success"}),
        dates=frozenset({"next_import"}),
        defaults={"interval": 0, "url": ""},
        objects=True,
    ),
    VALUES.name: Layout("common_storage", identity="key"),
    CACHE.name: Layout("policy_server_cache", moments=frozenset({"until"})),
    EVENTS.name: Layout("policy_server_events", moments=frozenset({"at"})),
    DELIVERIES.name: Layout(
        "policy_server_deliveries", moments=frozenset({"next_attempt", "created_at", "settled_at"})
    ),
    AUDIT.name: Layout("policy_server_audit", moments=frozenset({"at"})),
    DECISIONS.name: Layout("policy_server_decisions", moments=frozenset({"at"})),
    TOKENS.name: Layout(
        "policy_server_tokens", moments=frozenset({"created_at", "expires_at", "last_used_at", "revoked_at"})
    ),
    KEYS.name: Layout("policy_server_keys", moments=frozenset({"created_at", "expires_at"})),
}
_TUPLES: Final = frozenset({"changed", "scopes", "repositories"})
_ZERO: Final = datetime(1, 1, 1, tzinfo=UTC)


class MongoShelf:
    """Implements shelf.Shelf."""

    def __init__(self, kind: Kind, server: MongoServer, journal: Journal) -> None:
        """Take the server, and the journal, because events are written by it; nothing is read yet."""
        self._kind = kind
        self._layout = _LAYOUTS[kind.name]
        self._server = server
        self._journal = journal

    def insert(self, row: Row) -> bool:
        """Keep a new record."""
        with self._server.explained():
            try:
                self._collection.insert_one(self._write(row))
            except errors.DuplicateKeyError:
                return False
            return True

    def extend(self, rows: Sequence[Row]) -> None:
        """Keep new records; without transactions some may be kept when an error is raised, and the rest next time."""
        with self._server.explained():
            try:
                self._collection.insert_many([self._write(row) for row in rows], ordered=False)
            except errors.BulkWriteError as error:
                if not only_duplicates(error):
                    raise

    def put(self, row: Row) -> bool:
        """Insert or replace by id."""
        document = self._write(row)
        which = {self._layout.identity: document.pop(self._layout.identity)}
        with self._server.explained():
            for left in (True, False):
                try:
                    # Not a replacement: fields of others stay.
                    self._collection.update_one(which, {"$set": document}, upsert=True)
                except errors.DuplicateKeyError:
                    # Somebody else may have inserted the same id at this moment; then it is there now.
                    if not left:
                        return False
                else:
                    return True
        return False

    def fetch(self, name: str) -> Row | None:
        """Return one record by its id."""
        with self._server.explained():
            self._settle()
            found = self._collection.find_one({self._layout.identity: self._id(name)})
            return None if found is None else self._read(found)

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
        way = -1 if newest else 1
        order = [(self._field(name), way) for name in dict.fromkeys((by, "id"))]
        with self._server.explained():
            self._settle()
            found = self._collection.find(self._query(wanted)).sort(order).skip(skip).limit(limit or 0)
            return [row for row in map(self._read, found) if self._is_due(row, wanted)]

    def change(self, name: str, values: Row, *, when: Mapping[str, Cell] | None = None) -> bool:
        """Set values of one record if it has those of ``when``."""
        query = self._query(Wanted(equals={"id": name, **(when or {})}))
        with self._server.explained():
            self._settle()
            return self._collection.update_one(query, {"$set": self._write(values)}).matched_count == 1

    def remove(self, wanted: Wanted, *, limit: int | None = None) -> int:
        """Drop records."""
        with self._server.explained():
            self._settle()
            query, identity = self._query(wanted), self._layout.identity
            if limit is not None:
                first = self._collection.find(query, {identity: 1}).sort(identity, 1).limit(limit)
                query = {identity: {"$in": [each[identity] for each in first]}}
            return self._collection.delete_many(query).deleted_count

    def count(self, wanted: Wanted) -> int:
        """Return how many records there are."""
        with self._server.explained():
            self._settle()
            return self._collection.count_documents(self._query(wanted))

    @property
    def _collection(self) -> Collection[Document]:
        return self._server.collection(self._layout.collection)

    def _settle(self) -> None:
        if self._kind is EVENTS:
            self._journal.settle()

    def _id(self, name: Cell) -> object:
        text = str(name)
        return ObjectId(text) if self._layout.objects and ObjectId.is_valid(text) and len(text) == 24 else text

    def _field(self, name: str) -> str:
        return self._layout.identity if name == "id" else self._layout.names.get(name, name)

    def _value(self, name: str, value: Cell) -> object:
        if name == "id":
            return self._id(value)
        if isinstance(value, datetime) and name in self._layout.moments:
            return to_micros(value)
        return list(value) if isinstance(value, tuple) else value

    def _write(self, row: Row) -> Document:
        document = {self._field(name): self._value(name, value) for name, value in row.items()}
        for name in self._layout.dates & row.keys():
            value = cast(datetime, row[name])
            document[f"{self._field(name)}_us"] = to_micros(value)
        return document

    def _read(self, document: Document) -> Row:
        if self._kind is VALUES and "body" not in document:
            # The original service's: an object, with whatever BSON knows in it.
            document = {**document, "body": bson.json_util.dumps(document.get("data"), json_options=_PLAIN)}
        row: Row = {}
        for name in self._kind.columns:
            value = document.get(self._field(name))
            if value is None:
                value = self._layout.defaults.get(name, "" if name.startswith("policy_") else None)
            elif name == "id":
                value = str(value)
            elif name in self._layout.moments:
                value = from_micros(value)
            elif name in _TUPLES:
                value = tuple(value)
            row[name] = value
        for name in self._layout.dates:
            exact = document.get(f"{self._field(name)}_us")
            row[name] = (row[name] or _ZERO) if exact is None else from_micros(exact)
        return row

    def _query(self, wanted: Wanted) -> Document:
        conditions: list[Document] = [
            {self._field(name): self._value(name, value)} for name, value in wanted.equals.items()
        ]
        conditions += [{self._field(name): {"$in": sorted(texts)}} for name, texts in wanted.among.items()]
        conditions += [{self._field(name): {"$regex": re.escape(text)}} for name, text in wanted.contains.items()]
        identity = self._layout.identity
        if wanted.after is not None:
            conditions.append({identity: {"$gt": self._id(wanted.after)}})
        if wanted.before is not None:
            conditions.append({identity: {"$lt": self._id(wanted.before)}})
        if wanted.due is not None:
            conditions.append({self._field(wanted.due[0]): {"$lte": self._value(*wanted.due)}})
        if wanted.until is not None:
            conditions.append({self._field(wanted.until[0]): {"$lt": self._value(*wanted.until)}})
        return {"$and": conditions} if conditions else {}

    def _is_due(self, row: Row, wanted: Wanted) -> bool:
        """Look again where the original's dates are too coarse."""
        if wanted.due is None or wanted.due[0] not in self._layout.dates:
            return True
        return cast(datetime, row[wanted.due[0]]) <= wanted.due[1]


_PLAIN: Final = bson.json_util.JSONOptions(json_mode=bson.json_util.JSONMode.RELAXED)


def write_event(row: Row) -> Document:
    """Write an event for the journal, as its shelf would."""
    document: Document = dict(row)
    document["_id"] = document.pop("id")
    document["changed"] = list(document["changed"])
    document["at"] = to_micros(document["at"])
    return document


def make_indexes(server: MongoServer) -> None:
    """Make the indexes that are missing; those of the original's collections are the ones that its spec asks for."""
    for kind in (SUBSCRIBERS, AUTO_IMPORTS, TOKENS):
        layout = _LAYOUTS[kind.name]
        for columns in kind.unique:
            fields = [(layout.names.get(name, name), 1) for name in columns]
            server.collection(layout.collection).create_index(fields, unique=True)
    for collection, names in (
        ("policy_auto_import", ["nextImport"]),
        ("policy_server_cache", ["until"]),
        ("policy_server_events", ["at", "dispatched"]),
        ("policy_server_audit", ["actor", "subject"]),
    ):
        for name in names:
            server.collection(collection).create_index(name)
    decisions = server.collection("policy_server_decisions")
    decisions.create_index("decision_id")
    decisions.create_index([*((name, 1) for name in POLICY), ("_id", 1)])
    decisions.create_index([("failed", 1), ("_id", 1)])
    server.collection("policy_server_deliveries").create_index([("state", 1), ("next_attempt", 1)])
    server.collection("common_storage").create_index("key", unique=True)
