"""The policies of this worker that are ready to run."""

import itertools
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Final

from policy_server.engine.policy import Policy
from policy_server.model.errors import (
    InvalidSchema,
    PackageMissing,
    PolicyLocked,
    PolicyNotFound,
    PolicyServerError,
    PolicyUnusable,
    SchemaUnusable,
    StoreUnavailable,
    WrongPackage,
)
from policy_server.model.policy import PolicyId, PolicyRecord, Revision
from policy_server.model.status import State, Status
from policy_server.ports import Clock, PolicyStore

QUIET = 1.0
"""How long a store found away is left alone by callers, in seconds."""

PATIENCE = 0.1
"""How long a caller waits for another who looks at the store, in seconds; it takes some microseconds."""

_TRIES = 50
"""How often a policy is read again that somebody publishes at the same moment."""

_UNUSABLE: Final = {WrongPackage.slug: PackageMissing, InvalidSchema.slug: SchemaUnusable}
"""What a policy is whose source failed for one of these reasons."""

log = logging.getLogger(__name__)

Loader = Callable[[bytes, Revision], Policy]
"""Makes a runnable policy from wasm bytes and the revision they belong to."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A revision and the loaded policy that answers for it."""

    revision: Revision
    policy: Policy


class Catalog:
    """Knows which revision answers now, and follows the store.

    The store's stamp is asked before every evaluation, so that a lock counts in
    every worker as soon as it is committed. A new revision is loaded aside, by
    ``sync`` on the watching thread, and swapped whole; callers keep getting the
    old one until then. When the store cannot be reached, what is loaded goes on
    answering and the status says degraded.
    """

    def __init__(self, store: PolicyStore, load: Loader, clock: Clock, *, poll: float = 0.25, limit: int = 500) -> None:
        """Take collaborators; ``poll`` is the time between looks at the store, in seconds.

        At most ``limit`` policies stay loaded, besides those that were loaded ahead.
        """
        self._store = store
        self._load = load
        self._clock = clock
        self._poll = poll
        self._ready: dict[PolicyId, Ready] = {}
        self._locks: tuple[int, frozenset[PolicyId]] = (-1, frozenset())
        self._synced = -1
        self._quiet_until = 0.0
        self._looking = threading.Lock()
        self._stuck = False
        self._writing = threading.RLock()
        self._first: defaultdict[PolicyId, threading.Lock] = defaultdict(threading.Lock)
        self._limit = limit
        self._pinned: frozenset[PolicyId] = frozenset()
        self._used: dict[PolicyId, int] = {}
        self._uses = itertools.count()
        self._wake = threading.Event()
        self._status = Status(State.STARTING, "nothing is loaded yet", clock())

    def status(self) -> Status:
        """Return how the catalog is doing."""
        return self._status

    def loaded(self) -> int:
        """Return how many policies are loaded."""
        return len(self._ready)

    def usage(self) -> tuple[int, int, int]:
        """Return how many policies are loaded, their instances, and about how many bytes of memory those have."""
        used = [each.policy.usage() for each in tuple(self._ready.values())]
        return len(used), sum(instances for instances, _ in used), sum(memory for _, memory in used)

    def find(self, policy: PolicyId) -> Ready:
        """Return what answers for a policy now, loading it at its first use.

        Raises:
            PolicyNotFound: there is no such policy.
            PolicyLocked: it is locked, as committed now.
            PolicyUnusable: none of its revisions was ever good; PackageMissing and SchemaUnusable are such.
            StoreUnavailable: it is not loaded and the store cannot be reached.
        """
        self._look()
        if policy in self._locks[1]:
            raise PolicyLocked
        ready = self._ready.get(policy)
        if ready is not None:
            self._used[policy] = next(self._uses)
            return ready
        if self._stuck or time.monotonic() < self._quiet_until:
            raise StoreUnavailable(self._status.message)
        return self._load_first(policy)

    def preload(self, policies: Iterable[PolicyId]) -> None:
        """Load policies ahead of their first question; missing and broken ones are logged."""
        ahead = tuple(policies)
        self._pinned = frozenset(ahead)
        for policy in ahead:
            try:
                self._load_first(policy)
            except PolicyServerError as error:
                log.warning("policy %s is not ready: %s", policy, error.message)
        log.info("%d policies loaded; others are at their first use", len(self._ready))

    def sync(self) -> None:
        """Swap to what the store has now; a revision that does not load leaves the old one."""
        with self._writing:
            stamp = self._store.stamp()
            if stamp != self._locks[0]:
                self._read_locks(stamp)
            if stamp != self._synced:
                self._swap(self._changed())
                self._synced = stamp
            self._become(State.READY, f"{len(self._ready)} policies loaded")

    def watch(self, stop: threading.Event) -> None:
        """Follow the store until told to stop."""
        while not stop.is_set():
            self._wake.wait(self._poll)
            self._wake.clear()
            try:
                self.sync()
            except StoreUnavailable as error:
                self._become(State.DEGRADED, error.message)

    def wake(self) -> None:
        """Make the watching thread look at the store at once."""
        self._wake.set()

    def close(self) -> None:
        """Unload everything."""
        with self._writing:
            ready, self._ready = self._ready, {}
        _close(ready.values())

    def _look(self) -> None:
        if time.monotonic() < self._quiet_until:
            return
        # One caller at a time: a store that hangs costs one of them, not all.
        if not self._looking.acquire(timeout=0 if self._stuck else PATIENCE):
            self._stuck = True
            self._become(State.DEGRADED, "the store does not answer")
            return
        try:
            stamp = self._store.stamp()
            if stamp != self._locks[0]:
                self._read_locks(stamp)
                self._wake.set()
        except StoreUnavailable as error:
            # Decisions keep flowing from what is loaded, and no caller waits for
            # a store that has just been found away; health tells.
            self._quiet_until = time.monotonic() + QUIET
            self._become(State.DEGRADED, error.message)
        finally:
            self._stuck = False
            self._looking.release()

    def _read_locks(self, stamp: int) -> None:
        # The stamp was read before the locks: a lock committed in between only
        # costs one more look. Both are set at once, so threads may race here.
        self._locks = (stamp, self._store.locks())

    def _changed(self) -> Set[PolicyId]:
        """Return which policies may be others than when they were loaded: at the first look any."""
        if self._synced < 0:
            return self._ready.keys()
        return {change.id for change in self._store.changes(self._synced)}

    def _swap(self, changed: Set[PolicyId]) -> None:
        """Load aside what changed of that which is loaded, then swap to all of it at once."""
        fresh: dict[PolicyId, Ready | None] = {}
        try:
            for policy in changed & self._ready.keys():
                self._look_at(policy, fresh)
        except StoreUnavailable:
            _close(fresh.values())
            raise
        self._replace(fresh)

    def _look_at(self, policy: PolicyId, fresh: dict[PolicyId, Ready | None]) -> None:
        """Note what is to answer for a policy from now on, unless that does."""
        held = self._ready[policy]
        try:
            record = self._store.get(policy)
        except PolicyNotFound:
            fresh[policy] = None
            return
        if record.revision is None:
            fresh[policy] = None  # it was removed, and what came after that is no good
        elif not _same(record.revision, held.revision):
            made = self._made_anew(record.revision)
            if made is not None:
                fresh[policy] = made

    def _made_anew(self, revision: Revision) -> Ready | None:
        try:
            return self._make(revision)
        except StoreUnavailable:
            raise
        except KeyError:
            return None  # that module has gone, so there is a newer revision: the next look swaps to it
        except PolicyServerError as error:
            log.warning("revision %d of %s does not load: %s", revision.number, revision.id, error.message)
            return None

    def _replace(self, fresh: Mapping[PolicyId, Ready | None]) -> None:
        """Let others answer, or nobody any more, from one moment on."""
        old = [self._ready[policy] for policy in fresh if policy in self._ready]
        ready = {**self._ready, **fresh}
        # One assignment: whoever asks before it gets the old ones only, whoever asks after it the new ones.
        self._ready = {policy: each for policy, each in ready.items() if each is not None}
        for policy in fresh.keys() - self._ready.keys():
            self._used.pop(policy, None)
        _close(old)

    def _load_first(self, policy: PolicyId) -> Ready:
        try:
            with self._first[policy]:
                return self._load_alone(policy)
        finally:
            # Whoever asks for what is not there must not leave something behind. Who waits has
            # the lock all the same, and then finds the policy loaded.
            self._first.pop(policy, None)

    def _load_alone(self, policy: PolicyId) -> Ready:
        for _ in range(_TRIES):
            held = self._ready.get(policy)
            if held is not None:
                return held
            try:
                fresh = self._make(usable(self._store.get(policy)))
            except KeyError:
                continue  # that module went while the record was read; there is a newer revision
            with self._writing:
                # A revision published while this one was loading must not be missed.
                if _same(usable(self._store.get(policy)), fresh.revision):
                    self._replace({policy: fresh})
                    self._used[policy] = next(self._uses)
                    self._make_room()
                    return fresh
        raise StoreUnavailable(f"The module of {policy} cannot be had; publish it again, or restore a backup.")

    def _make_room(self) -> None:
        """Unload what was asked for longest ago; the policies that were loaded ahead stay."""
        unpinned = self._ready.keys() - self._pinned
        while len(unpinned) > self._limit:
            oldest = min(unpinned, key=lambda each: self._used.get(each, -1))
            unpinned.remove(oldest)
            self._replace({oldest: None})

    def _make(self, revision: Revision) -> Ready:
        wasm = self._store.module(revision.manifest.digest)
        return Ready(revision, self._load(wasm, revision))

    def _become(self, state: State, message: str) -> None:
        now = self._status
        if now.state is not state:
            self._status = Status(state, message, self._clock(), self._synced)
            # Before any policy was asked for, how many are loaded would only mislead.
            log.info("catalog is %s%s", state, "" if state is State.READY else f": {message}")
        elif (now.message, now.stamp) != (message, self._synced):
            self._status = Status(state, message, now.since, self._synced)


def _close(ready: Iterable[Ready | None]) -> None:
    for each in ready:
        if each is not None:
            each.policy.close()


def _same(one: Revision, other: Revision) -> bool:
    """Tell whether two are one; numbers begin anew when a policy was deleted in between."""
    return (one.number, one.digest) == (other.number, other.digest)


def usable(record: PolicyRecord) -> Revision:
    """Return the active revision of a policy; PolicyUnusable, with the reason, when none was ever good."""
    if record.revision is not None:
        return record.revision
    failure = record.failure
    if failure is None:
        raise PolicyUnusable
    raise _UNUSABLE.get(failure.code, PolicyUnusable)(failure.message, code=failure.code)
