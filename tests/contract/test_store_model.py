"""Every database behaves like the memory store, whatever is done in whatever order."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from unittest import TestCase

import hypothesis.strategies as st
from contract_backends import BACKENDS
from contract_samples import POLICY, compiled, failure, later, refresh, source
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from policy_server.model.change import Change, Publication, Refusal, Removal
from policy_server.model.errors import PolicyServerError
from policy_server.model.policy import PolicyFilter, PolicyId
from policy_server.ports import Store
from policy_server.publishing.standing import record_of, stamp_of
from policy_server.storage.memory import MemoryStore
from policy_server.storage.opening import open_store

KEEP = 2
policies = st.builds(
    replace,
    st.just(POLICY),
    repository=st.sampled_from(["r", "R"]),
    name=st.sampled_from(["a", "Ä", "%", "ß", "ab"]),
)
marks = st.sampled_from("abcde")
moments = st.integers(0, 20).map(later)
documents = st.none() | st.sampled_from(["{}", '{"a": 1}', ""])


def publication(policy: PolicyId, mark: str, data: str | None, at: datetime) -> Publication:
    """Make a publication whose text is long enough to be kept apart."""
    text = None if data is None else '{"filling": "' + mark * 1000 + '"}'
    draft = source(policy, mark=mark, data=text)
    return Publication(source=draft, compiled=compiled(mark), data=text, digest=f"{mark}{data}", author="x", at=at)


batched: st.SearchStrategy[Change] = st.one_of(
    st.builds(publication, policies, marks, documents, moments),
    st.builds(Refusal, policies, st.builds(failure, marks, moments)),
    st.builds(Removal, id=policies, actor=marks, at=moments),
)


class Twins(RuleBasedStateMachine):
    """Do everything to both, and compare every answer and every error."""

    backend = "sqlite"

    def __init__(self) -> None:
        """Open one of each."""
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="twins-"))
        database = next(backend for backend in BACKENDS if backend.name == self.backend)
        self.model: Store = MemoryStore(keep=KEEP)
        self.store = open_store(database.url(self.place), keep=KEEP)

    def teardown(self) -> None:
        """Close and forget."""
        self.store.close()
        shutil.rmtree(self.place)

    def both(self, act: Callable[[Store], object]) -> None:
        """Compare what an act gives."""
        assert outcome(act, self.store) == outcome(act, self.model)

    @rule(policy=policies, mark=marks, own=documents, data=documents, at=moments)
    def publish(self, policy: PolicyId, mark: str, own: str | None, data: str | None, at: datetime) -> None:
        """Publish something."""
        draft = source(policy, mark=mark, data=own)
        digest = f"{mark}{own}{data}"
        self.both(lambda store: store.publish(draft, compiled(mark), data=data, digest=digest, author="x", at=at))

    @rule(policy=policies, at=moments, message=marks)
    def fail(self, policy: PolicyId, at: datetime, message: str) -> None:
        """Record a failure."""
        self.both(lambda store: store.fail(policy, failure(message, at)))

    @rule(policy=policies)
    def delete(self, policy: PolicyId) -> None:
        """Delete something."""
        self.both(lambda store: store.delete(policy))

    @rule(policy=policies, at=moments, locking=st.booleans())
    def turn(self, policy: PolicyId, at: datetime, locking: bool) -> None:
        """Lock or unlock something."""
        self.both(lambda store: store.lock(policy, at) if locking else store.unlock(policy, at))

    @rule(chosen=st.lists(batched, min_size=1, max_size=4, unique_by=lambda change: change.id), late=st.booleans())
    def batch(self, chosen: list[Change], late: bool) -> None:
        """Make several changes at once; ``late``: decided by what was true long ago."""
        known = {change.id: 1 if late else stamp_of(record_of(self.model, change.id)) for change in chosen}
        self.both(lambda store: list(store.apply(replace(change, seen=known[change.id]) for change in chosen)))

    @rule()
    def history(self) -> None:
        """Read every revision and its module."""
        self.both(whole)

    @rule(mark=marks)
    def module(self, mark: str) -> None:
        """Read a module that may be gone; without transactions those of refused batches stay for a while."""
        gone = isinstance(outcome(lambda store: store.module(compiled(mark).manifest.digest), self.model), tuple)
        if gone and self.backend == "mongodb":
            return
        self.both(lambda store: store.module(compiled(mark).manifest.digest))

    @rule(name=st.sampled_from("xy"), holder=marks, at=moments, until=moments)
    def acquire(self, name: str, holder: str, at: datetime, until: datetime) -> None:
        """Want a lease."""
        self.both(lambda store: store.acquire(name, holder, until=until, at=at))

    @rule(name=st.sampled_from("xy"), holder=marks)
    def release(self, name: str, holder: str) -> None:
        """Give a lease back."""
        self.both(lambda store: store.release(name, holder))

    @rule(policy=policies, failures=st.integers(0, 3), keep=st.booleans())
    def refresh(self, policy: PolicyId, failures: int, keep: bool) -> None:
        """Save or forget refresh state."""
        state = refresh(policy, failures=failures)
        self.both(lambda store: store.save_refresh(state) if keep else store.drop_refresh(policy))

    @rule(
        repository=st.none() | st.sampled_from(["r", "q"]),
        part=st.none() | st.sampled_from(["a", "A", "ä", "%", "SS", ""]),
        locked=st.none() | st.booleans(),
        limit=st.integers(0, 4),
    )
    def walk(self, repository: str | None, part: str | None, locked: bool | None, limit: int) -> None:
        """Follow a listing to its end."""
        wanted = PolicyFilter(repository=repository, name_contains=part, locked=locked)
        cursor = None
        while True:
            at = cursor
            self.both(lambda store: store.find(wanted, limit=limit, cursor=at))  # noqa: B023 - called at once
            cursor = self.model.find(wanted, limit=limit, cursor=cursor).next_cursor if limit else None
            if cursor is None:
                break

    @rule(since=st.integers(-1, 60))
    def changes(self, since: int) -> None:
        """Ask what changed."""
        self.both(lambda store: list(store.changes(since)))

    @rule()
    def reopen(self) -> None:
        """Close the connections."""
        self.store.close()

    @invariant()
    def agree(self) -> None:
        """Stamps, locks and states are always equal."""
        self.both(lambda store: (store.stamp(), store.locks(), list(store.refresh_states())))


def whole(store: Store) -> object:
    """Return everything that is kept of every policy."""
    found = [each.id for each in store.find(PolicyFilter(), limit=50).records]
    numbers = [(policy, each.number) for policy in found for each in store.revisions(policy, limit=50)]
    kept = [store.revision(policy, number) for policy, number in numbers]
    return kept, [store.module(each.manifest.digest) for each in kept]


def outcome(act: Callable[[Store], object], store: Store) -> object:
    """Return what an act gives, or how it fails."""
    try:
        return act(store)
    except (PolicyServerError, KeyError) as error:
        return type(error), str(error)


class PostgresTwins(Twins):
    """The same with PostgreSQL."""

    backend = "postgresql"


class MongoTwins(Twins):
    """The same with MongoDB."""

    backend = "mongodb"


def case(machine: type[Twins]) -> type[TestCase]:
    """Make a test of a machine."""
    made: type[TestCase] = machine.TestCase
    made.settings = settings(  # type: ignore[attr-defined] # Hypothesis reads it
        max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return made


TestSqlite = case(Twins)
TestPostgresql = case(PostgresTwins)
TestMongodb = case(MongoTwins)
