"""Published policies are compiled again when the toolkit is new."""

import hashlib
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from policy_server.model.audit import AuditFilter
from policy_server.model.errors import CompileError, ToolkitMissing
from policy_server.model.policy import CompiledPolicy, Dialect, Failure, Manifest, PolicyId, PolicySource, PolicyState
from policy_server.publishing.publisher import SourcePublisher
from policy_server.publishing.renewal import Renewal
from policy_server.storage.memory import MemoryStore

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
GO = threading.Event()


class Release:
    """A compiler of some release, and its toolkit: what it makes says which one it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.compiled: list[PolicyId] = []

    def compile(self, source: PolicySource) -> CompiledPolicy:
        """Make a module that depends on the release, but for Rego that says it is the same in all."""
        self.compiled.append(source.id)
        if f"not in {self.name}" in source.rego:
            raise CompileError(f"{self.name} does not like it")
        wasm = f"{'any' if 'same' in source.rego else self.name}: {source.rego}".encode()
        digest = hashlib.sha256(wasm).hexdigest()
        return CompiledPolicy(wasm, Manifest(digest, "s", "1.22.2", Dialect.V1, (source.id.entrypoint,)))


class Server:
    """What one release does on a store."""

    def __init__(self, store: MemoryStore, name: str) -> None:
        self.release = Release(name)
        self.publisher = SourcePublisher(store, self.release, lambda: AT, lambda: None)
        self.renewal = Renewal(store, self.publisher, lambda: name, lambda: AT, shipped="bundled")

    def publish(self, name: str, rego: str = "x", origin: str = "api") -> PolicyId:
        """Publish a policy."""
        policy = PolicyId("r", "g", name, "1")
        self.publisher.publish(PolicySource(policy, rego, data='{"a": 1}', origin=origin), author="ada")
        return policy


@pytest.fixture
def store() -> MemoryStore:
    """A store that servers of several releases share."""
    return MemoryStore()


def test_a_new_toolkit_compiles_everything_again_once(store: MemoryStore) -> None:
    """A new revision with the same source, data and author; what becomes the same stays as it is."""
    old, new = Server(store, "old"), Server(store, "new")
    changed, same = old.publish("changed"), old.publish("same", "same")
    before = store.get(changed).revision
    assert before is not None

    assert new.renewal.renew(GO) == 1
    assert new.renewal.renew(GO) == 0

    after = store.get(changed).revision
    assert after is not None
    assert after == replace(before, number=2, manifest=after.manifest)
    assert store.module(after.manifest.digest) == b"new: x"
    assert [each.number for each in store.revisions(same, limit=9)] == [1]
    assert new.release.compiled == [changed, same]
    (record,) = store.audit.find(AuditFilter(action="recompile"), limit=9).records
    assert (record.actor, record.subject, record.outcome) == ("upgrade", str(changed), "ok")


def test_an_older_release_does_not_turn_it_back(store: MemoryStore) -> None:
    """While both run on one store, whoever holds the lease."""
    old, new = Server(store, "old"), Server(store, "new")
    assert old.renewal.renew(GO) == 0
    policy = old.publish("p")

    new.renewal.renew(GO)

    assert old.renewal.renew(GO) == 0
    assert [each.number for each in store.revisions(policy, limit=9)] == [2, 1]


def test_what_the_new_toolkit_refuses_goes_on(store: MemoryStore) -> None:
    """Its module stays, and it is not listed as failed: nobody wrote a new source."""
    old, new = Server(store, "old"), Server(store, "new")
    refused, fine = old.publish("a", "not in new"), old.publish("b")

    assert new.renewal.renew(GO) == 1

    assert [store.get(each).state for each in (refused, fine)] == [PolicyState.READY] * 2
    assert [each.number for each in store.revisions(refused, limit=9)] == [1]


def test_a_listed_failure_and_a_lock_stay(store: MemoryStore) -> None:
    """Another module repairs no source, and unlocks nothing."""
    old, new = Server(store, "old"), Server(store, "new")
    policy = old.publish("p")
    store.fail(policy, Failure("compile-error", "wrong", AT, "d"))
    store.lock(policy, AT)

    assert new.renewal.renew(GO) == 1

    record = store.get(policy)
    assert (record.state, record.locked) == (PolicyState.STALE, True)


def test_what_was_shipped_and_what_never_was_good_need_no_compiler(store: MemoryStore) -> None:
    """Their modules come with the release, or there is none."""
    old, new = Server(store, "old"), Server(store, "new")
    old.publish("shipped", origin="bundled")
    store.fail(PolicyId("r", "g", "never", "1"), Failure("compile-error", "wrong", AT, "d"))

    assert new.renewal.renew(GO) == 0
    assert new.release.compiled == []


def test_it_is_tried_again_after_an_interruption(store: MemoryStore) -> None:
    """A stop, or a toolkit that is missing, is no reason to forget it."""
    old, new = Server(store, "old"), Server(store, "new")
    policy = old.publish("p")
    stopped = threading.Event()
    stopped.set()
    assert new.renewal.renew(stopped) == 0

    def missing() -> str:
        raise ToolkitMissing

    with pytest.raises(ToolkitMissing):
        Renewal(store, new.publisher, missing, lambda: AT, shipped="bundled").renew(GO)

    assert new.renewal.renew(GO) == 1
    assert [each.number for each in store.revisions(policy, limit=9)] == [2, 1]
