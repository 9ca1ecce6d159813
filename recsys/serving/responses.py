"""Rules, judgements and the trail as they come back.

What comes back: the models that document the answers; :mod:`recsys.serving.serialization` writes them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from recsys.feedback.judgements import Judgement, Label
from recsys.feedback.rules import Action, Scope, StoredRule, Target
from recsys.feedback.store import AuditEntry


class Answered(BaseModel):
    """Something that comes back. Fields may be added at any time: ignore what you do not know."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Origin(Answered):
    """What made an answer: all of it comes from one collection and its one encoder."""

    encoder: str
    """``encoders/<id>``."""
    snapshot: str
    """``snapshots/<id>``."""
    collection: str


class ProductOut(Answered):
    """A product as the shop's feed gave it (docs/index-contract.md); columns without a value are absent."""

    model_config = ConfigDict(extra="allow")

    id: str
    title: str | None = None
    brand: str | None = None
    link: str | None = None
    price: float | None = None
    sale_price: float | None = None
    currency: str | None = None
    availability: str | None = None
    product_type: list[str] | None = None
    """The category and all above it, topmost first."""
    google_product_category: list[str] | None = None
    color: str | None = None
    size: str | None = None
    material: str | None = None
    pattern: str | None = None
    gender: str | None = None
    age_group: str | None = None
    item_group_id: str | None = None
    attributes: dict[str, str] | None = None
    """Custom attributes."""
    has_image: bool | None = None
    has_text: bool | None = None
    image: str | None = None
    """Address of its image on this service; ``?w=`` one of 96, 160, 320, 640 chooses the width."""


class EffectOut(Answered):
    """A rule that acted."""

    rule_id: int
    action: str
    reason: str
    author: str
    shift: float
    """Added to the score for ranking only."""


class SharedOut(Answered):
    """A value that a product shares with what was asked about."""

    column: str
    value: str


class ItemReasons(Answered):
    """Why a product stands where it does."""

    shared: list[SharedOut]
    rules: list[EffectOut]
    rank_without_rules: int | None
    """Its place, from 0, had no rule acted; ``null``: beyond what was looked at."""


class ItemOut(Answered):
    """One product of an answer."""

    id: str
    score: float
    """``image_weight · image_score + (1 − image_weight) · text_score``, whatever the order came of."""
    image_score: float
    """Cosine of the image vectors."""
    text_score: float
    """Cosine of the text vectors."""
    product: ProductOut
    num_variants: int
    """Variants found of its item group, itself included; 1 where variants are not collapsed."""
    variants: list[str]
    """Ids of the others, best first."""
    pinned: bool
    explain: ItemReasons | None = None
    """Only with ``explain``."""


class AnswerReasons(Answered):
    """What rules did to an answer."""

    without_rules: list[str]
    """Ids in the order that would have been shown had no rule acted."""
    rules: list[EffectOut]
    blocked: list[str]
    """Ids that rules took out of it."""


class AnswerOut(Origin):
    """What was found, best first."""

    image_weight: float
    """The weight that was used."""
    next_offset: int | None
    """Where to go on; ``null`` at the end."""
    took_ms: float
    """Milliseconds in the service, the network left out."""
    items: list[ItemOut]
    explain: AnswerReasons | None = None
    """Only with ``explain``."""


class ProductAnswer(Origin):
    """One product."""

    product: ProductOut


class FoundOut(Answered):
    """A product, as shown while typing."""

    id: str
    title: str | None = None
    brand: str | None = None
    image: str | None = None


class LookupAnswer(Answered):
    """Products whose id begins with what was typed, then those that have all of its words."""

    products: list[FoundOut]


class ValueOut(Answered):
    """A value of a column and how many products have it."""

    value: str
    count: int


class RangeOut(Answered):
    """What a number column spans."""

    min: float
    max: float


class FacetAnswer(Origin):
    """What products can be narrowed by; columns without values are left out."""

    facets: dict[str, list[ValueOut]]
    """Values per column, most frequent first."""
    ranges: dict[str, RangeOut]
    """Lowest and highest value of ``price`` and ``sale_price``."""


class BatchAnswer(Origin):
    """One answer per product; ``null`` for those that are not published, listed as ``missing`` too."""

    answers: dict[str, AnswerOut | None]
    missing: list[str]
    took_ms: float


class CollectionOut(Answered):
    """A collection that can be asked."""

    collection: str
    encoder: str
    snapshot: str
    num_products: int
    live: bool
    published_at: str | None
    updated_at: str | None


class StatusAnswer(Answered):
    """What is live, how fresh it is, what a rollback can reach."""

    model_config = ConfigDict(extra="allow")

    ready: bool
    """Whether questions by product id can be answered."""
    encoder_loaded: bool
    """Whether words and images can be answered at once."""
    version: str
    alias: str
    engine: Literal["qdrant-edge", "qdrant-server"]
    collection: str | None
    encoder: str | None = None
    snapshot: str | None = None
    num_products: int | None = None
    age_s: float | None = None
    """Seconds since the live collection was last brought to a snapshot."""
    snapshot_age_s: float | None = None
    collections: list[CollectionOut]
    indexed: list[str]
    """Columns that can be filtered by."""


class SessionAnswer(Answered):
    """Who asks, and what a page needs to change things."""

    author: str
    role: Literal["read", "merchandise", "admin"]
    csrf_token: str
    """Send it as ``X-CSRF-Token`` with every change; empty where a key was sent, which needs none."""
    auth: bool
    """Whether this service needs keys at all."""


class ProblemOut(Answered):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "/docs#not-found",
                    "title": "There is no such thing",
                    "status": 404,
                    "detail": "There is no product 'x' in what is published.",
                    "fix": "Check the id.",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    """What was found, and what was expected."""
    fix: str
    """What to do."""
    errors: list[dict[str, Any]] = Field(default=[])
    """Of wrong values: each field, what was found, what was expected."""


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
