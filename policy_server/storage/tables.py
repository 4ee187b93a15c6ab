"""The tables of the SQL store, as SQLAlchemy sees them.

``migrations/versions`` makes them; a test proves that both say the same.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

SCHEMA: Final = "0003"
"""The migration that this code was written for."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """Keep a datetime as whole microseconds since 1970 in UTC.

    Exact, comparable in SQL, and the same in every database; what comes back
    is in UTC whatever zone went in.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn a datetime with a zone into microseconds."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn microseconds into a datetime in UTC."""
        return None if value is None else _EPOCH + value * _MICROSECOND


class Names(TypeDecorator[tuple[str, ...]]):
    """Keep a tuple of texts as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> list[str] | None:  # noqa: ARG002
        """Turn a tuple into a list."""
        return None if value is None else list(value)

    def process_result_value(self, value: Sequence[str] | None, dialect: Dialect) -> tuple[str, ...] | None:  # noqa: ARG002
        """Turn a list into a tuple."""
        return None if value is None else tuple(value)


# NOTE: ids are ordered by code point, as Python orders them; PostgreSQL does that only when told so.
_IdText = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

stamps = Table(
    "stamps",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("stamp", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="single"),
)

modules = Table(
    "modules",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("wasm", LargeBinary, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repository", _IdText, nullable=False),
    Column("policy_group", _IdText, nullable=False),
    Column("name", _IdText, nullable=False),
    Column("version", _IdText, nullable=False),
    Column("folded_name", Text, nullable=False),
    Column("active", Integer),
    Column("locked_at", Moment),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("failure_at", Moment),
    Column("failure_source_digest", Text),
    Column("updated_at", Moment, nullable=False),
    UniqueConstraint("repository", "policy_group", "name", "version"),
    sqlite_autoincrement=True,
)
_LOCKED = text("locked_at IS NOT NULL")
Index("ix_policies_locked_at", policies.c.locked_at, sqlite_where=_LOCKED, postgresql_where=_LOCKED)

revisions = Table(
    "revisions",
    metadata,
    Column("policy_id", Integer, ForeignKey(policies.c.id, ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("module", Text, ForeignKey(modules.c.digest), nullable=False, index=True),
    Column("source_digest", Text, nullable=False),
    Column("opa_version", Text, nullable=False),
    Column("compiled_dialect", Text, nullable=False),
    Column("entrypoints", JSON, nullable=False),
    Column("builtins", JSON, nullable=False),
    Column("rego", Text, nullable=False),
    Column("source_data", Text, ForeignKey(documents.c.digest), index=True),
    Column("data", Text, ForeignKey(documents.c.digest), index=True),
    Column("data_config", Text),
    Column("output_schema", Text),
    Column("export_config", Text),
    PrimaryKeyConstraint("policy_id", "number"),
)

# One row a policy and kind, not a log: it stays as small as the number of policies ever known.
changes = Table(
    "changes",
    metadata,
    Column("repository", _IdText, nullable=False),
    Column("policy_group", _IdText, nullable=False),
    Column("name", _IdText, nullable=False),
    Column("version", _IdText, nullable=False),
    Column("what", Text, nullable=False),
    Column("stamp", BigInteger, nullable=False, index=True),
    PrimaryKeyConstraint("repository", "policy_group", "name", "version", "what"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Moment, nullable=False),
)

refreshes = Table(
    "refreshes",
    metadata,
    Column("repository", _IdText, nullable=False),
    Column("policy_group", _IdText, nullable=False),
    Column("name", _IdText, nullable=False),
    Column("version", _IdText, nullable=False),
    Column("config_digest", Text, nullable=False),
    Column("next_run", Moment),
    Column("last_attempt", Moment),
    Column("last_success", Moment),
    Column("error", Text),
    Column("size", BigInteger),
    Column("digest", Text),
    Column("failures", Integer, nullable=False),
    PrimaryKeyConstraint("repository", "policy_group", "name", "version"),
)

_POLICY = ("policy_repository", "policy_group", "policy_name", "policy_version")


def _policy_columns() -> list[Column[str]]:
    return [Column(name, _IdText, nullable=False) for name in _POLICY]


def _id() -> Column[str]:
    return Column("id", _IdText, primary_key=True)


# The kinds of ``shelf.py``; each is looked up by its name there.
subscribers = Table(
    "subscribers",
    metadata,
    _id(),
    *_policy_columns(),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("secret", Text),
    Column("state", Text, nullable=False),
    UniqueConstraint(*_POLICY, "name", "url"),
)

auto_imports = Table(
    "auto_imports",
    metadata,
    _id(),
    Column("url", _IdText, nullable=False),
    Column("interval", BigInteger, nullable=False),
    Column("next_import", Moment, nullable=False, index=True),
    Column("last_attempt", Moment),
    Column("last_success", Moment),
    Column("error", Text),
    UniqueConstraint("url"),
)

stored_values = Table("stored_values", metadata, _id(), Column("body", Text, nullable=False))

cached_values = Table(
    "cached_values",
    metadata,
    _id(),
    Column("body", Text, nullable=False),
    Column("until", Moment, index=True),
)

events = Table(
    "events",
    metadata,
    _id(),
    Column("event", Text, nullable=False),
    Column("type", Text, nullable=False),
    *_policy_columns(),
    Column("revision", Integer),
    Column("changed", Names, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Moment, nullable=False, index=True),
    Column("dispatched", Boolean, nullable=False),
)
_WAITING = text("NOT dispatched")
Index("ix_events_dispatched", events.c.id, sqlite_where=_WAITING, postgresql_where=_WAITING)

deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    Column("stamp", BigInteger, nullable=False, index=True),
    Column("target", _IdText, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("settled_at", Moment),
    Column("error", Text),
    Index("ix_deliveries_state", "state", "next_attempt"),
)

audit_records = Table(
    "audit_records",
    metadata,
    _id(),
    Column("at", Moment, nullable=False, index=True),
    Column("actor", _IdText, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", _IdText, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Index("ix_audit_records_subject", "subject", "id"),
    Index("ix_audit_records_actor", "actor", "id"),
)

decisions = Table(
    "decisions",
    metadata,
    _id(),
    Column("decision_id", _IdText, nullable=False, index=True),
    Column("at", Moment, nullable=False),
    *_policy_columns(),
    Column("path", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("kind", Text),
    Column("alias", Text),
    Column("folded_alias", Text),
    Column("outcome", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_decisions_policy_repository", *_POLICY, "id"),
    Index("ix_decisions_failed", "failed", "id"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("scopes", Names, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
    UniqueConstraint("digest"),
)

trusted_keys = Table(
    "trusted_keys",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("jwk", Text, nullable=False),
    Column("repositories", Names, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Moment),
)
