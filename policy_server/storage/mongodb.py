"""The store that keeps everything in MongoDB, beside what the original policy service kept there."""

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeVar

from policy_server.model.change import Applied, Change
from policy_server.model.errors import StoreUnavailable
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
from policy_server.storage import mongo_bookkeeping as bookkeeping
from policy_server.storage import mongo_policies as documents
from policy_server.storage import shelf_mongo
from policy_server.storage.around import Around
from policy_server.storage.listing import (
    KEEP,
    PAGE_SIZE,
    check_limit,
    decode_cursor,
    encode_cursor,
    fits,
    fold,
    in_utc,
    no_revision,
    utc,
)
from policy_server.storage.mongo_changes import Drafts, history_of, need, turning
from policy_server.storage.mongo_contents import Contents, Pieces, module_key
from policy_server.storage.mongo_journal import STATE, Decide, Journal, key, order, policy_of
from policy_server.storage.mongo_server import Document, MongoServer
from policy_server.storage.mongo_stream import Stream
from policy_server.storage.shelf_mongo import MongoShelf
from policy_server.storage.single import Single

T = TypeVar("T")

_ID_FIELDS: Final = dict.fromkeys(("repository", "group", "name", "version"), 1)
_SHOWN: Final = dict.fromkeys(("live", "locked", "failure", "updated", "stamp"), 1)
_ACTIVE: Final = {"history": {"$slice": -1}, **_ID_FIELDS, **_SHOWN}
_TRIES: Final = 20
_NEEDLE: Final = 1000
_MOST_KEPT: Final = 1000


class MongoStore(Single, Around):
    """Implements ports.Store; safe for threads, for several processes, and for forks.

    Every change of a policy goes through the journal, which makes it whole.
    """

    def __init__(self, url: str, *, keep: int = KEEP) -> None:
        """Take ``mongodb://…``; ``keep`` revisions of each policy stay, 1000 at most."""
        self._server = MongoServer(url)
        self._journal = Journal(self._server)
        self._pieces = Pieces(self._server)
        super().__init__(lambda kind: MongoShelf(kind, self._server, self._journal))
        self._keep = min(max(keep, 1), _MOST_KEPT)

    def migrate(self) -> None:
        """Make what is missing; repeatable, and safe when several processes begin at once."""
        with self._server.explained():
            self._journal.prepare()
            bookkeeping.make_indexes(self._server)
            shelf_mongo.make_indexes(self._server)

    def stamp(self) -> int:
        """Return the number of committed changes of policies."""
        return self._journal.stamp()

    def changes(self, since: int) -> Sequence[PolicyChanged]:
        """Return the newest change of each policy and kind after ``since``, oldest first."""

        def look() -> list[PolicyChanged]:
            found = self._server.policies.find({"stamp": {"$gt": since}}, {**_ID_FIELDS, "changes": 1})
            return [
                PolicyChanged(policy_of(document), what, stamp)
                for document in found
                for what, stamp in document["changes"].items()
                if stamp > since
            ]

        return sorted(self._read(look, several=True), key=lambda change: change.stamp)

    def apply(self, changes: Iterable[Change]) -> Sequence[Applied]:
        """Make all changes in one commit."""
        contents = Contents(self._pieces)
        drafts = Drafts(contents, self._keep)
        with self._server.explained():
            stamp = self._journal.settle() + 1
            steps = [drafts.add(in_utc(change), stamp) for change in changes]
            self._journal.change(steps, contents)
        return [drafts.outcome(policy) for policy, _ in steps]

    def get(self, policy: PolicyId) -> PolicyRecord:
        """Return one policy."""
        return self._read(
            lambda: self._records(
                [need(self._server.policies.find_one({**key(policy), "live": True}, _ACTIVE), policy)]
            )
        )[0]

    def find(self, wanted: PolicyFilter, *, limit: int, cursor: str | None = None) -> Page:
        """List policies ordered by id."""
        check_limit(limit)
        after = None if cursor is None else decode_cursor(cursor)
        return self._read(lambda: self._page(wanted, limit, after), several=True)

    def module(self, digest: str) -> bytes:
        """Return compiled bytes; KeyError when no revision refers to them."""
        name = module_key(digest)
        with self._server.explained():
            found = self._pieces.read([name])
        if name not in found:
            raise KeyError(digest)
        return found[name]

    def lock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
        """Lock a policy that is not locked."""
        self._turn(policy, turning(policy, utc(at), actor, locked=True))

    def unlock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
        """Unlock a policy that is locked."""
        self._turn(policy, turning(policy, utc(at), actor, locked=False))

    def locks(self) -> frozenset[PolicyId]:
        """Return all locked policies."""
        with self._server.explained():
            # Nobody who asks for locks need wait for five thousand policies to be published.
            self._journal.locks_are_settled()
            found = self._server.policies.find({"locked": True, "live": True}, _ID_FIELDS)
            return frozenset(policy_of(document) for document in found)

    def foreign(self) -> Sequence[PolicySource]:
        """Return the policies that the original service left here and that were not taken over yet."""
        with self._server.explained():
            found = [documents.legacy_source(document) for document in self._server.policies.find({"stamp": None})]
        return sorted((source for source in found if all(key(source.id).values())), key=lambda source: source.id)

    def revisions(self, policy: PolicyId, *, limit: int, before: int | None = None) -> Sequence[RevisionSummary]:
        """List the kept revisions, newest first."""
        check_limit(limit)
        found = [each for each in self._kept(policy) if before is None or each["number"] < before]
        return [documents.read_summary(policy, each) for each in reversed(found)][:limit]

    def revision(self, policy: PolicyId, number: int) -> Revision:
        """Return one kept revision."""

        def look() -> Revision:
            for each in self._kept(policy):
                if each["number"] == number:
                    return self._read_revision(policy, each)
            raise no_revision(policy, number)

        return self._read(look)

    def acquire(self, name: str, holder: str, *, until: datetime, at: datetime) -> bool:
        """Take or renew a lease."""
        until, at = utc(until), utc(at)
        with self._server.explained():
            return bookkeeping.acquire(self._server, name, holder, until, at)

    def release(self, name: str, holder: str) -> None:
        """Give a lease back when it is this holder's."""
        with self._server.explained():
            bookkeeping.release(self._server, name, holder)

    def refresh_state(self, policy: PolicyId) -> RefreshState | None:
        """Return how the scheduled data of one policy is doing."""
        with self._server.explained():
            self._journal.settle()
            return bookkeeping.read_state(self._server, policy)

    def refresh_states(self) -> Sequence[RefreshState]:
        """Return all states, ordered by id."""
        with self._server.explained():
            self._journal.settle()
            return bookkeeping.read_states(self._server)

    def save_refresh(self, state: RefreshState) -> None:
        """Insert or replace the state of one policy."""
        with self._server.explained():
            bookkeeping.save_state(self._server, state, self._journal.settle())

    def drop_refresh(self, policy: PolicyId) -> None:
        """Forget the state of one policy."""
        with self._server.explained():
            bookkeeping.drop_state(self._server, policy)

    def ping(self) -> None:
        """Prove that the database is there and is one that this version knows."""
        with self._server.explained(within=5):
            self._journal.prepare()

    def follow(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Follow a change stream where the deployment has them."""
        Stream(self._server, STATE).follow(changed, stop)

    def tidy(self) -> None:
        """Drop contents that nothing refers to: those of writers that were killed before their commit."""
        with self._server.explained():
            # Contents wanted by a change after this stamp are left alone, also when that change comes only now.
            stamp = self._journal.settle()
            used: set[str] = set()
            for document in self._server.policies.find({"live": True}, {"refs": 1}):
                used.update(document.get("refs") or [])
            self._pieces.drop(set(self._pieces.kept(before=stamp + 1)) - used, before=stamp + 1)
            self._journal.tidy(stamp)

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        self._server.close()

    # ---- inside

    def _kept(self, policy: PolicyId) -> list[Document]:
        with self._server.explained():
            self._journal.settle()
            return history_of(need(self._server.policies.find_one(key(policy)), policy))

    def _turn(self, policy: PolicyId, decide: Decide) -> None:
        with self._server.explained():
            self._journal.change([(policy, decide)], Contents(self._pieces))

    def _read(self, look: Callable[[], T], *, several: bool = False) -> T:
        """Look again while what is looked at is exchanged under our eyes: contents, or ``several`` documents."""
        with self._server.explained():
            for attempt in range(_TRIES):
                stamp = self._journal.settle()
                with suppress(KeyError):
                    found = look()
                    # Somebody who writes all the time must not keep others from reading.
                    if not several or attempt == _TRIES - 1 or self._journal.stamp() == stamp:
                        return found
        raise StoreUnavailable(f"{self._server.place} has lost contents of policies; restore a backup.")

    def _records(self, found: Sequence[Document]) -> list[PolicyRecord]:
        wanted = {name for document in found for each in history_of(document)[-1:] for name in documents.texts_of(each)}
        contents = self._pieces.read(wanted)
        return [documents.read_record(document, contents) for document in found]

    def _read_revision(self, policy: PolicyId, revision: Document) -> Revision:
        return documents.read_revision(policy, revision, self._pieces.read(documents.texts_of(revision)))

    def _page(self, wanted: PolicyFilter, limit: int, after: PolicyId | None) -> Page:
        query = _query(wanted)
        if after is not None:
            query["order"] = {"$gt": order(after)}
        cursor = self._server.policies.find(query, _ACTIVE).sort("order", 1)
        if len(wanted.name_contains or "") <= _NEEDLE:
            cursor = cursor.limit(limit + 1)
        taken: list[Document] = []
        size = 0
        for document in cursor:
            size += documents.bulk_of(document)
            if len(taken) == limit or (taken and size > PAGE_SIZE):
                records = self._records(taken)
                return Page(tuple(records), encode_cursor(records[-1].id))
            taken.append(document)
        return Page(tuple(record for record in self._records(taken) if fits(record, wanted)), None)


def _query(wanted: PolicyFilter) -> Document:
    query: Document = {"live": True}
    for name in ("repository", "group", "version"):
        value = getattr(wanted, name)
        if value is not None:
            query[name] = value
    if wanted.locked is not None:
        query["locked"] = True if wanted.locked else {"$ne": True}
    if wanted.name_contains:
        # SECURITY: every character means itself, so that no pattern can keep the server busy.
        query["folded"] = {"$regex": re.escape(fold(wanted.name_contains[:_NEEDLE]))}
    return query
