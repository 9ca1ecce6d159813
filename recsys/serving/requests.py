"""What can be sent: query parameters and bodies of the API, with their bounds.

The models say in JSON Schema everything that is refused, as far as JSON Schema can say it. Unknown fields are
refused, so that a typing error is noticed.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Self, TypeVar

from fastapi import Path
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import to_json
from starlette.datastructures import UploadFile
from starlette.requests import Request

from recsys.feedback.judgements import Label
from recsys.feedback.rules import Action, Scope, Target
from recsys.index.filters import Condition, parse
from recsys.index.points import KEYWORDS, MODALITIES, NUMBERS
from recsys.search.query import MAX_DEPTH, MAX_EXAMPLES, MAX_IMAGES, MAX_TEXT, SearchQuery
from recsys.serving.dependencies import ServicesDep, run_in_thread
from recsys.serving.problems import INVALID, Problem, unsupported
from recsys.workspace.product import MAX_ID_LENGTH

MAX_LIMIT = 200
MAX_FILTER_CONDITIONS = 40
MAX_FILTER_VALUES = 500
"""Values of one condition."""
MAX_VALUE_LENGTH = 500
"""Characters of a filter's value, a category path, a brand, a reason."""
_SMALL_BODY_BYTES = 100_000
"""Parsed in a tenth of a millisecond; larger bodies are parsed in a thread."""
_DATA_URL = re.compile(r"^data:[^,]{0,200};base64,", re.IGNORECASE)
_NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"
"""Some text that is not blank; NUL is not kept by every database."""


def _integer(value: Any) -> Any:
    """Take an integer as JSON means it: ``24.0`` is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("Input should be a valid string")
    return value


def _serializable(value: dict[str, Any]) -> dict[str, Any]:
    """Raise ValueError for what JSON cannot hold: half a surrogate pair, hundreds of levels."""
    to_json(value)
    return value


def _image(value: Any) -> bytes:
    """Return the bytes of an image sent as base64 or as a data: URL; raises ValueError."""
    try:
        return base64.b64decode(_DATA_URL.sub("", _text(value), count=1), validate=True)
    except ValueError:
        raise ValueError("an image is base64, or a data: URL (data:image/jpeg;base64,…)") from None


ProductId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=_NOT_BLANK)]
ProductIdPath = Annotated[ProductId, Path()]
RowId = Annotated[int, Field(ge=1, le=2**31 - 1)]
RowIdPath = Annotated[RowId, Path()]
Collection = Annotated[
    str,
    Field(min_length=1, max_length=200, description="A kept collection to read instead of the live one."),
]
Words = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]
Value = Annotated[str, StringConstraints(min_length=1, max_length=MAX_VALUE_LENGTH, pattern=_NOT_BLANK)]
Text = Annotated[str, StringConstraints(max_length=MAX_VALUE_LENGTH, pattern=r"^[^\x00]*$")]
Strength = Annotated[float, Field(gt=0, le=1)]
Position = Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(_integer)]
Share = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_integer)]
Offset = Annotated[int, Field(ge=0, le=MAX_DEPTH - MAX_LIMIT), BeforeValidator(_integer)]
DateTime = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_text)]
Image = Annotated[
    bytes,
    BeforeValidator(_image),
    WithJsonSchema({"type": "string", "minLength": 1, "format": "image", "contentEncoding": "base64"}),
]

_UNSENT: Any = Field(default_factory=lambda: None)
"""The default of a field that may be left out and may not be null."""


class QueryParams(BaseModel):
    """A query string."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class RequestBody(BaseModel):
    """A body, read strictly: ``"1"`` is no number."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


# -- filters ---------------------------------------------------------------------------------------

_FilterText = Annotated[str, StringConstraints(max_length=MAX_VALUE_LENGTH)]
_FilterList = Annotated[list[_FilterText], Field(min_length=1, max_length=MAX_FILTER_VALUES)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


FilterValues = Annotated[
    _FilterList, BeforeValidator(_listed, json_schema_input_type=_FilterText | _FilterList)
]


class Bounds(RequestBody):
    """Bounds of a number."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    gte: float = _UNSENT
    gt: float = _UNSENT
    lte: float = _UNSENT
    lt: float = _UNSENT


_COLUMNS: dict[str, Any] = {
    **dict.fromkeys(("id", *KEYWORDS, MODALITIES), (FilterValues, _UNSENT)),
    **dict.fromkeys(NUMBERS, (Bounds, _UNSENT)),
    **dict.fromkeys(("has_image", "has_text"), (bool, _UNSENT)),
}


class Conditions(create_model("Columns", __base__=RequestBody, **_COLUMNS)):  # type: ignore[misc]
    """What products must not be like."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, FilterValues]
    """Custom attributes, as ``attributes.<name>``; the finder refuses columns that are not indexed."""

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if len(self.model_fields_set) > MAX_FILTER_CONDITIONS:
            raise ValueError(f"a filter has at most {MAX_FILTER_CONDITIONS} conditions")
        return self


class ProductFilter(Conditions):
    """What products must be like. A text or a list of texts: any of these (a category means everything below
    it as well). Numbers: bounds. ``not``: none of these."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"availability": "in_stock", "price": {"lte": 40}, "not": {"color": ["red"]}}]
        }
    )

    not_: Annotated[Conditions, Field(alias="not")] = _UNSENT


_NO_FILTER: Any = Field(None, description="What products must be like, as JSON.")


def conditions(filter: ProductFilter | None) -> tuple[Condition, ...]:
    """Return the conditions of a filter; raises :class:`~recsys.errors.InputError`."""
    return () if filter is None else parse(filter.model_dump(exclude_unset=True, by_alias=True))


# -- searches --------------------------------------------------------------------------------------


class SearchOptions(BaseModel):
    """How to list what was found."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    image_weight: Share | None = None
    """How much images count against text; left out, the kind of query decides."""
    diversity: Share = 0.0
    """0 ranks by similarity alone; towards 1, products like those already listed come later."""
    collapse_variants: bool = True
    """Return one product of each item group, the best."""
    limit: Limit = 24
    offset: Offset = 0
    explain: bool = False
    """Return shared attributes, the rules that acted, and what would have ranked without them."""
    rules: bool = True
    """Let the active rules act."""
    collection: Collection | None = None

    def query(self, filter: ProductFilter | None, **directions: Any) -> SearchQuery:
        """Return the query for these ``directions``; raises :class:`~recsys.errors.InputError`."""
        return SearchQuery(
            image_weight=self.image_weight,
            filter=conditions(filter),
            diversity=self.diversity,
            collapse_variants=self.collapse_variants,
            limit=self.limit,
            offset=self.offset,
            explain=self.explain,
            apply_rules=self.rules,
            collection=self.collection,
            **directions,
        )


class SimilarParams(QueryParams, SearchOptions):
    """How to list what is similar to a product."""

    filter: Json[ProductFilter] = _NO_FILTER


def _some_direction(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [
        {"required": ["like"], "properties": {"like": {"minItems": 1}}},
        {"required": ["text"], "properties": {"text": {"type": "string"}}},
        {"required": ["images"], "properties": {"images": {"minItems": 1}}},
    ]


class SearchRequest(RequestBody, SearchOptions):
    """A search: any mix of words, images and products to be like, at least one of them."""

    model_config = ConfigDict(json_schema_extra=_some_direction)

    like: list[ProductId] = Field(default=[], max_length=MAX_EXAMPLES)
    """Product ids to be near to; they are not in the results."""
    unlike: list[ProductId] = Field(default=[], max_length=MAX_EXAMPLES)
    """Product ids to be far from."""
    text: Words | None = None
    images: list[Image] = Field(default=[], max_length=MAX_IMAGES)
    """Images: base64, or data: URLs. Files can be sent as multipart/form-data instead."""
    filter: ProductFilter = _UNSENT

    def search_query(self, files: Sequence[bytes] = ()) -> SearchQuery:
        """Return the query, ``files`` among its images; raises :class:`~recsys.errors.InputError`."""
        return self.query(
            self.filter,
            like=tuple(self.like),
            unlike=tuple(self.unlike),
            text=self.text,
            images=(*self.images, *files),
        )


class BatchRequest(RequestBody):
    """Many products, the neighbours of each to be listed."""

    ids: list[ProductId] = Field(min_length=1)
    image_weight: Share | None = None
    filter: ProductFilter = _UNSENT
    collapse_variants: bool = True
    limit: Limit = 10
    rules: bool = True

    def queries(self) -> list[SearchQuery]:
        """Return one query per product; raises :class:`~recsys.errors.InputError`."""
        query = SearchQuery(
            like=(self.ids[0],),
            image_weight=self.image_weight,
            filter=conditions(self.filter),
            collapse_variants=self.collapse_variants,
            limit=self.limit,
            apply_rules=self.rules,
        )
        return [replace(query, like=(id,)) for id in dict.fromkeys(self.ids)]


# -- products --------------------------------------------------------------------------------------


class AutocompleteParams(QueryParams):
    """What was typed."""

    q: str = Field("", max_length=200, description="The beginning of an id, or words.")
    limit: Annotated[int, Field(ge=1, le=50)] = 10


class ProductParams(QueryParams):
    """Where to look."""

    collection: Collection | None = None


class FacetsParams(QueryParams):
    """Which columns' values to count."""

    columns: list[str] = Field([], max_length=40, description="Indexed columns; left out, the usual ones.")
    limit: Limit = 20
    filter: Json[ProductFilter] = _NO_FILTER


# -- rules and judgements --------------------------------------------------------------------------


def _as_rules_are(schema: dict[str, Any]) -> None:
    """Say in JSON Schema what :class:`~recsys.feedback.rules.Rule` refuses."""
    known = {"type": "string", "pattern": _NOT_BLANK}
    product = {"maxLength": MAX_ID_LENGTH}
    schema["allOf"] = [
        {
            "oneOf": [
                {"properties": {"scope": {"const": "everywhere"}, "scope_value": {"const": ""}}},
                {
                    "properties": {"scope": {"const": "category"}, "scope_value": known},
                    "required": ["scope", "scope_value"],
                },
                {
                    "properties": {"scope": {"const": "product"}, "scope_value": {**known, **product}},
                    "required": ["scope", "scope_value"],
                },
            ]
        },
        {
            "oneOf": [
                {"properties": {"target": {"const": "product"}, "target_value": product}},
                {
                    "properties": {
                        "target": {"enum": ["category", "brand"]},
                        "action": {"enum": ["block", "boost", "bury"]},
                    }
                },
            ]
        },
    ]


class RuleCreate(RequestBody):
    """A rule to be made; its author is whoever sends it."""

    model_config = ConfigDict(json_schema_extra=_as_rules_are)

    action: Action
    """``pin`` to the front, ``block``, ``boost`` or ``bury``: rank as if more, or less, similar."""
    target: Target
    """What is moved."""
    target_value: Value
    """Product id, category path (everything below included) or brand."""
    scope: Scope = "everywhere"
    """Which queries it acts on."""
    scope_value: Text = ""
    """Product id or category path; empty for ``everywhere``."""
    strength: Strength = 0.1
    """Of boost and bury: added to, or taken from, the similarity when ranking."""
    position: Position = 0
    """Of pin: where among the pins, from 0."""
    starts_at: DateTime | None = None
    """With a time zone; left out or null, now."""
    expires_at: DateTime | None = None
    """With a time zone; left out or null, never."""
    reason: Text = ""


_OPTIONAL: dict[str, Any] = {
    name: (field.rebuild_annotation(), _UNSENT) for name, field in RuleCreate.model_fields.items()
}


class RuleUpdate(create_model("RuleFields", __base__=RequestBody, **_OPTIONAL)):  # type: ignore[misc]
    """What is to change of a rule; what is left out stays."""


class PreviewRequest(RequestBody):
    """A rule that is not made yet, and a search to try it on."""

    rule: RuleCreate
    query: SearchRequest


class PageParams(QueryParams):
    """A part of a list."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class RulesParams(PageParams):
    """Which rules to list."""

    product_id: ProductId | None = None
    """For this product's page, or about it."""
    include_past: bool = False
    """Those retired or expired as well."""


class JudgementCreate(RequestBody):
    """What somebody says of two products."""

    left_id: ProductId
    right_id: ProductId
    label: Label
    context: Annotated[dict[str, Any], AfterValidator(_serializable)] | None = None
    """What was on the screen: the query, the rank; at most 20,000 bytes."""


class JudgementsParams(PageParams):
    """Which judgements to list."""

    product_id: ProductId | None = None
    """Of this product."""
    mine: bool = False
    """Only those of whoever asks."""


class AuditParams(QueryParams):
    """Which part of the audit trail."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    before_id: RowId | None = None
    """Go on after the last entry of the page before."""


# -- bodies that FastAPI does not read -------------------------------------------------------------

Body = TypeVar("Body", bound=RequestBody)

JSON = "application/json"
FORM = "multipart/form-data"


async def preview_request(request: Request, services: ServicesDep) -> PreviewRequest:
    """Return the body of a preview."""
    return await _json_body(request, services, PreviewRequest)


async def search_query(request: Request, services: ServicesDep) -> SearchQuery:
    """Return the query of a search, sent as JSON or as a form with files; raises :class:`Problem`."""
    if _media_type(request) != FORM:
        body = await _json_body(
            request, services, SearchRequest, f"{JSON}, or {FORM} with `query` and `images`"
        )
        return body.search_query()
    async with request.form(
        max_files=MAX_IMAGES, max_fields=MAX_IMAGES + 1, max_part_size=services.config.search.max_body_bytes
    ) as form:
        unknown = sorted(form.keys() - {"query", "images"})
        if unknown:
            raise Problem(
                INVALID,
                f"The form has the fields {', '.join(map(repr, unknown))[:200]}.",
                fix="Send the fields images and query.",
            )
        images = [await _image_bytes(part) for part in form.getlist("images")]
        query = form.get("query", "{}")
        raw = await query.read() if isinstance(query, UploadFile) else query
    return _parse(SearchRequest, raw).search_query(images)


async def _json_body(request: Request, services: ServicesDep, model: type[Body], wanted: str = JSON) -> Body:
    """Return a JSON body that may hold images.

    Read here rather than by FastAPI, which reads a body before it asks who sends it, and parses 25 MB in the
    event loop.
    """
    if _media_type(request) != JSON:
        raise unsupported(request, wanted)
    raw = await request.body()
    if len(raw) <= _SMALL_BODY_BYTES:
        return _parse(model, raw)
    return await run_in_thread(services, lambda: _parse(model, raw))


def _parse(model: type[Body], raw: bytes | str) -> Body:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        found = [{**e, "loc": ("body", *e["loc"])} for e in error.errors(include_url=False)]
        raise RequestValidationError(found) from None


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _image_bytes(part: UploadFile | str) -> bytes:
    """Return a part's bytes; one without a file name was read as text: Latin-1, as no image is UTF-8."""
    if isinstance(part, UploadFile):
        return await part.read()
    try:
        return part.encode("latin-1")
    except UnicodeEncodeError:
        return part.encode("utf-8", "replace")
