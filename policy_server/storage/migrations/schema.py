"""Bring a database to the tables that this version needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from policy_server.model.errors import StoreUnavailable
from policy_server.storage.tables import SCHEMA


def upgrade(connection: Connection, place: str) -> None:
    """Run the missing migrations inside the caller's transaction; StoreUnavailable when newer than we know."""
    config = _config()
    current = current_schema(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise newer(place, current)
    if current != SCHEMA:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check_schema(connection: Connection, place: str) -> None:
    """Raise StoreUnavailable unless the tables are those of this version."""
    current = current_schema(connection)
    if current is None or current < SCHEMA:
        raise StoreUnavailable(f"{place} does not have the tables of this version; run: policy-server db upgrade")
    if current > SCHEMA:
        raise newer(place, current)


def current_schema(connection: Connection) -> str | None:
    """Return the last migration that was run, None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def newer(place: str, current: str) -> StoreUnavailable:
    """Say that the database is ahead of this program."""
    return StoreUnavailable(
        f"{place} was made by a newer version of policy-server (schema {current}, this one knows {SCHEMA}); "
        "install that version again, or restore a backup."
    )


def _config() -> Config:
    config = Config()
    # Config interpolates, so that a percent sign in a path has to be doubled.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
