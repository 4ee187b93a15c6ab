"""Make the tables around policies: events, deliveries, subscribers, imports, values, audit, tokens, keys."""

from typing import cast

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_POLICY = ("policy_repository", "policy_group", "policy_name", "policy_version")
_TABLES = (
    "trusted_keys",
    "api_tokens",
    "audit_records",
    "deliveries",
    "events",
    "cached_values",
    "stored_values",
    "auto_imports",
    "subscribers",
)


def upgrade() -> None:
    """Make everything; what is there stays as it is."""
    _make_subscribers()
    _make_values()
    _make_events()
    _make_audit()
    _make_access()


def downgrade() -> None:
    """Remove everything."""
    for table in _TABLES:
        op.drop_table(table)


def _text_id() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(name: str, *, optional: bool = False, ordered: bool = False) -> sa.Column[str]:
    return sa.Column(name, _text_id() if ordered else sa.Text(), nullable=optional)


def _moment(name: str, *, optional: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=optional)


def _make(name: str, *columns: object) -> None:
    items = cast(tuple[sa.schema.SchemaItem, ...], columns)
    op.create_table(name, _text("id", ordered=True), *items, sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")))


def _policy() -> list[sa.Column[str]]:
    return [_text(part, ordered=True) for part in _POLICY]


def _make_subscribers() -> None:
    _make(
        "subscribers",
        *_policy(),
        *(_text("name"), _text("url"), _moment("created_at"), _moment("updated_at")),
        *(_text("secret", optional=True), _text("state")),
        sa.UniqueConstraint(*_POLICY, "name", "url", name=op.f("uq_subscribers_policy_repository")),
    )
    _make(
        "auto_imports",
        *(_text("url", ordered=True), sa.Column("interval", sa.BigInteger(), nullable=False), _moment("next_import")),
        *(_moment("last_attempt", optional=True), _moment("last_success", optional=True)),
        _text("error", optional=True),
        sa.UniqueConstraint("url", name=op.f("uq_auto_imports_url")),
    )
    op.create_index(op.f("ix_auto_imports_next_import"), "auto_imports", ["next_import"])


def _make_values() -> None:
    _make("stored_values", _text("body"))
    _make("cached_values", _text("body"), _moment("until", optional=True))
    op.create_index(op.f("ix_cached_values_until"), "cached_values", ["until"])


def _make_events() -> None:
    _make(
        "events",
        *(_text("event"), _text("type"), *_policy(), sa.Column("revision", sa.Integer())),
        *(sa.Column("changed", sa.JSON(), nullable=False), _text("actor"), _moment("at")),
        sa.Column("dispatched", sa.Boolean(), nullable=False),
    )
    op.create_index(op.f("ix_events_at"), "events", ["at"])
    waiting = sa.text("NOT dispatched")
    op.create_index("ix_events_dispatched", "events", ["id"], sqlite_where=waiting, postgresql_where=waiting)
    _make(
        "deliveries",
        *(sa.Column("stamp", sa.BigInteger(), nullable=False), _text("target", ordered=True), _text("state")),
        *(sa.Column("attempts", sa.Integer(), nullable=False), _moment("next_attempt"), _moment("created_at")),
        *(_moment("settled_at", optional=True), _text("error", optional=True)),
    )
    op.create_index(op.f("ix_deliveries_stamp"), "deliveries", ["stamp"])
    op.create_index("ix_deliveries_state", "deliveries", ["state", "next_attempt"])


def _make_audit() -> None:
    _make(
        "audit_records",
        *(_moment("at"), _text("actor", ordered=True), _text("action"), _text("subject", ordered=True)),
        *(_text("outcome"), _text("origin"), _text("request_id")),
        *(_text("before", optional=True), _text("after", optional=True)),
    )
    op.create_index(op.f("ix_audit_records_at"), "audit_records", ["at"])
    op.create_index("ix_audit_records_subject", "audit_records", ["subject", "id"])
    op.create_index("ix_audit_records_actor", "audit_records", ["actor", "id"])


def _make_access() -> None:
    _make(
        "api_tokens",
        *(_text("name"), _text("digest"), sa.Column("scopes", sa.JSON(), nullable=False), _moment("created_at")),
        *(_text("created_by"), _moment("expires_at", optional=True), _moment("last_used_at", optional=True)),
        _moment("revoked_at", optional=True),
        sa.UniqueConstraint("digest", name=op.f("uq_api_tokens_digest")),
    )
    _make(
        "trusted_keys",
        *(_text("name"), _text("jwk"), sa.Column("repositories", sa.JSON(), nullable=False), _moment("created_at")),
        *(_text("created_by"), _moment("expires_at", optional=True)),
    )
