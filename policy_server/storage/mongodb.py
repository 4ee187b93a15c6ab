"""The store that keeps everything in MongoDB, beside what the original policy service kept there."""

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

from policy_server.model.errors import AlreadyLocked, NotLocked, PolicyNotFound, StoreUnavailable
from policy_server.model.policy import (
    CompiledPolicy,
    Failure,
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
    no_revision,
    utc,
)
from policy_server.storage.mongo_contents import Contents, module_key
from policy_server.storage.mongo_journal import STATE, Journal, Plan, key, order
from policy_server.storage.mongo_micros import from_micros
from policy_server.storage.mongo_server import Document, MongoServer
from policy_server.storage.mongo_stream import Stream
from policy_server.storage.outbox import differing, event_row
from policy_server.storage.shelf_mongo import MongoShelf, write_event

T = TypeVar("T")

_ID_FIELDS: Final = dict.fromkeys(("repository", "group", "name", "version"), 1)
_SHOWN: Final = dict.fromkeys(("live", "locked", "failure", "updated"), 1)
_ACTIVE: Final = {"history": {"$slice": -1}, **_ID_FIELDS, **_SHOWN}
_TRIES: Final = 20
_NEEDLE: Final = 1000
_MOST_KEPT: Final = 1000


class MongoStore(Around):
    """Implements ports.Store; safe for threads, for several processes, and for forks.

    Every change of a policy goes through the journal, which makes it whole.
    """

    def __init__(self, url: str, *, keep: int = KEEP) -> None:
        """Take ``mongodb://…``; ``keep`` revisions of each policy stay, 1000 at most."""
        self._server = MongoServer(url)
        self._journal = Journal(self._server)
        self._contents = Contents(self._server)
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
        with self._server.explained():
            self._journal.settle()
            found = self._server.policies.find({"stamp": {"$gt": since}}, {**_ID_FIELDS, "changes": 1})
            told = [
                PolicyChanged(documents.policy_of(document), what, stamp)
                for document in found
                for what, stamp in document["changes"].items()
                if stamp > since
            ]
        return sorted(told, key=lambda change: change.stamp)

    def publish(
        self, draft: PolicySource, compiled: CompiledPolicy, *, data: str | None, digest: str, author: str, at: datetime
    ) -> Revision:
        """Make a new active revision unless the active one has this digest already."""
        made = Revision(draft.id, 0, draft, compiled.manifest, data, digest, author, utc(at))
        result = made

        def decide(known: Document | None, stamp: int) -> Plan | None:
            nonlocal result
            history = _history(known)
            if history and history[-1]["digest"] == digest:
                result = self._read_revision(draft.id, history[-1])
                return None if known is None or known.get("failure") is None else _repaired(result, stamp, made)
            result = replace(made, number=history[-1]["number"] + 1 if history else 1)
            return self._new_revision(result, compiled.wasm, known, stamp)

        self._change(draft.id, decide)
        return result

    def fail(self, policy: PolicyId, failure: Failure) -> None:
        """Record why the newest source could not be published."""
        failure = replace(failure, at=utc(failure.at))

        def decide(known: Document | None, stamp: int) -> Plan:
            changed = documents.touched(policy, "failed", stamp, failure.at)
            changed["failure"] = documents.failure_document(failure)
            if known is None or known.get("history") is None:
                changed["history"] = []
            event = _event(stamp, "failed", policy, known, changed=("failure",), at=failure.at)
            return Plan({"$set": changed}, event=event)

        self._change(policy, decide)

    def delete(self, policy: PolicyId, *, actor: str = "", at: datetime | None = None) -> None:
        """Remove a policy with everything that belongs to it; a small mark stays, so that all learn of it."""

        def decide(known: Document | None, stamp: int) -> Plan:
            found = _need(known, policy)
            gone: Document = {"stamp": stamp, "live": False, "locked": False, "changes": {"deleted": stamp}}
            gone |= {"history": [], "refs": []}
            empty = dict.fromkeys((*documents.LEGACY_TEXTS, "failure", "nextDataRefreshTime"), "")
            moment = from_micros(found["updated"]) if at is None else utc(at)
            event = _event(stamp, "deleted", policy, None, actor=actor, at=moment)
            update = {"$set": gone, "$unset": empty}
            return Plan(update, release=found.get("refs", []), forget=True, event=event)

        self._change(policy, decide)

    def get(self, policy: PolicyId) -> PolicyRecord:
        """Return one policy."""
        return self._read(
            lambda: self._records(
                [_need(self._server.policies.find_one({**key(policy), "live": True}, _ACTIVE), policy)]
            )
        )[0]

    def find(self, wanted: PolicyFilter, *, limit: int, cursor: str | None = None) -> Page:
        """List policies ordered by id."""
        check_limit(limit)
        after = None if cursor is None else decode_cursor(cursor)
        return self._read(lambda: self._page(wanted, limit, after))

    def module(self, digest: str) -> bytes:
        """Return compiled bytes; KeyError when no revision refers to them."""
        name = module_key(digest)
        with self._server.explained():
            found = self._contents.read([name])
        if name not in found:
            raise KeyError(digest)
        return found[name]

    def lock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
        """Lock a policy that is not locked."""
        self._turn(policy, utc(at), actor, locked=True)

    def unlock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
        """Unlock a policy that is locked."""
        self._turn(policy, utc(at), actor, locked=False)

    def locks(self) -> frozenset[PolicyId]:
        """Return all locked policies."""
        with self._server.explained():
            self._journal.settle()
            found = self._server.policies.find({"locked": True, "live": True}, _ID_FIELDS)
            return frozenset(documents.policy_of(document) for document in found)

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
            self._contents.drop(set(self._contents.kept(before=stamp + 1)) - used, before=stamp + 1)

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        self._server.close()

    # ---- inside

    def _kept(self, policy: PolicyId) -> list[Document]:
        with self._server.explained():
            self._journal.settle()
            return _history(_need(self._server.policies.find_one(key(policy)), policy))

    def _change(self, policy: PolicyId, decide: Callable[[Document | None, int], Plan | None]) -> None:
        with self._server.explained():
            self._journal.change(policy, decide)

    def _turn(self, policy: PolicyId, at: datetime, actor: str, *, locked: bool) -> None:
        def decide(known: Document | None, stamp: int) -> Plan:
            if bool(_need(known, policy).get("locked")) is locked:
                raise AlreadyLocked if locked else NotLocked
            what = "locked" if locked else "unlocked"
            changed = documents.touched(policy, what, stamp, at)
            event = _event(stamp, what, policy, known, changed=("locked",), actor=actor, at=at)
            return Plan({"$set": {**changed, "locked": locked}}, event=event)

        self._change(policy, decide)

    def _new_revision(self, made: Revision, wasm: bytes, known: Document | None, stamp: int) -> Plan:
        document, contents = documents.revision_document(made)
        contents[module_key(made.manifest.digest)] = wasm
        history = [*_history(known), document][-self._keep :]
        refs = documents.refs_of(history)
        before = [] if known is None else known.get("refs") or []
        changed = documents.touched(made.id, "published", stamp, made.created_at)
        update = {
            "$set": {**changed, "failure": None, "refs": refs},
            "$push": {"history": {"$each": [document], "$slice": -self._keep}},
        }
        parts = differing(documents.parts_of(_history(known)), documents.parts_of([document]))
        event = _event(
            stamp, "published", made.id, {"history": [document]}, changed=parts, actor=made.author, at=made.created_at
        )
        return Plan(update, contents, release=[ref for ref in before if ref not in refs], event=event)

    def _read(self, look: Callable[[], T]) -> T:
        """Look again while contents are exchanged under our eyes."""
        with self._server.explained():
            for _ in range(_TRIES):
                self._journal.settle()
                try:
                    return look()
                except KeyError:
                    continue
        raise StoreUnavailable(f"{self._server.place} has lost contents of policies; restore a backup.")

    def _records(self, found: Sequence[Document]) -> list[PolicyRecord]:
        wanted = {name for document in found for each in _history(document)[-1:] for name in documents.texts_of(each)}
        contents = self._contents.read(wanted)
        return [documents.read_record(document, contents) for document in found]

    def _read_revision(self, policy: PolicyId, revision: Document) -> Revision:
        return documents.read_revision(policy, revision, self._contents.read(documents.texts_of(revision)))

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


def _repaired(active: Revision, stamp: int, made: Revision) -> Plan:
    changed = documents.touched(active.id, "published", stamp, made.created_at)
    event = _event(
        stamp,
        "published",
        active.id,
        {"history": [{"number": active.number}]},
        changed=("failure",),
        actor=made.author,
        at=made.created_at,
    )
    return Plan({"$set": {**changed, "failure": None}}, event=event)


def _event(
    stamp: int,
    what: str,
    policy: PolicyId,
    after: Document | None,
    *,
    at: datetime,
    changed: tuple[str, ...] = (),
    actor: str = "",
) -> Document:
    active = _history(after)[-1:]
    number = active[0]["number"] if active else None
    return write_event(event_row(stamp, what, policy, revision=number, changed=changed, actor=actor, at=at))


def _history(known: Document | None) -> list[Document]:
    return [] if known is None else known.get("history") or []


def _need(known: Document | None, policy: PolicyId) -> Document:
    if known is None or not known.get("live"):
        raise PolicyNotFound(f"There is no policy {policy}.")
    return known
