"""The audit trail: every change as one entry, written in the change's own transaction.

Does not know: what is changed.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from recsys.feedback.database import audit
from recsys.feedback.records import Judgement, StoredRule


def record(
    connection: sa.Connection,
    at: datetime,
    author: str,
    action: str,
    *,
    note: str = "",
    **what: Any,
) -> None:
    """Add an entry; ``what`` is ``rule_id`` or ``judgement_id``, ``before`` and ``after``."""
    connection.execute(
        sa.insert(audit).values(at=at.astimezone(UTC), author=author, action=action, note=note, **what)
    )


def values_of(stored: StoredRule | Judgement) -> Mapping[str, Any]:
    """Return a row's values as JSON, times as ISO 8601."""
    values = {f.name: getattr(stored, f.name) for f in fields(stored) if f.name not in ("id", "replaced")}
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values.items()}
