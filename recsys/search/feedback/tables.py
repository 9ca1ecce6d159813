"""The schema of the feedback store. A change here needs a migration beside it (a test compares the two).

    rules       one row per rule, retired ones included
    judgements  one row per unordered pair and author, withdrawn ones included
    audit       one row per change of either, never changed or removed (triggers see to it)
    revision    one row, counted up by every change: it tells readers that something is new, and its lock
                makes writers take turns, so that the trail's order is the order of what happened

Does not know: how a database comes to have these tables.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class Utc(TypeDecorator[datetime]):
    """A moment with its zone; SQLite, which keeps none, stores it in UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Turn an aware moment into UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        """Give the moment its zone."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


rules = sa.Table(
    "rules",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("target", sa.String(16), nullable=False),
    sa.Column("target_value", sa.Text, nullable=False),
    sa.Column("scope", sa.String(16), nullable=False),
    sa.Column("scope_value", sa.Text, nullable=False),
    sa.Column("strength", sa.Double, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("starts_at", Utc),
    sa.Column("expires_at", Utc),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("changed_at", Utc, nullable=False),
    sa.Column("retired_at", Utc),
    sa.Column("retired_by", sa.Text),
    sa.Index(None, "target", "target_value"),
    sa.Index(None, "scope", "scope_value"),
    sa.Index(None, "retired_at", "expires_at"),
)

judgements = sa.Table(
    "judgements",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("left_id", sa.Text, nullable=False),
    sa.Column("right_id", sa.Text, nullable=False),
    sa.Column("label", sa.String(16), nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("context", sa.JSON),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("changed_at", Utc, nullable=False),
    sa.Column("withdrawn_at", Utc),
    sa.UniqueConstraint("left_id", "right_id", "author"),
    sa.CheckConstraint("left_id <> right_id", name="two_products"),
    sa.Index(None, "right_id"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("rule_id", sa.Integer),
    sa.Column("judgement_id", sa.Integer),
    sa.Column("before", sa.JSON(none_as_null=True)),
    sa.Column("after", sa.JSON(none_as_null=True)),
    sa.Column("note", sa.Text, nullable=False),
    sa.Index(None, "rule_id"),
    sa.Index(None, "judgement_id"),
)

revision = sa.Table(
    "revision",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)
