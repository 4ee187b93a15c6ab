"""Two writers of one MongoDB database who meet at every step, are killed there, or wake up late."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from database_servers import mongodb_url

from policy_server.model.change import Change, Publication, Refusal, Removal
from policy_server.model.errors import PolicyServerError
from policy_server.model.policy import CompiledPolicy, Dialect, Failure, Manifest, PolicyFilter, PolicyId, PolicySource
from policy_server.publishing.standing import record_of, stamp_of
from policy_server.storage.memory import MemoryStore
from policy_server.storage.mongo_server import Document
from policy_server.storage.mongodb import MongoStore

NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)
IDS = [PolicyId("r", "g", name, "1") for name in "abcd"]
FAILURE = Failure("c", "m", NOON, "d")
STEPS = {
    "_journal": ("settle", "_decided", "_pending", "_commit", "_carry_out", "_update", "_insert_events"),
    "_journal._contents": ("drop",),
    "_journal._batches": ("write", "drop"),
    "_pieces": ("keep", "want"),
}
Act = Callable[[], None]


class Killed(BaseException):
    """What a process feels that is killed."""


@dataclass
class Watched:
    """A writer that is interrupted once; ``pending`` is what it wanted to commit last, ``committed`` whether it did."""

    countdown: int
    act: Act
    pending: Document | None = None
    committed: bool = False

    def step(self) -> None:
        """Count a step; act at the last."""
        self.countdown -= 1
        if self.countdown == 0:
            self.act()


@contextmanager
def interrupted(store: MongoStore, watched: Watched) -> Iterator[None]:
    """Watch the steps of a writer."""
    patched = []
    for path, names in STEPS.items():
        part: Any = store
        for attribute in path.split("."):
            part = getattr(part, attribute)
        for name in names:
            setattr(part, name, _step(getattr(part, name), name, watched))
            patched.append((part, name))
    try:
        yield
    finally:
        for part, name in patched:
            delattr(part, name)


def _step(real: Callable[..., object], name: str, watched: Watched) -> Callable[..., object]:
    def step(*args: Any, **kwargs: Any) -> object:
        if name == "_commit":
            watched.pending = args[0]
        if name == "_carry_out" and args[0] is watched.pending:
            watched.committed = True
        watched.step()
        made = real(*args, **kwargs)
        watched.step()
        return made

    return step


def changes(chance: random.Random, model: MemoryStore) -> list[Change]:
    """Make up a batch; most of it was decided by what is true."""
    made: list[Change] = []
    for policy in chance.sample(IDS, chance.randint(1, 4)):
        seen = chance.choice([None, stamp_of(record_of(model, policy))])
        kind = chance.random()
        if kind < 0.6:
            made.append(publication(policy, chance.choice("abc"), chance.choice("xyz"), seen))
        else:
            made.append(Refusal(policy, FAILURE, seen) if kind < 0.8 else Removal(id=policy, seen=seen, at=NOON))
    return made


def publication(policy: PolicyId, mark: str, letter: str, seen: int | None) -> Publication:
    """Make a publication; module and data are kept apart, and shared with other policies."""
    source = PolicySource(policy, f"package g.n # {mark}", data='{"x": "' + letter * 900 + '"}')
    manifest = Manifest(f"module-{mark}", "s", "1.22.2", Dialect.V1, ("g/n",))
    compiled = CompiledPolicy(b"\0asm" + mark.encode(), manifest)
    digest = mark + letter
    return Publication(
        source=source, compiled=compiled, data=source.data, digest=digest, author="ada", at=NOON, seen=seen
    )


def outcome(act: Callable[[], object]) -> object:
    """Return what comes of an act."""
    try:
        return act()
    except PolicyServerError as error:
        return type(error), str(error)


def everything(store: MongoStore | MemoryStore) -> object:
    """Return all that can be seen."""
    records = store.find(PolicyFilter(), limit=100).records
    numbers = [(each.id, one.number) for each in records for one in store.revisions(each.id, limit=9)]
    kept = [store.revision(policy, number) for policy, number in numbers]
    events = store.outbox.events(after=0, limit=1000)
    told = [(event.stamp, event.type, event.policy, event.revision, event.changed) for event in events]
    modules = [store.module(each.manifest.digest) for each in kept]
    return store.stamp(), records, list(store.changes(0)), kept, told, modules


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_between_two_steps_the_store_is_whole(seed: int) -> None:
    """As if all that was committed had been done by one, one after the other; and nothing is left over."""
    chance, url = random.Random(seed), mongodb_url()
    one, other, model = MongoStore(url, keep=2), MongoStore(url, keep=2), MemoryStore(keep=2)
    one.migrate()
    old: list[Document] = []
    for _ in range(12):
        for each in (one, other):
            each._journal._batches._inline = chance.choice([0, 1 << 20])
        _round(chance, one, other, model, old)
        assert everything(other) == everything(model)
    one.fail(replace(IDS[0], name="last"), FAILURE)
    one.tidy()

    needed = {name for found in one._server.policies.find({"live": True}) for name in found.get("refs", [])}
    assert set(one._pieces._pieces.distinct("digest")) == needed
    assert one._server.collection("policy_server_batches").count_documents({}) == 0
    one.close()
    other.close()


def _round(chance: random.Random, one: MongoStore, other: MongoStore, model: MemoryStore, old: list[Document]) -> None:
    """Let one write, and something happen in the middle of it."""
    wanted, rival = changes(chance, model), changes(chance, model)
    is_killed, said = chance.random() < 0.4, list[tuple[bool, object]]()

    def act() -> None:
        if is_killed:
            raise Killed
        if old and chance.random() < 0.5:
            other._journal._carry_out(chance.choice(old))
        if chance.random() < 0.3:
            other.tidy()
        said.append((watched.committed, outcome(lambda: list(other.apply(iter(rival))))))

    watched = Watched(chance.randint(1, 40), act)
    try:
        with interrupted(one, watched):
            mine = outcome(lambda: list(one.apply(iter(wanted))))
    except Killed:
        mine = None
    _compare(model, (wanted, mine, watched.committed), [(rival, *each) for each in said])
    if watched.pending is not None and watched.committed:
        old.append(watched.pending)


def _compare(
    model: MemoryStore,
    mine: tuple[list[Change], object, bool],
    rivals: list[tuple[list[Change], bool, object]],
) -> None:
    """Let the model do the same, in the order of the commits."""
    wanted, said, is_committed = mine
    order = [(rival, heard) for rival, _, heard in rivals]
    late = any(was_committed for _, was_committed, _ in rivals)
    if said is not None or is_committed:
        order.insert(0 if late else len(order), (wanted, said))
    for changes_, expected in order:
        found = outcome(lambda: list(model.apply(changes_)))  # noqa: B023 - called at once
        assert expected in (None, found)
