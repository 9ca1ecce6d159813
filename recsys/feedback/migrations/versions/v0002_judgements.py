"""Judgements of pairs, and their entries in the audit trail."""

import sqlalchemy as sa
from alembic import op

from recsys.feedback.database import Utc

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table; the audit trail gets a column."""
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("left_id", sa.Text(), nullable=False),
        sa.Column("right_id", sa.Text(), nullable=False),
        sa.Column("label", sa.String(16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("context", sa.JSON()),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("changed_at", Utc(), nullable=False),
        sa.Column("withdrawn_at", Utc()),
        sa.CheckConstraint("left_id <> right_id", name="ck_judgements_two_products"),
        sa.PrimaryKeyConstraint("id", name="pk_judgements"),
        sa.UniqueConstraint("left_id", "right_id", "author", name="uq_judgements_left_id_right_id_author"),
    )
    op.create_index("ix_judgements_right_id", "judgements", ["right_id"])
    op.add_column("audit", sa.Column("judgement_id", sa.Integer()))
    op.create_index("ix_audit_judgement_id", "audit", ["judgement_id"])
