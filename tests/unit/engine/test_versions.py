"""A package leads to the highest version of its policy."""

import itertools
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_server.engine.versions import Versions, precedence
from policy_server.model.errors import Ambiguous, StoreUnavailable
from policy_server.model.policy import CompiledPolicy, Dialect, Failure, Manifest, PolicyId, PolicySource
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Semantic versioning 2.0.0, 11.4, with forms of ours among them.
ORDER = ("latest", "0.9", "1-alpha", "1.0.0-alpha.1", "1.0-alpha.beta", "1.0-beta.2", "1.0-beta.11", "1.0-rc.1", "v1.0",
         "1.0.1", "1.2", "1.10", "2")  # fmt: skip


def publish(store: MemoryStore, *policies: str) -> None:
    """Publish policies."""
    for text in policies:
        policy = PolicyId.parse(text)
        compiled = CompiledPolicy(b"", Manifest("d", "s", "1", Dialect.V1, (policy.entrypoint,)))
        source = PolicySource(policy, "")
        store.publish(source, compiled, data=None, digest=text, author="me", at=AT)


def test_versions_are_in_semantic_order() -> None:
    """Numbers as numbers, pre-releases below their release, what is no version below all."""
    assert list(ORDER) == sorted(ORDER, key=precedence)
    assert all(precedence(one) != precedence(other) for one, other in itertools.pairwise(ORDER))


@pytest.mark.parametrize(("one", "other"), [("1", "1.0.0"), ("v1.2", "1.2"), ("1.0+a", "1.0+b")])
def test_some_versions_are_the_same(one: str, other: str) -> None:
    """Zeros at the end, a leading v and build metadata do not count."""
    assert precedence(one) == precedence(other)


@given(st.lists(st.text(max_size=12), min_size=2, max_size=5))
def test_any_names_can_be_compared(versions: list[str]) -> None:
    """Whatever people call their versions."""
    assert precedence(max(versions, key=precedence)) == max(map(precedence, versions))


def test_the_highest_release_is_found() -> None:
    """A pre-release only where there is nothing else, or when it is named."""
    store = MemoryStore()
    versions = Versions(store)
    publish(store, "r/g/p/1.0", "r/g/p/1.9", "r/g/p/1.10", "r/g/p/2.0-rc.1", "r/g/q/1.0-a", "r/g/q/1.0-b")

    assert versions.find("g", "p") == PolicyId("r", "g", "p", "1.10")
    assert versions.find("g", "q") == PolicyId("r", "g", "q", "1.0-b")
    assert versions.find("g", "p", version="2.0-rc.1") == PolicyId("r", "g", "p", "2.0-rc.1")
    assert versions.find("g", "p", version="3") is None
    assert versions.find("g", "none") is None


def test_changes_are_followed() -> None:
    """Publishing, deleting, and publishing again; a policy that was never good is none."""
    store = MemoryStore()
    versions = Versions(store)
    policy = PolicyId("r", "g", "p", "1")
    store.fail(policy, Failure("x", "x", AT, "x"))
    assert versions.find("g", "p") is None

    publish(store, str(policy))
    assert versions.find("g", "p") == policy
    store.delete(policy)
    assert versions.find("g", "p") is None
    publish(store, str(policy))
    assert (versions.find("g", "p"), Versions(store).find("g", "p")) == (policy, policy)


def test_several_that_fit_are_named() -> None:
    """In several repositories, or with versions that are equally high; those that do not count do not matter."""
    store = MemoryStore()
    publish(store, "a/g/p/1", "b/g/p/2", "a/g/q/1", "a/g/q/1.0")

    with pytest.raises(Ambiguous, match=r"a/g/p/1, b/g/p/2.*repository"):
        Versions(store).find("g", "p")
    with pytest.raises(Ambiguous, match=r"a/g/q/1, a/g/q/1\.0.*version"):
        Versions(store).find("g", "q")
    assert Versions(store).find("g", "p", repository="a") == PolicyId("a", "g", "p", "1")
    assert Versions(store, ["b"]).find("g", "p") == PolicyId("b", "g", "p", "2")


def test_another_database_in_its_place_is_read_anew() -> None:
    """A restored copy has an older stamp."""
    old, new = MemoryStore(), MemoryStore()
    publish(old, "r/g/p/1", "r/g/p/2")
    publish(new, "r/g/p/3")
    versions = Versions(old)
    versions.find("g", "p")

    versions._store = new  # what the same file does when it is replaced

    assert versions.find("g", "p") == PolicyId("r", "g", "p", "3")


class Away(MemoryStore):
    """A store that can be away."""

    away = False
    asked = 0

    def stamp(self) -> int:
        """Answer, or not."""
        self.asked += 1
        if self.away:
            raise StoreUnavailable
        return super().stamp()


def test_what_is_known_stays_known_while_the_store_is_away() -> None:
    """Decisions go on; only who never knew anything cannot tell."""
    store = Away()
    publish(store, "r/g/p/1")
    versions = Versions(store)
    versions.find("g", "p")
    store.away = True

    assert versions.find("g", "p") == PolicyId("r", "g", "p", "1")
    with pytest.raises(StoreUnavailable):
        Versions(store).find("g", "p")


def test_a_store_that_is_away_is_not_asked_for_every_caller() -> None:
    """Asking one that hangs takes seconds, which no decision has."""
    store = Away()
    publish(store, "r/g/p/1")
    versions = Versions(store)
    versions.follow()
    store.away = True

    asked = store.asked
    for _ in range(20):
        assert versions.find("g", "p") == PolicyId("r", "g", "p", "1")

    assert store.asked - asked == 1


class Hanging(MemoryStore):
    """A store that can keep silent."""

    def __init__(self) -> None:
        """Start answering."""
        super().__init__()
        self.released = threading.Event()
        self.released.set()

    def stamp(self) -> int:
        """Answer when released."""
        self.released.wait(60)
        return super().stamp()


def test_nobody_waits_for_who_is_asking_a_store_that_hangs() -> None:
    """What is known is answered meanwhile."""
    store = Hanging()
    publish(store, "r/g/p/1")
    versions = Versions(store)
    versions.follow()
    store.released.clear()
    first = threading.Thread(target=versions.follow)
    first.start()

    assert versions.find("g", "p") == PolicyId("r", "g", "p", "1")

    store.released.set()
    first.join()
