"""The store that forgets: for tests, for trying out, and for exactly one worker.

NOTE: every process that makes one has a truth of its own, and so has a forked
child from the fork on. More than one worker needs a store that they share.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from policy_server.model.change import Applied, Change, Publication, Refusal, Removal
from policy_server.model.errors import AlreadyLocked, NotLocked
from policy_server.model.policy import (
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
from policy_server.storage.around import Around
from policy_server.storage.listing import (
    KEEP,
    PAGE_SIZE,
    bulk,
    check_limit,
    check_seen,
    decode_cursor,
    encode_cursor,
    fits,
    in_utc,
    missing,
    no_revision,
    standing,
    summary,
    utc,
)
from policy_server.storage.outbox import changed_parts, event_row
from policy_server.storage.shelf import EVENTS, KINDS
from policy_server.storage.shelf_memory import MemoryShelf
from policy_server.storage.single import Single


@dataclass(slots=True)
class _Entry:
    """What is known about one policy."""

    updated_at: datetime
    revisions: list[Revision] = field(default_factory=list)
    locked: bool = False
    failure: Failure | None = None
    stamp: int = 0


class MemoryStore(Single, Around):
    """Implements ports.Store in this process's memory; safe for threads."""

    def __init__(self, *, keep: int = KEEP) -> None:
        """Start empty; ``keep`` revisions of each policy stay."""
        shelves = {kind.name: MemoryShelf(kind) for kind in KINDS}
        super().__init__(lambda kind: shelves[kind.name])
        self._events = shelves[EVENTS.name]
        self._keep = max(keep, 1)
        self._lock = threading.RLock()
        self._stamp = 0
        self._next = 0
        self._entries: dict[PolicyId, _Entry] = {}
        self._modules: dict[str, bytes] = {}
        self._changes: dict[tuple[PolicyId, str], int] = {}
        self._leases: dict[str, tuple[str, datetime]] = {}
        self._refreshes: dict[PolicyId, RefreshState] = {}

    def stamp(self) -> int:
        """Return the number of changes so far."""
        return self._stamp

    def changes(self, since: int) -> Sequence[PolicyChanged]:
        """Return the newest change of each policy and kind after ``since``, oldest first."""
        with self._lock:
            found = [
                PolicyChanged(policy, what, stamp) for (policy, what), stamp in self._changes.items() if stamp > since
            ]
        return sorted(found, key=lambda change: change.stamp)

    def apply(self, changes: Iterable[Change]) -> Sequence[Applied]:
        """Make all changes, or none."""
        wanted = [in_utc(change) for change in changes]
        with self._lock:
            for change in wanted:
                self._check(change)
            made = [self._make(change) for change in wanted]
            # Last, because ``stamp`` and ``module`` read without the lock: who sees the number finds the change.
            self._stamp = self._next
        return made

    def get(self, policy: PolicyId) -> PolicyRecord:
        """Return one policy."""
        with self._lock:
            return _record(policy, self._entry(policy))

    def revisions(self, policy: PolicyId, *, limit: int, before: int | None = None) -> Sequence[RevisionSummary]:
        """List the kept revisions, newest first."""
        check_limit(limit)
        with self._lock:
            found = [each for each in self._entry(policy).revisions if before is None or each.number < before]
        return [summary(revision) for revision in reversed(found)][:limit]

    def revision(self, policy: PolicyId, number: int) -> Revision:
        """Return one kept revision."""
        with self._lock:
            for each in self._entry(policy).revisions:
                if each.number == number:
                    return each
        raise no_revision(policy, number)

    def foreign(self) -> Sequence[PolicySource]:
        """Return nothing; nobody else keeps policies here."""
        return ()

    def find(self, wanted: PolicyFilter, *, limit: int, cursor: str | None = None) -> Page:
        """List policies ordered by id."""
        check_limit(limit)
        after = None if cursor is None else decode_cursor(cursor)
        with self._lock:
            everything = [_record(policy, self._entries[policy]) for policy in sorted(self._entries)]
        found = [record for record in everything if fits(record, wanted) and (after is None or record.id > after)]
        taken: list[PolicyRecord] = []
        size = 0
        for record in found[:limit]:
            size += bulk(record)
            if taken and size > PAGE_SIZE:
                break
            taken.append(record)
        return Page(tuple(taken), encode_cursor(taken[-1].id) if len(taken) < len(found) else None)

    def module(self, digest: str) -> bytes:
        """Return compiled bytes; KeyError when no revision refers to them."""
        return self._modules[digest]

    def lock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
        """Lock a policy that is not locked."""
        at = utc(at)
        with self._lock:
            entry = self._entry(policy)
            if entry.locked:
                raise AlreadyLocked
            entry.locked = True
            self._changed(policy, entry, "locked", at, changed=("locked",), actor=actor)
            self._stamp = self._next

    def unlock(self, policy: PolicyId, at: datetime, *, actor: str = "") -> None:
        """Unlock a policy that is locked."""
        at = utc(at)
        with self._lock:
            entry = self._entry(policy)
            if not entry.locked:
                raise NotLocked
            entry.locked = False
            self._changed(policy, entry, "unlocked", at, changed=("locked",), actor=actor)
            self._stamp = self._next

    def locks(self) -> frozenset[PolicyId]:
        """Return all locked policies."""
        with self._lock:
            return frozenset(policy for policy, entry in self._entries.items() if entry.locked)

    def acquire(self, name: str, holder: str, *, until: datetime, at: datetime) -> bool:
        """Take or renew a lease."""
        until, at = utc(until), utc(at)
        with self._lock:
            held = self._leases.get(name)
            if held is not None and held[0] != holder and held[1] > at:
                return False
            self._leases[name] = (holder, until)
            return True

    def release(self, name: str, holder: str) -> None:
        """Give a lease back when it is this holder's."""
        with self._lock:
            held = self._leases.get(name)
            if held is not None and held[0] == holder:
                del self._leases[name]

    def refresh_state(self, policy: PolicyId) -> RefreshState | None:
        """Return how the scheduled data of one policy is doing."""
        return self._refreshes.get(policy)

    def refresh_states(self) -> Sequence[RefreshState]:
        """Return all states, ordered by id."""
        with self._lock:
            return [self._refreshes[policy] for policy in sorted(self._refreshes)]

    def save_refresh(self, state: RefreshState) -> None:
        """Insert or replace the state of one policy."""
        state = replace(
            state,
            next_run=None if state.next_run is None else utc(state.next_run),
            last_attempt=None if state.last_attempt is None else utc(state.last_attempt),
            last_success=None if state.last_success is None else utc(state.last_success),
        )
        with self._lock:
            self._refreshes[state.id] = state

    def drop_refresh(self, policy: PolicyId) -> None:
        """Forget the state of one policy."""
        with self._lock:
            self._refreshes.pop(policy, None)

    def ping(self) -> None:
        """Answer; memory is always there."""

    def follow(self, changed: Callable[[], None], stop: threading.Event) -> None:
        """Return at once; nobody else changes anything here."""

    def tidy(self) -> None:
        """Do nothing; nothing is ever left over."""

    def close(self) -> None:
        """Do nothing; there is no connection to give back."""

    def _check(self, change: Change) -> None:
        """Refuse what cannot be done before anything is done."""
        known = self._entries.get(change.id)
        check_seen(change.id, change.seen, 0 if known is None else known.stamp)
        if isinstance(change, Removal) and known is None:
            raise missing(change.id)

    def _make(self, change: Change) -> Applied:
        if isinstance(change, Publication):
            return self._publish(change)
        if isinstance(change, Refusal):
            self._refuse(change.id, change.failure)
        else:
            self._remove(change)
        return Applied(None, is_new=True)

    def _publish(self, change: Publication) -> Applied:
        manifest, at = change.compiled.manifest, change.at
        entry = self._entries.setdefault(change.id, _Entry(at))
        active = entry.revisions[-1] if entry.revisions else None
        if active is not None and (active.digest, active.manifest.digest) == (change.digest, manifest.digest):
            if entry.failure is not None and change.failure is None:
                entry.failure = None
                self._changed(change.id, entry, "published", at, changed=("failure",), actor=change.author)
            return Applied(active.number, is_new=False)
        number = 1 if active is None else active.number + 1
        made = change.revision(number)
        entry.revisions.append(made)
        entry.failure = change.failure
        entry.locked = entry.locked or change.locked
        self._modules[manifest.digest] = change.compiled.wasm
        dropped = entry.revisions[: -self._keep]
        del entry.revisions[: -self._keep]
        self._collect(dropped)
        self._changed(change.id, entry, "published", at, changed=changed_parts(active, made), actor=change.author)
        return Applied(number, is_new=True)

    def _refuse(self, policy: PolicyId, failure: Failure) -> None:
        entry = self._entries.setdefault(policy, _Entry(failure.at))
        entry.failure = failure
        self._changed(policy, entry, "failed", failure.at, changed=("failure",))

    def _remove(self, change: Removal) -> None:
        entry = self._entries.pop(change.id)
        self._refreshes.pop(change.id, None)
        self._changes = {key: stamp for key, stamp in self._changes.items() if key[0] != change.id}
        self._collect(tuple(entry.revisions))
        entry.revisions.clear()
        at = entry.updated_at if change.at is None else change.at
        self._changed(change.id, entry, "deleted", at, actor=change.actor)

    def _entry(self, policy: PolicyId) -> _Entry:
        entry = self._entries.get(policy)
        if entry is None:
            raise missing(policy)
        return entry

    def _changed(
        self,
        policy: PolicyId,
        entry: _Entry,
        what: str,
        at: datetime,
        *,
        changed: Sequence[str] = (),
        actor: str = "",
    ) -> None:
        entry.updated_at = at
        self._next += 1
        entry.stamp = self._next
        revision = entry.revisions[-1].number if entry.revisions else None
        self._events.insert(event_row(self._next, what, policy, revision=revision, changed=changed, actor=actor, at=at))
        self._changes[policy, what] = self._next

    def _collect(self, dropped: Sequence[Revision]) -> None:
        """Drop the modules that only these revisions needed."""
        used = {revision.manifest.digest for entry in self._entries.values() for revision in entry.revisions}
        for revision in dropped:
            if revision.manifest.digest not in used:
                self._modules.pop(revision.manifest.digest, None)


def _record(policy: PolicyId, entry: _Entry) -> PolicyRecord:
    active = entry.revisions[-1] if entry.revisions else None
    state = standing(active, entry.failure)
    return PolicyRecord(policy, active, entry.locked, state, entry.failure, entry.updated_at, entry.stamp)
