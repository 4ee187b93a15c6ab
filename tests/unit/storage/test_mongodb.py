"""How the MongoDB store makes changes whole, reads the original's data, and stands what a server can do to it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from database_servers import free_port, mongodb_url, start_mongodb, stop
from pymongo import MongoClient

from policy_server.model.auto_import import AutoImport
from policy_server.model.change import Publication, Refusal
from policy_server.model.errors import InvalidParameter, PolicyNotFound, SettingsError, StoreUnavailable, ValueNotFound
from policy_server.model.policy import (
    CompiledPolicy,
    Dialect,
    Failure,
    Manifest,
    PolicyFilter,
    PolicyId,
    PolicySource,
    PolicyState,
)
from policy_server.model.subscriber import SubscriberState
from policy_server.ports import Store
from policy_server.storage.mongo_journal import Journal
from policy_server.storage.mongo_server import Document, MongoServer
from policy_server.storage.mongodb import MongoStore
from policy_server.storage.opening import open_store

NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)
POLICY = PolicyId("r", "g", "n", "1")


@pytest.fixture
def url() -> str:
    """The URL of an empty database."""
    return mongodb_url()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store in it."""
    opened = open_store(url, keep=2)
    yield opened
    opened.close()


def publish(store: Store, mark: str = "a", policy: PolicyId = POLICY) -> None:
    """Publish something with contents that are kept apart."""
    store.apply([publication(mark, policy)])


def batch(store: Store, *, beside: bool) -> None:
    """Change several policies at once; ``beside``: as if that were too big for a document."""
    if beside:
        store._journal._batches._inline = 0  # type: ignore[attr-defined]
    changes = [publication("d"), Refusal(replace(POLICY, name="refused"), Failure("c", "m", NOON, "d"))]
    store.apply([*changes, *(publication("e", replace(POLICY, name=f"n{number}")) for number in range(3))])


def publication(mark: str, policy: PolicyId = POLICY) -> Publication:
    """Make a publication of something with contents that are kept apart."""
    manifest = Manifest(f"module-{mark}", "s", "1.22.2", Dialect.V1, ("g/n",))
    source = PolicySource(policy, f"package g.n # {mark * 1000}", data='{"x": "' + mark * 1000 + '"}')
    compiled = CompiledPolicy(b"\0asm" + mark.encode() * 50, manifest)
    return Publication(source=source, compiled=compiled, data=source.data, digest=mark, author="ada", at=NOON)


ACTS: list[Callable[[Store], object]] = [
    lambda store: publish(store, "b"),
    lambda store: store.lock(POLICY, NOON),
    lambda store: store.fail(POLICY, Failure("c", "m", NOON, "d")),
    lambda store: store.delete(POLICY),
    lambda store: batch(store, beside=False),
    lambda store: batch(store, beside=True),
]
NAMES = ["publish", "lock", "fail", "delete", "batch", "batch-beside"]


def everything(store: Store) -> object:
    """Return all that can be seen of the policy."""
    page = store.find(PolicyFilter(), limit=10)
    history = store.revisions(POLICY, limit=10) if page.records else ()
    events = store.outbox.events(after=0, limit=100)
    modules = [store.module(each.module) for each in history]
    told = [(event.stamp, event.type, event.changed) for event in events]
    return store.stamp(), store.locks(), page.records, list(store.changes(0)), list(history), told, modules


class Killed(Exception):
    """What a process feels that is killed."""


def kill_in(monkeypatch: pytest.MonkeyPatch, method: str, act: Callable[[], object]) -> list[Document]:
    """Die at the beginning of a method of the journal; return what it was given."""
    given: list[Document] = []

    def die(_journal: Journal, pending: Document) -> None:
        given.append(pending)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, method, die)
        with pytest.raises(Killed):
            act()
    return given


@pytest.mark.parametrize("act", ACTS, ids=NAMES)
def test_a_writer_killed_after_its_commit_loses_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch, act: Callable[[Store], object]
) -> None:
    """Whoever looks next carries the change out, and sees what an undisturbed writer would have left."""
    quiet, disturbed = (open_store(address, keep=2) for address in (mongodb_url(), url))
    for each in (quiet, disturbed):
        publish(each)
    act(quiet)

    kill_in(monkeypatch, "_carry_out", lambda: act(disturbed))

    looking = open_store(url, keep=2)
    assert everything(looking) == everything(quiet)
    for each in (quiet, disturbed, looking):
        each.close()


@pytest.mark.parametrize("act", ACTS, ids=NAMES)
def test_a_writer_killed_before_its_commit_changed_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[Store], object]
) -> None:
    """And blocks nobody."""
    publish(store)
    before = everything(store)

    kill_in(monkeypatch, "_commit", lambda: act(store))

    assert everything(store) == before
    act(store)
    assert store.stamp() == (6 if act in ACTS[4:] else 2)


@pytest.mark.parametrize("act", ACTS, ids=NAMES)
@pytest.mark.parametrize("later", [*ACTS, lambda _: None], ids=[*NAMES, "nothing"])
def test_a_slow_process_that_carries_out_an_old_change_disturbs_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[Store], object], later: Callable[[Store], object]
) -> None:
    """Everybody may do it, at any time, as often as they like."""
    publish(store)
    (pending,) = kill_in(monkeypatch, "_carry_out", lambda: act(store))
    journal = store._journal  # type: ignore[attr-defined]
    journal._carry_out(pending)
    if act is ACTS[3]:
        publish(store)
    if store.locks() and later is ACTS[1]:
        store.unlock(POLICY, NOON)
    later(store)
    if later is ACTS[3]:
        publish(store)
    expected = everything(store)

    journal._carry_out(pending)

    assert everything(store) == expected


def test_what_a_killed_writer_left_is_tidied_up(url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contents without a revision go; those of revisions stay."""
    publish(store)
    kill_in(monkeypatch, "_commit", lambda: publish(store, "b"))
    kill_in(monkeypatch, "_commit", lambda: batch(store, beside=True))
    assert store.module("module-b")
    assert store.module("module-e")

    publish(store, "c")
    store.tidy()

    with pytest.raises(KeyError):
        store.module("module-b")
    everything(store)
    client: MongoClient[Document] = MongoClient(url)
    assert client.get_default_database()["policy_server_batches"].count_documents({}) == 0
    assert len(client.get_default_database()["policy_server_contents"].distinct("digest")) == 2 * 3
    client.close()


# ---- the original's data


@pytest.fixture
def original(url: str) -> Iterator[MongoClient[Document]]:
    """A client that writes as the original does."""
    client: MongoClient[Document] = MongoClient(url, tz_aware=True)
    yield client
    client.close()


def legacy(**changed: object) -> Document:
    """Make a policy as the original keeps it."""
    return {
        "filename": "policy.rego",
        "repository": "policies",
        "name": "n",
        "group": "g",
        "version": "1.0",
        "rego": "package g.n",
        "data": "",
        "dataConfig": "",
        "outputSchema": '{"type": "object"}',
        "exportConfig": "",
        "locked": False,
        "lastUpdate": NOON,
        "nextDataRefreshTime": datetime(1, 1, 1, tzinfo=UTC),
        **changed,
    }


def test_policies_of_the_original_are_foreign_until_they_are_published(
    url: str, original: "MongoClient[Document]"
) -> None:
    """Missing, null and empty fields are absent; what has no name is left alone; a lock is kept."""
    policies = original.get_default_database()["policies"]
    policies.insert_one(legacy(locked=True))
    policies.insert_one(legacy(name="bare", data=None, outputSchema=None, locked=None))
    policies.insert_one(
        {"repository": "policies", "name": "few", "group": "g", "version": "1", "rego": "package g.few"}
    )
    policies.insert_one(legacy(name=None))
    store = open_store(url)
    locked, policy = PolicyId("policies", "g", "n", "1.0"), PolicyId("policies", "g", "bare", "1.0")

    bare, few, first = store.foreign()
    assert first == PolicySource(locked, "package g.n", output_schema='{"type": "object"}', origin="policy.rego")
    assert bare == PolicySource(policy, "package g.n", origin="policy.rego")
    assert few == PolicySource(PolicyId("policies", "g", "few", "1"), "package g.few", origin="mongodb")
    assert (store.stamp(), store.find(PolicyFilter(), limit=9).records, store.locks()) == (0, (), frozenset())
    for ask in (store.get, store.delete, lambda policy: store.lock(policy, NOON)):
        with pytest.raises(PolicyNotFound):
            ask(policy)

    publish(store, "a", locked)
    store.fail(policy, Failure("c", "m", NOON, "d"))

    assert store.locks() == {locked}
    assert [(each.id, each.state) for each in store.find(PolicyFilter(), limit=9).records] == [
        (policy, PolicyState.FAILED),
        (locked, PolicyState.READY),
    ]
    assert [source.id.name for source in store.foreign()] == ["few"]
    # The original, started again, still finds what it had.
    kept = policies.find_one({"name": "n"})
    assert kept is not None
    assert (kept["rego"], kept["locked"]) == ("package g.n", True)
    store.close()


def test_policies_may_be_in_a_collection_of_another_name(url: str, original: "MongoClient[Document]") -> None:
    """As MONGO_COLLECTION says."""
    original.get_default_database()["rules"].insert_one(legacy())
    store = open_store(f"{url}?collection=rules")

    assert [source.id.name for source in store.foreign()] == ["n"]
    store.close()


def test_two_policies_with_one_name_are_told(url: str, original: "MongoClient[Document]") -> None:
    """The original never checked; the operator has to choose."""
    original.get_default_database()["policies"].insert_many([legacy(), legacy()])

    with pytest.raises(StoreUnavailable, match="has two policies with the same repository"):
        open_store(url)


def test_subscribers_of_the_original_are_read_and_stay_readable_for_it(
    url: str, original: "MongoClient[Document]"
) -> None:
    """With its names of the fields, and what it does not know by default."""
    collection = original.get_default_database()["subscribers"]
    made = collection.insert_one(
        {
            "name": "ada",
            "webhookurl": "https://example.com",
            "policyrepository": "policies",
            "policyname": "n",
            "policygroup": "g",
            "policyversion": "1.0",
            "createdat": NOON,
            "updatedat": datetime(1, 1, 1, tzinfo=UTC),
        }
    ).inserted_id
    store = open_store(url)

    (found,) = store.subscribers.find(PolicyId("policies", "g", "n", "1.0"))
    assert (found.id, found.name, found.url, found.created_at) == (str(made), "ada", "https://example.com", NOON)
    assert (found.secret, found.state, found.updated_at.year) == (None, SubscriberState.ACTIVE, 1)

    exact = NOON + timedelta(microseconds=1)
    store.subscribers.save(replace(found, url="https://example.org", updated_at=exact))
    (kept,) = collection.find()
    assert (kept["_id"], kept["webhookurl"], kept["updatedat"]) == (made, "https://example.org", NOON)
    assert store.subscribers.get(str(made)).updated_at == exact
    store.close()


def test_values_and_imports_of_the_original_are_read(url: str, original: "MongoClient[Document]") -> None:
    """Values are objects, intervals are nanoseconds."""
    database = original.get_default_database()
    database["common_storage"].insert_one({"key": "k", "data": {"a": [1, {"b": "c"}]}})
    made = database["policy_auto_import"].insert_one(
        {"policyURL": "https://example.com", "interval": 5_400_000_000_000, "nextImport": NOON}
    )
    store = open_store(url)

    assert store.values.get("k") == {"a": [1, {"b": "c"}]}
    wanted = AutoImport(str(made.inserted_id), "https://example.com", timedelta(minutes=90), NOON)
    assert list(store.auto_imports.due(NOON)) == [wanted]
    store.values.set("k", {"new": 1})
    assert store.values.get("k") == {"new": 1}
    store.values.delete("k")
    with pytest.raises(ValueNotFound):
        store.values.get("k")
    assert store.auto_imports.remove("https://example.com") == wanted
    store.close()


def test_indexes_are_those_that_the_queries_need(url: str, store: Store, original: "MongoClient[Document]") -> None:
    """The four parts of an id are unique, and so is a key."""
    database = original.get_default_database()
    indexes = {
        name: {tuple(field for field, _ in each["key"]): each.get("unique", False) for each in found.values()}
        for name in ("policies", "common_storage", "policy_auto_import", "subscribers")
        for found in [database[name].index_information()]
    }

    assert indexes["policies"]["repository", "group", "name", "version"]
    assert ("nextDataRefreshTime",) in indexes["policies"]
    assert indexes["common_storage"][("key",)]
    assert ("nextImport",) in indexes["policy_auto_import"]


# ---- servers


def test_a_server_that_was_restarted_is_found_again(tmp_path: Path) -> None:
    """What was acknowledged is there, and only calls in between fail."""
    if os.environ.get("MONGODB_TEST_URI"):
        pytest.skip("the named server is not ours to restart")
    running, port = start_mongodb(tmp_path, file=tmp_path / "data")
    store = open_store(f"mongodb://127.0.0.1:{port}/policies?serverSelectionTimeoutMS=300")
    try:
        publish(store)
        running.send_signal(signal.SIGTERM)
        running.wait(60)
        for ask in (store.stamp, store.ping, store.locks):
            with pytest.raises(StoreUnavailable, match=rf"MongoDB 127\.0\.0\.1:{port}/policies "):
                ask()
        running, _ = start_mongodb(tmp_path, port=port, file=tmp_path / "data")

        store.ping()
        assert store.stamp() == 1
        store.lock(POLICY, NOON)
        assert store.locks() == {POLICY}
    finally:
        store.close()
        stop(running)


def test_a_server_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """The stamp is asked before every evaluation; it gives up, and works again afterwards."""
    running, port = start_mongodb(tmp_path)
    store = open_store(f"mongodb://127.0.0.1:{port}/policies")
    try:
        assert store.stamp() == 0
        os.killpg(running.pid, signal.SIGSTOP)
        while "T (stopped)" not in Path(f"/proc/{running.pid}/status").read_text():
            time.sleep(0.01)
        with pytest.raises(StoreUnavailable, match="does not answer in time"):
            store.stamp()
        os.killpg(running.pid, signal.SIGCONT)
        assert store.stamp() == 0
    finally:
        os.killpg(running.pid, signal.SIGCONT)
        store.close()
        stop(running)


def test_without_change_streams_following_ends_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-alone server is not asked; one that looks like a replica set and refuses is not asked again."""
    if os.environ.get("MONGODB_TEST_URI"):
        pytest.skip("the named server may have change streams")
    store.follow(pytest.fail, threading.Event())

    monkeypatch.setattr(MongoServer, "has_streams", lambda _: True)
    store.follow(pytest.fail, threading.Event())

    publish(store)
    assert store.stamp() == 1


def test_a_server_that_drops_what_it_is_told_is_refused(url: str, store: Store) -> None:
    """FerretDB 1 leaves null out; that it also lets two writers win would be noticed by nobody."""
    client: MongoClient[Document] = MongoClient(url)
    client.get_default_database()["policy_server_state"].update_one({}, {"$unset": {"pending": ""}})
    client.close()

    with pytest.raises(StoreUnavailable, match="does not keep what it is told, as FerretDB 1; use MongoDB"):
        store.ping()


def test_a_file_in_the_url_that_is_not_there_is_named(tmp_path: Path) -> None:
    """In one sentence, at the start."""
    with pytest.raises(SettingsError, match=r"none\.pem, which the URL of the MongoDB store names, cannot be read"):
        open_store(f"mongodb://127.0.0.1/policies?tls=true&tlsCAFile={tmp_path}/none.pem")


def test_a_change_stream_tells_of_changes(url: str, store: Store) -> None:
    """Where the deployment has them."""
    if not store._server.has_streams():  # type: ignore[attr-defined]
        pytest.skip("only of MONGODB_TEST_URI; the test server's are in tests/contract/test_store_following.py")
    told, stop = threading.Event(), threading.Event()
    following = threading.Thread(target=store.follow, args=(told.set, stop))
    following.start()
    other = open_store(url)

    while not told.wait(0.1):
        publish(other, str(other.stamp()))

    stop.set()
    following.join()
    other.close()


def test_a_fork_leaves_the_connections_to_the_parent(store: Store) -> None:
    """A child opens its own; neither disturbs the other."""
    publish(store)

    child = os.fork()
    if child == 0:
        try:
            store.lock(POLICY, NOON)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert (store.stamp(), store.locks()) == (2, {POLICY})


def test_nobody_at_the_address_is_told_without_the_password() -> None:
    """One sentence, with the place and the remedy."""
    with pytest.raises(StoreUnavailable, match=r"MongoDB 127\.0\.0\.1:\d+/p (cannot|does not)") as caught:
        open_store(f"mongodb://ada:its-secret@127.0.0.1:{free_port()}/p?serverSelectionTimeoutMS=300")

    assert "its-secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mongodb://ada:its-se/cret@db/p", "mongodb://", "mongodb://db:port/p"])
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    """There may be a password in it."""
    with pytest.raises(SettingsError, match="mongodb://user:password@host") as caught:
        open_store(url)

    assert "its-se" not in str(caught.value)


def test_a_database_of_a_newer_version_is_left_alone(url: str, store: Store, original: "MongoClient[Document]") -> None:
    """An older program says so, instead of writing what it does not know."""
    original.get_default_database()["policy_server_state"].update_one({"_id": "stamp"}, {"$set": {"schema": 99}})

    for ask in (store.ping, lambda: open_store(url)):
        with pytest.raises(StoreUnavailable, match=r"made by a newer version .*schema 99"):
            ask()


def test_a_database_without_its_state_says_how_to_make_it(url: str) -> None:
    """Never an empty one in passing."""
    store = MongoStore(url)

    with pytest.raises(StoreUnavailable, match="run: policy-server db upgrade"):
        store.stamp()
    store.close()


def test_text_that_is_no_unicode_is_a_wrong_parameter(store: Store) -> None:
    """Not a store that is away."""
    with pytest.raises(InvalidParameter):
        store.fail(replace(POLICY, name="\ud800"), Failure("c", "m", NOON, "d"))
    assert store.stamp() == 0
