"""Hearing of changes: through change streams where there are any, and without harm where there are none."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from contract_processes import Worker
from database_servers import replica_url, start_mongodb, stop
from pymongo import MongoClient

from policy_server.ports import Store
from policy_server.storage.opening import open_store

PATIENCE = 20.0
"""Seconds; a break costs one, a busy machine more."""

RESUMED = {"cursor lost": 43, "interrupted by a failover": 11602, "shut down": 91}
BROKEN = {"resume token too old": 286, "fell off a capped collection": 136, "event too big": 280, "interrupted": 11601}


class Listener:
    """Follows a store in a thread and counts what it hears."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self._told = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.error: BaseException | None = None
        self.stop = threading.Event()
        self.heard = 0

    def start(self) -> "Listener":
        """Start; the first call of ``changed`` says that the stream is open."""
        self._thread.start()
        return self

    def wait_for(self, number: int) -> None:
        """Wait until something was heard that often."""
        with self._told:
            assert self._told.wait_for(lambda: self.heard >= number, PATIENCE), f"heard {self.heard} of {number}"

    def end(self, within: float) -> None:
        """Tell it to stop; fail when it takes longer, or raised."""
        began = time.monotonic()
        self.stop.set()
        self._thread.join(PATIENCE)
        assert time.monotonic() - began < within
        assert self.error is None

    def has_ended(self) -> bool:
        """Tell whether following ended by itself."""
        self._thread.join(0.05)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._store.follow(self._changed, self.stop)
        except BaseException as error:
            self.error = error
            raise

    def _changed(self) -> None:
        with self._told:
            self.heard += 1
            self._told.notify_all()


@contextmanager
def listening(store: Store) -> Iterator[Listener]:
    """A listener whose stream is open; ended in a second."""
    listener = Listener(store).start()
    try:
        listener.wait_for(1)
        yield listener
    finally:
        listener.end(within=1.0)


@pytest.fixture
def url() -> str:
    """An empty database on a server with change streams."""
    return replica_url()


@pytest.fixture
def replica(url: str) -> Iterator[Store]:
    """A store in it."""
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def other(url: str) -> Iterator[Worker]:
    """Another process, whose store is open: this server tells also of writes that changed nothing."""
    with _other(url) as worker:
        yield worker


@contextmanager
def _other(url: str) -> Iterator[Worker]:
    with Worker(url, "change") as worker:
        worker.wait_ready()
        worker.tell("go")
        yield worker


def change(other: Worker, order: str = "publish") -> dict[str, object]:
    """Let another process change something; return what it says."""
    other.tell(order)
    return other.hear()


@pytest.fixture
def break_stream(url: str) -> Iterator[Callable[..., int]]:
    """Let commands on the stamp fail, as MongoDB's own test command does; returns how often the last fault struck."""
    client: MongoClient[dict[str, object]] = MongoClient(url)
    yield lambda times, *commands, **how: _fault(client, times, list(commands), how)
    _fault(client, 0, [], {})
    client.close()


def _fault(client: "MongoClient[dict[str, object]]", times: int, commands: list[str], how: dict[str, object]) -> int:
    data = {"failCommands": commands, "errorCode": 1, **how}
    data["namespace"] = f"{client.get_default_database().name}.policy_server_state"
    answer = client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})
    return int(answer["count"])


def test_following_never_raises_and_ends_when_told(store: Store) -> None:
    """Where the backend cannot tell it ends at once, and the store works on."""
    listener = Listener(store).start()

    listener.end(within=1.0)

    assert store.stamp() == 0


def test_every_kind_of_change_by_another_process_is_heard(replica: Store, other: Worker) -> None:
    """Publish, new data, lock, unlock, failure, deletion."""
    with listening(replica) as listener:
        for number, order in enumerate(("publish", "data", "lock", "unlock", "fail", "delete"), 1):
            assert change(other, order) == {"did": order, "stamp": number}

            # Once at the opening, and for each change its commit and the end of carrying it out.
            listener.wait_for(1 + 2 * number)
            assert replica.stamp() == number


@pytest.mark.parametrize("code", RESUMED.values(), ids=RESUMED)
def test_a_stream_that_is_interrupted_goes_on(
    replica: Store, other: Worker, break_stream: Callable[..., int], code: int
) -> None:
    """The driver resumes where it was: without the second that opening anew takes, nothing is missed."""
    with listening(replica) as listener:
        break_stream(1, "getMore", errorCode=code)
        change(other)

        listener.wait_for(3)
        assert break_stream(0) == 1


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_stream_that_cannot_be_resumed_is_opened_anew(
    replica: Store, other: Worker, break_stream: Callable[..., int], code: int
) -> None:
    """What was missed in between is told by one call; later changes are heard as before."""
    with listening(replica) as listener:
        break_stream(1, "getMore", errorCode=code)

        listener.wait_for(2)
        assert break_stream(0) == 1
        before = listener.heard
        change(other)
        listener.wait_for(before + 2)


def test_a_stream_that_breaks_again_and_again_is_not_hurried(replica: Store, break_stream: Callable[..., int]) -> None:
    """One second before the first attempt, two before the second: no busy loop."""
    with listening(replica):
        break_stream(100_000, "getMore", errorCode=286)
        time.sleep(4)

        assert 2 <= break_stream(0) <= 4


def test_closed_connections_do_not_end_it(replica: Store, other: Worker, break_stream: Callable[..., int]) -> None:
    """Neither the stream's nor those with which it is opened again."""
    with listening(replica) as listener:
        break_stream(3, "getMore", "aggregate", closeConnection=True)

        change(other)
        listener.wait_for(2)
        assert break_stream(0) == 3
        before = listener.heard
        change(other)
        listener.wait_for(before + 2)


@pytest.mark.parametrize(
    "code", [40573, 13, 40324, 115], ids=["no replica set", "not allowed", "no stage", "no command"]
)
def test_where_streams_are_refused_following_ends(replica: Store, break_stream: Callable[..., int], code: int) -> None:
    """It is asked once, and changes are noticed by the stamp."""
    break_stream(100_000, "aggregate", errorCode=code)
    listener = Listener(replica).start()

    until = time.monotonic() + PATIENCE
    while not listener.has_ended():
        assert time.monotonic() < until

    assert (listener.error, listener.heard, break_stream(0)) == (None, 0, 1)


def test_a_server_that_is_killed_and_restarted_is_followed_again(tmp_path: Path) -> None:
    """Also when nothing of what was streamed is known any more: it kept everything in memory."""
    running, port = start_mongodb(tmp_path, replica=True)
    url = f"mongodb://127.0.0.1:{port}/policies"
    store = open_store(url)
    try:
        with listening(store) as listener:
            stop(running)
            time.sleep(1)
            running, _ = start_mongodb(tmp_path, port=port, replica=True)

            with _other(url) as other:
                listener.wait_for(2)
                for _ in range(3):
                    before = listener.heard
                    change(other)
                    listener.wait_for(before + 2)
    finally:
        store.close()
        stop(running)


def test_it_ends_within_a_second_although_the_server_hangs_or_is_gone(tmp_path: Path) -> None:
    """Whatever it waits for at that moment: an event, an answer, a connection."""
    running, port = start_mongodb(tmp_path, replica=True)
    store = open_store(f"mongodb://127.0.0.1:{port}/policies")
    try:
        with listening(store):
            os.kill(running.pid, signal.SIGSTOP)
            time.sleep(0.1)
        os.kill(running.pid, signal.SIGCONT)
        with listening(store):
            os.kill(running.pid, signal.SIGSTOP)
            time.sleep(2.5)
        os.kill(running.pid, signal.SIGCONT)
        with listening(store):
            stop(running)
            time.sleep(1.5)
    finally:
        os.kill(running.pid, signal.SIGCONT) if running.poll() is None else None
        store.close()
        stop(running)
