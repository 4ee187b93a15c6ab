"""Make the first tables.

Written out rather than taken from ``tables.py``, which goes on changing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make everything."""
    _make_stamps()
    _make_contents()
    _make_policies()
    _make_revisions()
    _make_bookkeeping()


def downgrade() -> None:
    """Remove everything."""
    for table in ("refreshes", "leases", "changes", "revisions", "policies", "documents", "modules", "stamps"):
        op.drop_table(table)


def _text_id() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _policy_key() -> list[sa.Column[str]]:
    return [sa.Column(part, _text_id(), nullable=False) for part in ("repository", "policy_group", "name", "version")]


def _make_stamps() -> None:
    stamps = op.create_table(
        "stamps",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_stamps_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stamps")),
    )
    op.bulk_insert(stamps, [{"id": 1, "stamp": 0}])


def _make_contents() -> None:
    op.create_table(
        "modules",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("wasm", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_modules")),
    )
    op.create_table(
        "documents",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_documents")),
    )


def _make_policies() -> None:
    op.create_table(
        "policies",
        sa.Column("id", sa.Integer(), nullable=False),
        *_policy_key(),
        sa.Column("folded_name", sa.Text(), nullable=False),
        sa.Column("active", sa.Integer()),
        sa.Column("locked_at", sa.BigInteger()),
        sa.Column("failure_code", sa.Text()),
        sa.Column("failure_message", sa.Text()),
        sa.Column("failure_at", sa.BigInteger()),
        sa.Column("failure_source_digest", sa.Text()),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
        sa.UniqueConstraint("repository", "policy_group", "name", "version", name=op.f("uq_policies_repository")),
        sqlite_autoincrement=True,
    )
    locked = sa.text("locked_at IS NOT NULL")
    op.create_index("ix_policies_locked_at", "policies", ["locked_at"], sqlite_where=locked, postgresql_where=locked)


def _make_revisions() -> None:
    op.create_table(
        "revisions",
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("source_digest", sa.Text(), nullable=False),
        sa.Column("opa_version", sa.Text(), nullable=False),
        sa.Column("compiled_dialect", sa.Text(), nullable=False),
        sa.Column("entrypoints", sa.JSON(), nullable=False),
        sa.Column("builtins", sa.JSON(), nullable=False),
        sa.Column("rego", sa.Text(), nullable=False),
        sa.Column("source_data", sa.Text()),
        sa.Column("data", sa.Text()),
        sa.Column("data_config", sa.Text()),
        sa.Column("output_schema", sa.Text()),
        sa.Column("export_config", sa.Text()),
        sa.PrimaryKeyConstraint("policy_id", "number", name=op.f("pk_revisions")),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policies.id"], name=op.f("fk_revisions_policy_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["module"], ["modules.digest"], name=op.f("fk_revisions_module")),
        sa.ForeignKeyConstraint(["source_data"], ["documents.digest"], name=op.f("fk_revisions_source_data")),
        sa.ForeignKeyConstraint(["data"], ["documents.digest"], name=op.f("fk_revisions_data")),
    )
    for column in ("module", "source_data", "data"):
        op.create_index(op.f(f"ix_revisions_{column}"), "revisions", [column])


def _make_bookkeeping() -> None:
    op.create_table(
        "changes",
        *_policy_key(),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repository", "policy_group", "name", "version", "what", name=op.f("pk_changes")),
    )
    op.create_index(op.f("ix_changes_stamp"), "changes", ["stamp"])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "refreshes",
        *_policy_key(),
        sa.Column("config_digest", sa.Text(), nullable=False),
        sa.Column("next_run", sa.BigInteger()),
        sa.Column("last_attempt", sa.BigInteger()),
        sa.Column("last_success", sa.BigInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("size", sa.BigInteger()),
        sa.Column("digest", sa.Text()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("repository", "policy_group", "name", "version", name=op.f("pk_refreshes")),
    )
