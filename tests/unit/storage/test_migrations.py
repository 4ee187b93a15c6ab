"""How a database comes to the tables that this version needs."""

import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from policy_server.model.audit import AuditFilter, AuditRecord
from policy_server.model.errors import StoreUnavailable
from policy_server.model.logged import LoggedDecision
from policy_server.model.policy import PolicyFilter, PolicyState
from policy_server.storage.migrations import schema
from policy_server.storage.sql import SqlStore
from policy_server.storage.sqlite import SqliteFile
from policy_server.storage.tables import SCHEMA, metadata

NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database will be, with a name that is awkward in URLs and in configuration files."""
    return tmp_path / "100% state?#" / "policies.db"


def migrate(path: Path) -> SqlStore:
    """Return a store with tables."""
    store = SqlStore(f"sqlite:///{path}")
    store.migrate()
    return store


def test_migrations_make_exactly_the_tables_that_the_code_uses(path: Path) -> None:
    """What the steps make and what the queries are written for are the same."""
    migrate(path)

    with SqliteFile(path).reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_code_is_written_for_the_last_migration() -> None:
    """Adding a step without telling the code is noticed."""
    assert ScriptDirectory.from_config(schema._config()).get_current_head() == SCHEMA


def test_migrating_again_changes_nothing(path: Path) -> None:
    """Every start migrates."""
    store = migrate(path)
    store.close()
    before = path.read_bytes()

    store.migrate()

    assert path.read_bytes() == before


def test_an_existing_file_keeps_its_permissions(path: Path) -> None:
    """Who opened the database to a group on purpose finds it so."""
    path.parent.mkdir(mode=0o750)
    path.touch(mode=0o640)

    migrate(path)

    assert (stat.S_IMODE(path.parent.stat().st_mode), stat.S_IMODE(path.stat().st_mode)) == (0o750, 0o640)


def test_a_migration_that_breaks_off_leaves_what_was_there(path: Path) -> None:
    """All steps are one transaction; the next start begins anew."""

    def break_off() -> None:
        with SqliteFile(path).migrating() as connection:
            schema.upgrade(connection, "here")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []

    store = migrate(path)
    store.ping()
    store.close()


def test_a_database_of_a_newer_version_is_left_alone(path: Path) -> None:
    """An older program says so, instead of writing into tables it does not know."""
    migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    store = SqlStore(f"sqlite:///{path}")

    for ask in (store.migrate, store.ping):
        with pytest.raises(StoreUnavailable, match=r"made by a newer version .*schema 9999, this one knows 0003"):
            ask()
    store.close()


def test_a_migration_that_leaves_dangling_rows_is_undone(path: Path) -> None:
    """Foreign keys rest while tables are rebuilt, so they are checked before the end."""
    migrate(path).close()

    with (
        pytest.raises(StoreUnavailable, match="was undone: it left dangling rows"),
        SqliteFile(path).migrating() as connection,
    ):
        connection.exec_driver_sql(
            "INSERT INTO revisions (policy_id, number, digest, author, created_at, dialect, origin, module,"
            " source_digest, opa_version, compiled_dialect, entrypoints, builtins, rego)"
            " VALUES (77, 1, '', '', 0, '', '', '', '', '', '', '', '', '')"
        )

    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("SELECT count(*) FROM revisions").fetchone() == (0,)


def test_steps_can_be_taken_back(path: Path) -> None:
    """The first step undone leaves an empty database."""
    migrate(path).close()
    config = schema._config()

    with SqliteFile(path).migrating() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    with closing(sqlite3.connect(path)) as plain:
        names = {name for (name,) in plain.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")}
    assert names - {"alembic_version", "pk_alembic_version"} == set()


def test_a_database_made_by_the_first_revision_keeps_everything(path: Path) -> None:
    """Policies, revisions, documents, locks, failures, changes, leases and refresh state survive the upgrade."""
    first = sqlite3.connect(":memory:")
    first.executescript((Path(__file__).parent / "first_revision.sql").read_text())
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as plain:
        first.backup(plain)
    first.close()

    store = migrate(path)

    store.ping()
    page = store.find(PolicyFilter(), limit=10)
    ready, failed = page.records
    assert (str(ready.id), ready.locked, ready.state) == ("rooms/pexip/service/1.0", True, PolicyState.STALE)
    assert ready.revision is not None
    assert (ready.revision.number, ready.revision.data, ready.revision.author) == (2, '{"b": "ü"}', "ada")
    assert store.module(ready.revision.manifest.digest) == b"\0asm" + b"b" * 100
    assert store.revision(ready.id, 1).source.data == '{"a": 1}'
    assert [each.number for each in store.revisions(ready.id, limit=5)] == [2, 1]
    assert (failed.id.name, failed.state, failed.revision) == ("worse", PolicyState.FAILED, None)
    assert store.stamp() == 5
    assert [change.what for change in store.changes(0)] == ["published", "locked", "failed", "failed"]
    state = store.refresh_state(ready.id)
    assert state is not None
    assert (state.size, state.failures) == (12345678901, 3)
    assert not store.acquire("job", "bob", until=datetime.max.replace(tzinfo=UTC), at=datetime(2026, 1, 1, tzinfo=UTC))
    assert list(store.outbox.events(after=0, limit=10)) == []
    store.unlock(ready.id, datetime(2026, 6, 1, tzinfo=UTC), actor="eve")
    assert [event.stamp for event in store.outbox.events(after=0, limit=10)] == [6]
    store.close()


def test_a_database_of_the_second_revision_keeps_everything_and_takes_decisions(path: Path) -> None:
    """The table of decisions is added; audit records and the like stay."""
    store = migrate(path)
    kept = store.audit.record(AuditRecord(NOON, "ada", "lock", "r/g/p/1.0"))
    store.close()
    config = schema._config()
    with SqliteFile(path).migrating() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")

    store = migrate(path)

    decision = LoggedDecision("1", "d", NOON, None, "", "pexip", "off", "pexip", failed=False, body="{}")
    store.decisions.record([decision])
    assert store.decisions.get("d") == decision
    assert store.audit.find(AuditFilter(), limit=5).records == (kept,)
    store.close()
