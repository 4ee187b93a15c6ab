"""How the SQLite store treats its file: care, permissions, trouble, forks."""

import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policy_server.model.errors import InvalidParameter, StoreUnavailable
from policy_server.model.policy import CompiledPolicy, Dialect, Manifest, PolicyFilter, PolicyId, PolicySource
from policy_server.storage.sql import SqlStore
from policy_server.storage.sqlite import SqliteFile

NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)
POLICY = PolicyId("r", "g", "n", "1")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database will be."""
    return tmp_path / "state" / "policies.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    """A store with tables."""
    opened = SqlStore(f"sqlite:///{path}")
    opened.migrate()
    yield opened
    opened.close()


def publish(store: SqlStore, policy: PolicyId = POLICY, *, data: str = "{}", digest: str = "d") -> None:
    """Publish something small."""
    manifest = Manifest("wasm", "source", "1", Dialect.V1, ("g/n",))
    draft = PolicySource(policy, "package g.n", data=data)
    store.publish(draft, CompiledPolicy(b"wasm", manifest), data=data, digest=digest, author="a", at=NOON)


def test_nothing_is_touched_before_the_first_call(path: Path) -> None:
    """Making a store neither makes a directory nor a file."""
    SqlStore(f"sqlite:///{path}")

    assert not path.parent.exists()


def test_only_its_owner_may_read_the_database(store: SqlStore, path: Path) -> None:
    """The directory is made 0700 and every file in it 0600, whatever the umask."""
    publish(store)

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"policies.db": 0o600, "policies.db-wal": 0o600, "policies.db-shm": 0o600}


def test_connections_wait_for_the_disk_and_check_references(store: SqlStore, path: Path) -> None:
    """The log is written ahead, flushed at every commit, and foreign keys hold."""
    with SqliteFile(path).reading() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert found == ["wal", 2, 1]


def test_closing_leaves_no_open_file(store: SqlStore, path: Path) -> None:
    """After close no descriptor of this process leads to the database, also those of other threads' stamps."""
    publish(store)
    ready, done = threading.Event(), threading.Event()

    def ask() -> None:
        store.stamp()
        ready.set()
        done.wait(30)

    thread = threading.Thread(target=ask)
    thread.start()
    ready.wait(30)
    assert open_files(path)

    store.close()

    assert open_files(path) == []
    done.set()
    thread.join()


def test_a_thread_takes_its_connection_with_it(store: SqlStore, path: Path) -> None:
    """Threads that come and go do not pile up open files."""
    store.stamp()
    before = len(open_files(path))

    for _ in range(10):
        thread = threading.Thread(target=store.stamp)
        thread.start()
        thread.join()

    assert len(open_files(path)) <= before + 2  # SQLite keeps a closed descriptor for the next connection


def test_migrating_leaves_no_open_file(path: Path) -> None:
    """A process may migrate first and fork its workers after."""
    SqlStore(f"sqlite:///{path}").migrate()

    assert open_files(path) == []


def open_files(path: Path) -> list[str]:
    """Return the open descriptors of this process that lead to a database."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return [link for link in links if link.startswith(str(path))]


def test_contents_that_no_revision_refers_to_are_deleted(path: Path) -> None:
    """Old data documents and those of deleted policies do not fill the disk; shared ones stay while needed."""
    store = SqlStore(f"sqlite:///{path}", keep=2)
    store.migrate()
    other = PolicyId("r", "g", "other", "1")
    publish(store, other, data='"shared"')
    for number in range(5):
        publish(store, data='"shared"' if number == 0 else f'"{number}"', digest=str(number))
    assert documents(path) == ['"3"', '"4"', '"shared"']

    store.delete(other)
    assert documents(path) == ['"3"', '"4"']

    store.delete(POLICY)
    assert documents(path) == []
    store.close()


def documents(path: Path) -> list[str]:
    """Return the data documents that are in the database."""
    with SqliteFile(path).reading() as connection:
        return list(connection.exec_driver_sql("SELECT body FROM documents ORDER BY body").scalars())


# ---- trouble


def test_a_missing_database_is_not_made_in_passing(path: Path) -> None:
    """Reading without a database says how to make one, and makes none."""
    store = SqlStore(f"sqlite:///{path}")

    for ask in (store.stamp, store.ping, store.locks):
        with pytest.raises(
            StoreUnavailable, match=r"no database .*policies.db; make one with: policy-server db upgrade"
        ):
            ask()

    assert not path.exists()


def test_a_database_without_tables_says_how_to_make_them(path: Path) -> None:
    """An empty file is not mistaken for an empty store."""
    path.parent.mkdir()
    path.touch()
    store = SqlStore(f"sqlite:///{path}")

    for ask in (store.stamp, store.ping, store.locks):
        with pytest.raises(StoreUnavailable, match=r"run: policy-server db upgrade"):
            ask()


def test_a_directory_in_place_of_the_file_is_named(path: Path) -> None:
    """The sentence says that it is a directory."""
    path.mkdir(parents=True)

    with pytest.raises(StoreUnavailable, match=r"policies.db is a directory; choose a file"):
        SqlStore(f"sqlite:///{path}").migrate()


def test_a_file_in_place_of_the_directory_is_named(path: Path) -> None:
    """The sentence says what cannot be used and what to do."""
    path.parent.write_text("in the way")

    with pytest.raises(StoreUnavailable, match=r"policies.db cannot be used .*choose another place"):
        SqlStore(f"sqlite:///{path}").migrate()


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    """Something else under this name is never overwritten."""
    path.parent.mkdir()
    path.write_text("these are my holiday pictures\n" * 100)
    before = path.read_bytes()

    with pytest.raises(StoreUnavailable, match=r"policies.db is not a database; restore it"):
        SqlStore(f"sqlite:///{path}").migrate()

    assert path.read_bytes() == before


def test_a_damaged_database_is_named_by_every_call(store: SqlStore, path: Path) -> None:
    """Garbage in the middle of the file is an error with advice, never a wrong answer."""
    for number in range(50):
        publish(store, PolicyId("r", "g", f"n{number}", "1"), data=f'"{number}{"x" * 5000}"', digest=str(number))
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))

    for ask in (store.stamp, store.ping, lambda: store.find(PolicyFilter(), limit=100), lambda: publish(store)):
        with pytest.raises(StoreUnavailable, match=r"policies.db is damaged; restore it from a backup"):
            ask()


def test_a_database_that_was_swapped_in_use_asks_for_a_restart(store: SqlStore, path: Path) -> None:
    """One process never works on two files at once, and health tells."""
    publish(store)
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").rename(path)

    with pytest.raises(StoreUnavailable, match=r"was replaced while in use; restart the server"):
        store.ping()


def test_a_database_that_vanished_in_use_is_missed(store: SqlStore, path: Path) -> None:
    """Health does not go on with a file that nobody will find again."""
    publish(store)
    path.unlink()

    with pytest.raises(StoreUnavailable, match=r"There is no database"):
        store.ping()


def test_a_full_disk_is_told_and_nothing_is_half_written(store: SqlStore) -> None:
    """The write fails as a whole with advice; after space was made the next one works."""
    publish(store)
    stamp = store.stamp()
    # SQLite's own limit on pages gives the very error of a full disk.
    set_pages(store, 10)

    with pytest.raises(StoreUnavailable, match=r"policies.db cannot grow, the disk is full; free some space"):
        publish(store, data="x" * 1_000_000, digest="big")
    assert (store.stamp(), digest(store)) == (stamp, "d")

    set_pages(store, 1_000_000)
    publish(store, data="x" * 1_000_000, digest="big")
    assert digest(store) == "big"


def digest(store: SqlStore) -> str:
    """Return the digest of what is active."""
    revision = store.get(POLICY).revision
    assert revision is not None
    return revision.digest


def set_pages(store: SqlStore, count: int) -> None:
    """Limit how large the database may grow through the one pooled connection."""
    with closing(store._database._pool().raw_connection()) as pooled:
        pooled.cursor().execute(f"PRAGMA max_page_count = {count}")


def test_a_write_that_the_system_refuses_is_told(store: SqlStore, path: Path) -> None:
    """A quota or a limit on file sizes looks like this; the store goes on when it is lifted."""
    publish(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(StoreUnavailable, match=r"policies.db could not be read or written; check its disk, quota"):
            publish(store, data="x" * 1_000_000, digest="big")
        assert digest(store) == "d"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    publish(store, data="x" * 1_000_000, digest="big")
    assert digest(store) == "big"


@contextmanager
def unprivileged() -> Iterator[Path]:
    """Give a directory, and be a user whom permissions bind, also when the tests run as root."""
    place = Path(tempfile.mkdtemp(prefix="policy-"))
    root = os.geteuid() == 0
    if root:
        os.chown(place, 65534, 65534)
        os.seteuid(65534)
    try:
        yield place
    finally:
        if root:
            os.seteuid(0)
        place.chmod(0o700)
        shutil.rmtree(place)


def test_a_state_directory_that_cannot_be_made_is_named(store: SqlStore) -> None:
    """The sentence names the path and asks for the right to write."""
    with unprivileged() as place:
        place.chmod(0o500)
        with pytest.raises(StoreUnavailable, match=r"policies.db cannot be used .*let this user write its directory"):
            SqlStore(f"sqlite:///{place}/state/policies.db").migrate()


def test_a_read_only_state_directory_is_named(store: SqlStore) -> None:
    """A database in a directory that cannot be written is refused with advice."""
    with unprivileged() as place:
        other = SqlStore(f"sqlite:///{place}/policies.db")
        other.migrate()
        other.close()
        place.chmod(0o500)
        with pytest.raises(
            StoreUnavailable, match=r"policies.db cannot be .*let this user .*write the file and its dir"
        ):
            publish(other)
        other.close()


def test_a_read_only_database_answers_but_takes_nothing(store: SqlStore) -> None:
    """What can be read is read; a write says what is missing."""
    with unprivileged() as place:
        other = SqlStore(f"sqlite:///{place}/policies.db")
        other.migrate()
        publish(other)
        other.close()
        (place / "policies.db").chmod(0o400)
        assert other.get(POLICY).id == POLICY
        with pytest.raises(StoreUnavailable, match=r"policies.db cannot be written; let this user write the file"):
            publish(other, digest="new")
        other.close()


def test_a_database_of_another_user_is_named(store: SqlStore) -> None:
    """No permission at all is not taken for a missing database."""
    with unprivileged() as place:
        other = SqlStore(f"sqlite:///{place}/policies.db")
        other.migrate()
        other.close()
        (place / "policies.db").chmod(0o000)
        with pytest.raises(StoreUnavailable, match=r"policies.db cannot be opened; let this user read and write"):
            other.stamp()


def test_a_writer_that_hangs_is_reported_after_a_while(store: SqlStore, path: Path) -> None:
    """Waiting for a turn has an end, readers do not wait at all."""
    publish(store)
    impatient = SqliteFile(path, patience=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as hanging:
        hanging.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable, match=r"kept busy by another process"), impatient.writing():
            pass
        assert (impatient.stamp(), store.get(POLICY).id) == (1, POLICY)
    impatient.close()


def test_an_error_never_carries_what_was_to_be_kept(store: SqlStore) -> None:
    """Data documents may hold PINs; no part of an error repeats them."""
    set_pages(store, 10)

    with pytest.raises(StoreUnavailable) as caught:
        publish(store, data='{"pin": "2931"}' + "x" * 100_000)

    chain: list[BaseException | None] = [caught.value]
    while chain:
        error = chain.pop()
        if error is not None:
            assert "2931" not in str(error)
            chain += [error.__cause__, error.__context__]


def test_text_that_is_no_unicode_is_refused(store: SqlStore) -> None:
    """Half a character in an id is a wrong parameter, not a broken store."""
    with pytest.raises(InvalidParameter, match=r"Unicode"):
        store.get(PolicyId("r", "g", "\ud800", "1"))


# ---- forks

FORKING = """
import os, sys, threading
from datetime import UTC, datetime
from policy_server.model.policy import *
from policy_server.model.errors import StoreUnavailable
from policy_server.storage.sql import SqlStore

store = SqlStore(sys.argv[1])
policy = PolicyId("r", "g", "n", "1")
noon = datetime(2026, 5, 17, tzinfo=UTC)
def files():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink("/proc/self/fd/" + name))
        except FileNotFoundError:
            pass
    return [name for name in found if "policies.db" in name]
def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    return pid
def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

FORK_WHILE_OPEN = (
    FORKING
    + """
store.migrate()
store.fail(policy, Failure("c", "m", noon, "s"))
stop = threading.Event()
def busy():
    while not stop.is_set():
        store.stamp()
        store.get(policy)
thread = threading.Thread(target=busy)
thread.start()
def work():
    assert files() == [], files()
    for number in range(20):
        store.fail(PolicyId("r", "g", str(os.getpid()), str(number)), Failure("c", "m", noon, "s"))
    assert store.stamp() >= 21
children = [child(work) for _ in range(4)]
for number in range(20):
    store.fail(PolicyId("r", "g", "parent", str(number)), Failure("c", "m", noon, "s"))
codes = [ended(pid) for pid in children]
stop.set()
thread.join()
assert codes == [0] * 4, codes
assert store.stamp() == 101, store.stamp()
print("fine")
"""
)

FORK_INSIDE = (
    FORKING
    + """
import policy_server.storage.sqlite as sqlite
sqlite._FORK_PATIENCE = 0.05
store.migrate()
def work():
    try:
        store.stamp()
    except StoreUnavailable as error:
        assert "forked while" in error.message
        try:
            store.locks()
        except StoreUnavailable:
            return
    raise AssertionError("used inherited connections")
with store._database.writing():
    pid = child(work)
assert ended(pid) == 0
assert store.stamp() == 0
print("fine")
"""
)


@pytest.mark.parametrize("program", [FORK_WHILE_OPEN, FORK_INSIDE], ids=["between calls", "inside a call"])
def test_a_forked_process_never_uses_connections_of_its_parent(path: Path, program: str) -> None:
    """Forking between calls just works on both sides; in the middle of one the child refuses."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, f"sqlite:///{path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_readers_give_up_soon_and_writers_wait_for_their_turn(path: Path, store: SqlStore) -> None:
    """What is asked before every evaluation never waits for another process."""
    with SqliteFile(path).reading() as connection:
        reader = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    with SqliteFile(path).writing() as connection:
        writer = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()

    assert (reader, writer) == (2000, 30000)
