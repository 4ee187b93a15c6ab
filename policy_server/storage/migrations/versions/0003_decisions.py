"""Make the table of decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_POLICY = ("policy_repository", "policy_group", "policy_name", "policy_version")
_TEXTS = ("path", "endpoint", "kind", "alias", "folded_alias", "outcome", "requested_by")
_OPTIONAL = frozenset({"kind", "alias", "folded_alias"})


def upgrade() -> None:
    """Make the table; what is there stays as it is."""
    op.create_table(
        "decisions",
        *(sa.Column(name, _text_id(), nullable=False) for name in ("id", "decision_id")),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, _text_id(), nullable=False) for name in _POLICY),
        *(sa.Column(name, sa.Text(), nullable=name in _OPTIONAL) for name in _TEXTS),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_decision_id"), "decisions", ["decision_id"])
    op.create_index("ix_decisions_policy_repository", "decisions", [*_POLICY, "id"])
    op.create_index("ix_decisions_failed", "decisions", ["failed", "id"])


def downgrade() -> None:
    """Remove it."""
    op.drop_table("decisions")


def _text_id() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
