"""What comes back: the models that document the API's responses, and how searches are written.

Short responses are validated and written by FastAPI. Those that hold products are written as JSON straight
from the search's result: validating ten products takes 0.3 ms, a third of what HTTP adds to a lookup by id.
A test holds them against their models.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model
from pydantic_core import to_json
from starlette.responses import Response

from recsys.feedback.judgements import Judgement
from recsys.feedback.rules import StoredRule
from recsys.feedback.store import AuditEntry
from recsys.index.points import KEYWORDS
from recsys.search.live_index import IndexView
from recsys.search.query import ResultItem, RuleEffect, SearchResult

_INTERNAL = frozenset({"embedding_key", "row_hash", "modalities", "image"})
"""Columns of a payload that say nothing to a client; the image is given by its address instead."""


class ResponseModel(BaseModel):
    """A response. Fields may be added at any time: ignore what you do not know."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Origin(ResponseModel):
    """What made a response: all of it comes from one collection and its one encoder."""

    encoder: str
    """``encoders/<id>``."""
    snapshot: str
    """``snapshots/<id>``."""
    collection: str


_TEXT_COLUMNS: dict[str, Any] = dict.fromkeys(KEYWORDS, (str | None, None))


class PublishedProduct(create_model("TextColumns", __base__=ResponseModel, **_TEXT_COLUMNS)):  # type: ignore[misc]
    """A product as the shop's feed gave it (docs/index-contract.md); columns without a value are absent."""

    model_config = ConfigDict(extra="allow")

    id: str
    title: str | None = None
    link: str | None = None
    price: float | None = None
    sale_price: float | None = None
    currency: str | None = None
    product_type: list[str] | None = None
    """The category and all above it, topmost first."""
    google_product_category: list[str] | None = None
    attributes: dict[str, str] | None = None
    """Custom attributes."""
    has_image: bool | None = None
    has_text: bool | None = None
    image: str | None = None
    """Address of its image on this service; ``?w=`` one of 96, 160, 320, 640 chooses the width."""


class SharedValue(ResponseModel):
    """A value that a product shares with every product that was liked."""

    column: str
    value: str


class ItemExplanation(ResponseModel):
    """Why a product stands where it does."""

    shared: list[SharedValue]
    rules: list[RuleEffect]
    rank_without_rules: int | None
    """Its place, from 0, had no rule acted; ``null``: beyond what was looked at."""


class SearchItem(ResponseModel):
    """One product of the results."""

    id: str
    score: float
    """``image_weight · image_score + (1 − image_weight) · text_score``, whatever the order came of."""
    image_score: float
    """Cosine of the image vectors."""
    text_score: float
    """Cosine of the text vectors."""
    product: PublishedProduct
    num_variants: int
    """Variants found of its item group, itself included; 1 where variants are not collapsed."""
    variants: list[str]
    """Ids of the others, best first."""
    pinned: bool
    explain: ItemExplanation | None = None
    """Only with ``explain``."""


class SearchExplanation(ResponseModel):
    """What rules did to the results."""

    without_rules: list[str]
    """Ids in the order that would have been shown had no rule acted."""
    rules: list[RuleEffect]
    blocked: list[str]
    """Ids that rules took out."""


class SearchResponse(Origin):
    """What was found, best first."""

    image_weight: float
    """The weight that was used."""
    next_offset: int | None
    """Where to go on; ``null`` at the end."""
    took_ms: float
    """Milliseconds in the service, the network left out."""
    notes: list[str] = []
    """What the response had to do without, such as rules that cannot be read; usually absent."""
    items: list[SearchItem]
    explain: SearchExplanation | None = None
    """Only with ``explain``."""


class BatchResponse(Origin):
    """The neighbours of each product; ``null`` for those not published, which ``missing`` lists too."""

    results: dict[str, SearchResponse | None]
    missing: list[str]
    took_ms: float
    notes: list[str] = []
    """What the response had to do without, such as rules that cannot be read; usually absent."""


class RankChange(ResponseModel):
    """A product that a rule moves."""

    id: str
    before: int | None
    """Its place, from 0; ``null``: not shown."""
    after: int | None


class PreviewResponse(ResponseModel):
    """The same search without and with a rule."""

    before: SearchResponse
    after: SearchResponse
    rank_changes: list[RankChange]


class ProductResponse(Origin):
    """One product."""

    product: PublishedProduct


class AutocompleteResponse(ResponseModel):
    """Products whose id begins with what was typed, then those that have all of its words.

    Of each the id, the title, the brand and the image.
    """

    products: list[PublishedProduct]


class ValueCount(ResponseModel):
    """A value of a column and how many products have it."""

    value: str
    count: int


class NumberRange(ResponseModel):
    """What a number column spans."""

    min: float
    max: float


class FacetsResponse(Origin):
    """What products can be narrowed by; columns without values are left out."""

    facets: dict[str, list[ValueCount]]
    """Values per column, most frequent first."""
    ranges: dict[str, NumberRange]
    """Lowest and highest value of ``price`` and ``sale_price``."""


class CollectionStatus(ResponseModel):
    """A collection that can be searched."""

    collection: str
    encoder: str
    snapshot: str
    num_products: int
    live: bool
    published_at: str | None
    updated_at: str | None


class StatusResponse(ResponseModel):
    """What is live, how fresh it is, what a rollback can reach."""

    model_config = ConfigDict(extra="allow")

    ready: bool
    """Whether queries by product id can be answered."""
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
    collections: list[CollectionStatus]
    indexed: list[str]
    """Columns that can be filtered by."""
    notes: list[str]
    """What answers have to do without at present, such as rules that cannot be read."""


class SessionResponse(ResponseModel):
    """Who asks."""

    author: str
    role: Literal["read", "merchandise", "admin"]
    auth: bool
    """Whether this service needs keys at all."""


class RulesResponse(ResponseModel):
    """Rules, newest first."""

    rules: list[StoredRule]


class JudgementsResponse(ResponseModel):
    """Judgements that stand, the last said first."""

    judgements: list[Judgement]


class AuditResponse(ResponseModel):
    """Changes, newest first."""

    entries: list[AuditEntry]


class ProblemDetails(ResponseModel):
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
    errors: list[dict[str, Any]] = []
    """Of wrong values: each field, what was found, what was expected."""


# -- responses that hold products ------------------------------------------------------------------


def json_response(content: Mapping[str, Any]) -> Response:
    """Return ``content`` as JSON."""
    return Response(to_json(content), media_type="application/json")


def origin(view: IndexView) -> dict[str, str]:
    """Return what made a response."""
    return {
        "encoder": view.encoder_ref,
        "snapshot": view.snapshot_ref,
        "collection": view.collection.name,
    }


def product(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a client sees of a product."""
    body = {name: value for name, value in payload.items() if name not in _INTERNAL and value is not None}
    if payload.get("image"):
        body["image"] = f"/images/{payload['image']}"
    return body


def search_response(result: SearchResult, *, explain: bool, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the results of a search as :class:`SearchResponse` documents them."""
    body = {
        "encoder": result.encoder,
        "snapshot": result.snapshot,
        "collection": result.collection,
        "image_weight": result.image_weight,
        "next_offset": result.next_offset,
        "took_ms": round(sum(result.timings_ms.values()), 3),
        "items": [_item(item, explain) for item in result.items],
    }
    if notes:
        body["notes"] = notes
    if explain:
        body["explain"] = {
            "without_rules": result.without_rules,
            "rules": result.effects,
            "blocked": result.blocked,
        }
    return body


def _item(item: ResultItem, explain: bool) -> dict[str, Any]:
    body = {
        "id": item.id,
        "score": item.score,
        "image_score": item.image_score,
        "text_score": item.text_score,
        "product": product(item.payload),
        "num_variants": 1 + len(item.variants),
        "variants": item.variants,
        "pinned": item.pinned,
    }
    if explain:
        body["explain"] = {
            "shared": [{"column": column, "value": value} for column, value in item.shared],
            "rules": item.effects,
            "rank_without_rules": item.rank_without_rules,
        }
    return body
