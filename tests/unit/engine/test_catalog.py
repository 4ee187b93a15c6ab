"""The catalog follows the store and never serves half of a change."""

import threading
from datetime import UTC, datetime
from typing import cast

import pytest

from policy_server.engine.catalog import Catalog
from policy_server.engine.policy import Policy
from policy_server.model.change import Publication
from policy_server.model.errors import (
    InvalidModule,
    PolicyLocked,
    PolicyNotFound,
    PolicyUnusable,
    StoreUnavailable,
)
from policy_server.model.policy import CompiledPolicy, Dialect, Failure, Manifest, PolicyId, PolicySource, Revision
from policy_server.model.status import State
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 1, 1, tzinfo=UTC)
ID = PolicyId("r", "g", "n", "1.0")


class Loaded:
    """A loaded policy that remembers what it was made of."""

    def __init__(self, wasm: bytes) -> None:
        self.wasm = wasm
        self.closed = False

    def close(self) -> None:
        """Remember that it was unloaded."""
        self.closed = True


class Away(MemoryStore):
    """A store that can be switched off."""

    away = False

    def stamp(self) -> int:
        """Fail while switched off."""
        if self.away:
            raise StoreUnavailable("the disk is gone")
        return super().stamp()


def load(wasm: bytes, _revision: Revision) -> Policy:
    """Load anything but the word broken."""
    if wasm == b"broken":
        raise InvalidModule
    return cast("Policy", Loaded(wasm))


def publish(store: MemoryStore, wasm: bytes) -> None:
    """Put a revision into the store that a process elsewhere might have put there."""
    digest = wasm.decode()
    manifest = Manifest(digest, digest, "1", Dialect.V1, ("g/n",))
    store.publish(PolicySource(ID, digest), CompiledPolicy(wasm, manifest), data=None, digest=digest, author="t", at=AT)


def answering(catalog: Catalog) -> bytes:
    """Return the module that answers now."""
    return cast("Loaded", catalog.find(ID).policy).wasm


@pytest.fixture
def store() -> Away:
    """An empty store."""
    return Away()


@pytest.fixture
def catalog(store: Away) -> Catalog:
    """A catalog over that store."""
    return Catalog(store, load, lambda: AT)


def test_a_policy_is_loaded_at_its_first_question(store: Away, catalog: Catalog) -> None:
    """Nothing is loaded before somebody asks."""
    publish(store, b"one")

    assert catalog.loaded() == 0
    assert answering(catalog) == b"one"
    assert catalog.loaded() == 1


def test_an_unknown_policy_is_not_found(catalog: Catalog) -> None:
    """A policy nobody published is an error of its own."""
    with pytest.raises(PolicyNotFound):
        catalog.find(ID)


def test_a_new_revision_is_swapped_in_and_the_old_one_unloaded(store: Away, catalog: Catalog) -> None:
    """After a sync the new revision answers."""
    publish(store, b"one")
    catalog.sync()
    old = cast("Loaded", catalog.find(ID).policy)

    publish(store, b"two")
    assert answering(catalog) == b"one"
    catalog.sync()

    assert answering(catalog) == b"two"
    assert old.closed


def test_policies_that_were_published_together_are_swapped_together(store: Away) -> None:
    """While one of them is loaded aside, all of the old ones answer; then all of the new ones do."""
    ids = [PolicyId("r", "g", f"n{number}", "1") for number in range(4)]
    seen: list[set[bytes]] = []

    def answers() -> set[bytes]:
        return {cast("Loaded", catalog.find(each).policy).wasm for each in ids}

    def watch(wasm: bytes, revision: Revision) -> Policy:
        if catalog.loaded() == len(ids):
            seen.append(answers())
        return load(wasm, revision)

    def publish_all(wasm: bytes) -> None:
        manifest = Manifest(wasm.decode(), "s", "1", Dialect.V1, ("g/n",))
        made = CompiledPolicy(wasm, manifest)
        store.apply(
            Publication(source=PolicySource(each, "x"), compiled=made, data=None, digest="d", author="t", at=AT)
            for each in ids
        )

    catalog = Catalog(store, watch, lambda: AT)
    publish_all(b"one")
    catalog.sync()
    answers()
    publish_all(b"two")

    catalog.sync()

    assert seen == [{b"one"}] * len(ids)
    assert answers() == {b"two"}


def test_a_revision_that_does_not_load_leaves_the_last_good_one(store: Away, catalog: Catalog) -> None:
    """A broken module never reaches a caller."""
    publish(store, b"one")
    catalog.sync()
    catalog.find(ID)

    publish(store, b"broken")
    catalog.sync()

    assert answering(catalog) == b"one"


def test_a_lock_counts_at_once(store: Away, catalog: Catalog) -> None:
    """A lock committed elsewhere refuses the very next question."""
    publish(store, b"one")
    catalog.find(ID)

    store.lock(ID, AT)
    with pytest.raises(PolicyLocked):
        catalog.find(ID)
    store.unlock(ID, AT)

    assert answering(catalog) == b"one"


def test_a_deleted_policy_is_unloaded(store: Away, catalog: Catalog) -> None:
    """After a sync nobody gets an answer from a policy that is gone."""
    publish(store, b"one")
    catalog.sync()
    catalog.find(ID)

    store.delete(ID)
    catalog.sync()

    with pytest.raises(PolicyNotFound):
        catalog.find(ID)


def test_what_changes_between_loading_and_the_first_look_is_not_missed(store: Away, catalog: Catalog) -> None:
    """Policies are loaded ahead before anybody watches the store."""
    publish(store, b"one")
    catalog.preload([ID])
    publish(store, b"two")

    catalog.sync()

    assert answering(catalog) == b"two"


def test_what_is_broken_since_it_was_deleted_does_not_answer(store: Away, catalog: Catalog) -> None:
    """Although this worker saw neither of the two happen."""
    publish(store, b"one")
    answering(catalog)

    store.delete(ID)
    store.fail(ID, Failure("compile-error", "no", AT, "x"))
    catalog.sync()

    with pytest.raises(PolicyUnusable):
        catalog.find(ID)


def test_a_module_that_is_lost_keeps_nobody_busy(store: Away, catalog: Catalog) -> None:
    """A damaged store is told, rather than read again for ever."""
    publish(store, b"one")
    store._modules.clear()

    with pytest.raises(StoreUnavailable, match="restore a backup"):
        catalog.find(ID)


def test_a_policy_that_was_never_good_says_why(store: Away, catalog: Catalog) -> None:
    """The failure of its publishing is the error of its question."""
    store.fail(ID, Failure("compile-error", "policy.rego:3:1: rego_parse_error", AT, "d"))

    with pytest.raises(PolicyUnusable, match="rego_parse_error"):
        catalog.find(ID)


def test_without_a_store_what_is_loaded_goes_on_answering(store: Away, catalog: Catalog) -> None:
    """A store that is away degrades, it does not stop decisions."""
    publish(store, b"one")
    catalog.sync()
    catalog.find(ID)

    store.away = True

    assert answering(catalog) == b"one"
    assert catalog.status().state is State.DEGRADED
    assert "disk is gone" in catalog.status().message


def test_a_store_that_hangs_costs_one_caller_and_no_other(store: Away, catalog: Catalog) -> None:
    """The others are answered from what is loaded, until it answers again."""
    publish(store, b"one")
    catalog.sync()
    catalog.find(ID)
    hanging, going_on = threading.Event(), threading.Event()
    stamp = store.stamp

    def hang() -> int:
        hanging.set()
        assert going_on.wait(30)
        return stamp()

    store.stamp = hang  # type: ignore[method-assign] # what a disk does that has gone
    unlucky = threading.Thread(target=catalog.find, args=(ID,), daemon=True)
    unlucky.start()
    assert hanging.wait(10)

    others = [threading.Thread(target=catalog.find, args=(ID,), daemon=True) for _ in range(8)]
    for other in others:
        other.start()
    for other in others:
        other.join(10)
    answered = not any(other.is_alive() for other in others)
    degraded = catalog.status()
    with pytest.raises(StoreUnavailable):
        catalog.find(PolicyId("not", "loaded", "yet", "1"))
    going_on.set()
    unlucky.join(10)
    store.lock(ID, AT)

    assert answered
    assert (degraded.state, degraded.message) == (State.DEGRADED, "the store does not answer")
    with pytest.raises(PolicyLocked):
        catalog.find(ID)


def test_what_is_not_loaded_waits_for_no_store_that_is_away(store: Away, catalog: Catalog) -> None:
    """Only the first look is taken; a caller gets the error at once."""
    store.away = True

    with pytest.raises(StoreUnavailable, match="disk is gone"):
        catalog.find(ID)


def test_the_watching_thread_swaps_without_being_told(store: Away) -> None:
    """What another process publishes arrives by itself."""
    loads: list[bytes] = []
    swapped = threading.Event()

    def noting(wasm: bytes, revision: Revision) -> Policy:
        loads.append(wasm)
        if wasm == b"two":
            swapped.set()
        return load(wasm, revision)

    catalog = Catalog(store, noting, lambda: AT, poll=0.01)
    publish(store, b"one")
    catalog.sync()
    catalog.find(ID)
    stop = threading.Event()
    thread = threading.Thread(target=catalog.watch, args=(stop,))
    thread.start()

    publish(store, b"two")

    assert swapped.wait(10)
    stop.set()
    thread.join(10)
    assert answering(catalog) == b"two"
    catalog.close()
    assert catalog.loaded() == 0


def test_a_revision_published_while_the_first_one_loads_is_not_missed(store: Away) -> None:
    """The first question never installs a revision that is already old."""
    publish(store, b"one")

    def slow(wasm: bytes, revision: Revision) -> Policy:
        if wasm == b"one":
            publish(store, b"two")
        return load(wasm, revision)

    catalog = Catalog(store, slow, lambda: AT)

    assert answering(catalog) == b"two"


def test_what_was_asked_for_longest_ago_is_unloaded(store: Away) -> None:
    """Memory is bounded however many policies there are; what Pexip asks for always stays."""
    ids = [PolicyId("r", "g", f"n{number}", "1.0") for number in range(5)]
    for each in ids:
        digest = each.name
        manifest = Manifest(digest, digest, "1", Dialect.V1, ("g/n",))
        compiled = CompiledPolicy(digest.encode(), manifest)
        store.publish(PolicySource(each, digest), compiled, data=None, digest=digest, author="t", at=AT)
    catalog = Catalog(store, load, lambda: AT, limit=2)
    catalog.preload(ids[:1])

    loaded = [cast("Loaded", catalog.find(each).policy) for each in ids]
    first = cast("Loaded", catalog.find(ids[3]).policy)
    again = cast("Loaded", catalog.find(ids[2]).policy)

    assert catalog.loaded() == 3
    assert cast("Loaded", catalog.find(ids[0]).policy) is loaded[0]
    assert first is loaded[3]
    assert again is not loaded[2]
    assert loaded[2].closed
    assert loaded[4].closed


def test_asking_for_what_is_not_there_leaves_nothing_behind(catalog: Catalog) -> None:
    """However many wrong addresses are asked for."""
    for number in range(100):
        with pytest.raises(PolicyNotFound):
            catalog.find(PolicyId("r", "g", f"n{number}", "1.0"))

    assert not catalog._first
