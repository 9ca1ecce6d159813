"""What the feedback store answers with: plain values.

Does not know: the database.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

from recsys.feedback.rules import Rule

Label = Literal["similar", "not_similar", "duplicate"]


RULE_FIELDS = tuple(f.name for f in fields(Rule) if f.name not in ("id", "author"))
"""What can be changed about a rule."""


_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, kw_only=True)
class StoredRule(Rule):
    """A rule as it is kept: ``id`` is its name, ``author`` who made it. Times are UTC."""

    created_at: datetime = _EPOCH
    changed_at: datetime = _EPOCH
    retired_at: datetime | None = None
    """``None``: it was not retired, though it may have expired."""
    retired_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one person says of two products. Times are UTC."""

    id: int
    left_id: str
    right_id: str
    """The two ids in the order of text, whichever way round they were given."""
    label: Label
    author: str
    context: Mapping[str, Any] | None
    """What was on the screen: the question, the encoder, the rank; whatever the client sent."""
    created_at: datetime
    changed_at: datetime
    withdrawn_at: datetime | None = None
    replaced: Label | None = None
    """What the author had said of the pair before, in the answer of ``judge`` only."""


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One change: who did what, when, and what it was before and after."""

    id: int
    at: datetime
    author: str
    action: str
    """``rule.add``, ``rule.change``, ``rule.retire``, ``rule.restore``, ``judgement.add``,
    ``judgement.change``, ``judgement.withdraw``."""
    rule_id: int | None
    judgement_id: int | None
    before: Mapping[str, Any] | None
    """The row's values as JSON (times as ISO 8601); ``None`` where there was nothing."""
    after: Mapping[str, Any] | None
    note: str
    """Why, where a reason was given."""
