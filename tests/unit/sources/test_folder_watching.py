"""Changes of a folder are noticed while it is watched."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from policy_server.model.errors import PolicyNotFound, StoreUnavailable
from policy_server.model.policy import PolicyId
from policy_server.model.status import State
from policy_server.sources.folder import FolderFeed
from policy_server.storage.memory import MemoryStore

ID = PolicyId("repo", "g", "n", "1.0")


class Looking:
    """A feed that is being watched in a thread, and a way to wait for what it does."""

    def __init__(self, feed: FolderFeed, store: MemoryStore) -> None:
        self.feed = feed
        self.store = store
        self.stop = threading.Event()
        self.thread = threading.Thread(target=feed.watch, args=(self.stop,))

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; fails after ten seconds."""
        pause = threading.Event()
        for _ in range(1000):
            if holds():
                return
            pause.wait(0.01)
        raise AssertionError("it never came to that")

    def number(self) -> int:
        """Return the active revision's number, 0 for none."""
        try:
            active = self.store.get(ID).revision
        except PolicyNotFound:
            return 0
        return 0 if active is None else active.number


@contextmanager
def watching(feed: FolderFeed, store: MemoryStore) -> Iterator[Looking]:
    """Watch a feed in a thread, and end it."""
    looking = Looking(feed, store)
    looking.thread.start()
    try:
        yield looking
    finally:
        looking.stop.set()
        looking.thread.join(10)
    assert not looking.thread.is_alive()


@pytest.mark.parametrize("poll", [60.0, 0.05])
def test_changes_are_followed(root: Path, write, publisher, store: MemoryStore, poll: float) -> None:
    """By notification, and where there is none by looking; no restart is needed."""
    write("g/n/1.0")
    write("g/other/1.0")
    feed = FolderFeed([("repo", root)], publisher, store, poll=poll, grace=0.05)
    with watching(feed, store) as looking:
        looking.until(lambda: looking.number() == 1 and feed.status().state is State.READY)
        directory = write("g/n/1.0", "package g.n\n\nallow := false\n")
        looking.until(lambda: looking.number() == 2)
        write("g/n/1.0", "package g.n\n\nallow :=")
        looking.until(lambda: store.get(ID).failure is not None)
        assert looking.number() == 2
        (directory / "policy.rego").unlink()
        looking.until(lambda: looking.number() == 0)


def test_a_file_that_is_replaced_does_not_unpublish(root: Path, write, publisher, store: MemoryStore) -> None:
    """A policy that is gone for a moment is not believed to be gone."""
    directory = write("g/n/1.0")
    write("g/other/1.0")
    feed = FolderFeed([("repo", root)], publisher, store)
    feed.sync()
    aside = directory / "aside"
    (directory / "policy.rego").rename(aside)

    first = feed._sync(patient=True)
    aside.rename(directory / "policy.rego")
    second = feed._sync(patient=True)

    assert (first.missing, first.deleted, second.missing, second.deleted) == ((ID,), (), (), ())


def test_a_folder_may_appear_later(tmp_path: Path, root: Path, write, publisher, store: MemoryStore) -> None:
    """What cannot be watched yet is looked for."""
    write("g/n/1.0")
    root.rename(tmp_path / "away")
    feed = FolderFeed([("repo", root)], publisher, store, poll=0.05, grace=0.05)
    with watching(feed, store) as looking:
        looking.until(lambda: feed.status().state is State.READY)
        (tmp_path / "away").rename(root)
        looking.until(lambda: looking.number() == 1)
        write("g/n/1.0", "package g.n\n\nallow := false\n")
        looking.until(lambda: looking.number() == 2)


def test_a_store_that_is_away_is_waited_for(root: Path, write, toolkit, publisher) -> None:
    """The feed says that it is degraded, and goes on when the store is back."""

    class Away(MemoryStore):
        away = True

        def stamp(self) -> int:
            if Away.away:
                raise StoreUnavailable
            return super().stamp()

    store = Away()
    write("g/n/1.0")
    publisher._store = store
    feed = FolderFeed([("repo", root)], publisher, store, poll=0.05)
    with watching(feed, store) as looking:
        looking.until(lambda: feed.status().state is State.DEGRADED)
        Away.away = False
        looking.until(lambda: looking.number() == 1 and feed.status().state is State.READY)
