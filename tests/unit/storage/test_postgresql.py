"""How the PostgreSQL store stands what a server can do to it."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from database_servers import free_port, postgresql_url, start_postgresql, stop

from policy_server.model.errors import InvalidParameter, SettingsError, StoreUnavailable
from policy_server.model.policy import Failure, PolicyId
from policy_server.storage.opening import open_store
from policy_server.storage.postgresql import PostgresServer
from policy_server.storage.sql import SqlStore
from policy_server.storage.tables import metadata

NOON = datetime(2026, 5, 17, tzinfo=UTC)


@pytest.fixture
def url() -> str:
    """The URL of an empty schema."""
    return postgresql_url()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that the server's own user can reach."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.owner() == Path.home().owner() and directory.stat().st_mode & 0o077 == 0:
            directory.chmod(0o711)
    return tmp_path


def asker_of(server: PostgresServer) -> int:
    """Return the number of the process that answers ``stamp``."""
    server.stamp()
    assert server._asker is not None
    return server._asker.info.backend_pid


def test_migrations_make_exactly_the_tables_that_the_code_uses(url: str) -> None:
    """In PostgreSQL as in SQLite."""
    open_store(url).close()
    server = PostgresServer(url)

    with server.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    server.close()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_writers_take_turns_whatever_the_database_is_set_to(url: str, level: str) -> None:
    """A stricter default would refuse each writer that waited for another."""
    strict = url + quote(" -cdefault_transaction_isolation=" + level.replace(" ", "\\ "))
    store = open_store(strict)
    assert isinstance(store, SqlStore)
    with ThreadPoolExecutor(1) as pool:
        with store._database.writing() as connection:
            connection.exec_driver_sql("UPDATE stamps SET stamp = stamp + 1")
            waiting = pool.submit(store.fail, PolicyId("r", "g", "n", "1"), Failure("code", "message", NOON, "digest"))
            wait([waiting], timeout=0.5)
            assert not waiting.done()
        waiting.result()

    assert store.stamp() == 2
    store.close()


def test_a_server_that_was_restarted_is_found_again(place: Path) -> None:
    """What was acknowledged is there, and no call but those in between fails."""
    running, port = start_postgresql(place)
    store = open_store(f"postgresql://postgres@127.0.0.1:{port}/postgres")
    policy = PolicyId("r", "g", "n", "1")
    try:
        store.fail(policy, Failure("code", "message", NOON, "digest"))
        assert store.stamp() == 1

        stop(running)
        for ask in (store.stamp, store.ping, store.locks):
            with pytest.raises(StoreUnavailable, match=r"PostgreSQL 127\.0\.0\.1:.* cannot be reached"):
                ask()
        running, _ = start_postgresql(place, port=port)

        assert store.stamp() == 1
        assert store.get(policy).failure is not None
        store.lock(policy, NOON)
        assert store.locks() == {policy}
    finally:
        store.close()
        stop(running)


def test_a_server_process_that_hangs_is_not_waited_for(url: str) -> None:
    """The stamp is asked before every evaluation; it gives up, and finds another way afterwards."""
    open_store(url).close()
    server = PostgresServer(url)
    pid = asker_of(server)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="does not answer in time"):
            server.stamp()
    finally:
        os.kill(pid, signal.SIGCONT)

    assert asker_of(server) != pid
    server.close()


def test_a_connection_that_the_server_ended_costs_no_caller_anything(url: str) -> None:
    """An administrator may end sessions; the next question opens another."""
    store = open_store(url)
    assert isinstance(store, SqlStore)
    server = store._database
    assert isinstance(server, PostgresServer)
    with server.reading() as connection:
        backends = [connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one(), asker_of(server)]
    with psycopg.connect(url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE pid = ANY(%s)",
            (backends,),
        ).fetchone()

    assert ended == (2,)
    assert store.stamp() == 0
    assert store.locks() == frozenset()
    store.close()


def test_a_fork_leaves_the_connections_to_the_parent(url: str) -> None:
    """A child opens its own; neither disturbs the other."""
    store = open_store(url)
    store.stamp()
    store.ping()

    child = os.fork()
    if child == 0:
        try:
            store.ping()
            os._exit(0 if store.stamp() == 0 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert store.stamp() == 0
    store.ping()
    store.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"/postgres?": "/nowhere?"}, "has no such user or database; create it first"),
        ({"postgres:its-secret@": "nobody:its-secret@"}, "has no such user or database; create it first"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, change: dict[str, str], says: str) -> None:
    """One sentence, with the place and the remedy."""
    for old, new in change.items():
        url = url.replace(old, new)

    with pytest.raises(StoreUnavailable, match=says) as caught:
        open_store(url)

    assert "its-secret" not in str(caught.value)


def test_nobody_at_the_address_is_said_at_once() -> None:
    """A closed port is no reason to wait."""
    with pytest.raises(StoreUnavailable, match="cannot be reached; is the server running"):
        open_store(f"postgresql://ada:its-secret@127.0.0.1:{free_port()}/policies")


def test_a_url_that_is_none_is_not_repeated() -> None:
    """There may be a password in it."""
    with pytest.raises(SettingsError, match="postgresql://user@host") as caught:
        open_store("postgresql://ada:its-secret@db/p?nonsense=1")

    assert "its-secret" not in str(caught.value)


def test_a_database_without_tables_says_how_to_make_them(url: str) -> None:
    """Also when it is asked for the stamp."""
    server = PostgresServer(url)

    with pytest.raises(StoreUnavailable, match="run: policy-server db upgrade"):
        server.stamp()
    server.close()


@pytest.mark.parametrize("name", ["n" * 100_000, "a\0b", "\ud800"], ids=["long", "nul", "surrogate"])
def test_ids_that_cannot_be_kept_are_wrong_parameters(url: str, name: str) -> None:
    """Not a store that is away."""
    store = open_store(url)
    name = name if "n" not in name else os.urandom(20_000).hex()

    with pytest.raises(InvalidParameter):
        store.fail(PolicyId("r", "g", name, "1"), Failure("c", "m", NOON, "d"))
    assert store.stamp() == 0
    store.close()


def test_a_writer_that_is_killed_gives_up_its_turn(url: str) -> None:
    """The server notices, and the next one writes."""
    store = open_store(url)
    program = (
        "import sys\n"
        "from policy_server.storage.postgresql import PostgresServer\n"
        "with PostgresServer(sys.argv[1]).writing() as connection:\n"
        "    print('mine', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mine\n"
        acquired = threading.Event()
        waiting = threading.Thread(
            target=lambda: (store.fail(PolicyId("r", "g", "n", "1"), Failure("c", "m", NOON, "d")), acquired.set())
        )
        waiting.start()
        assert not acquired.is_set()
        holder.kill()
        waiting.join(30)

    assert acquired.is_set()
    assert store.stamp() == 1
    store.close()
