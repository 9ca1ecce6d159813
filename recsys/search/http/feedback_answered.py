"""Rules, judgements and the trail as they come back.

Does not know: where they are kept.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from recsys.search.feedback.records import AuditEntry, Judgement, Label, StoredRule
from recsys.search.http.answered import Answered, AnswerOut
from recsys.search.rules import Action, Scope, Target

_ABSENT: Any = Field(default_factory=lambda: None)


class RuleOut(Answered):
    """A rule."""

    id: int
    action: Action
    target: Target
    target_value: str
    scope: Scope
    scope_value: str
    strength: float
    position: int
    starts_at: datetime | None
    expires_at: datetime | None
    reason: str
    author: str
    created_at: datetime
    changed_at: datetime
    retired_at: datetime | None
    retired_by: str | None


class RulesAnswer(Answered):
    """Rules, newest first."""

    rules: list[RuleOut]


class JudgementOut(Answered):
    """What one person says of two products."""

    id: int
    left_id: str
    right_id: str
    """The two ids in the order of text."""
    label: Label
    author: str
    context: dict[str, Any] | None
    created_at: datetime
    changed_at: datetime
    withdrawn_at: datetime | None
    replaced: Label | None
    """What the author had said of the pair before; in the answer of making one only."""


class JudgementsAnswer(Answered):
    """Judgements that stand, the last said first."""

    judgements: list[JudgementOut]


class AuditOut(Answered):
    """One change."""

    id: int
    at: datetime
    author: str
    action: str
    rule_id: int = _ABSENT
    """Absent where a judgement was changed."""
    judgement_id: int = _ABSENT
    """Absent where a rule was changed."""
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    note: str


class AuditAnswer(Answered):
    """Changes, newest first."""

    entries: list[AuditOut]


class MovedOut(Answered):
    """A product that a rule moves."""

    id: str
    before: int | None
    """Its place, from 0; ``null``: not shown."""
    after: int | None


class PreviewAnswer(Answered):
    """The same question without and with a rule."""

    before: AnswerOut
    after: AnswerOut
    moved: list[MovedOut]


def fields_of(value: StoredRule | Judgement) -> Mapping[str, Any]:
    """Return a record's fields as JSON values."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def entry_of(entry: AuditEntry) -> Mapping[str, Any]:
    """Return an entry of the trail as JSON values."""
    fields = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    return {n: v for n, v in fields.items() if v is not None or n not in ("rule_id", "judgement_id")}
