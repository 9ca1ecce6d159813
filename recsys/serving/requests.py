"""Rules and judgements as they are sent.

What can be sent: the bodies and parameters of the API, with their bounds.

The models say in JSON Schema everything that is refused, as far as JSON Schema can say it.
"""

import base64
import binascii
import re
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from recsys.errors import InputError
from recsys.feedback.judgements import Label
from recsys.feedback.rules import Action, Rule, Scope, Target
from recsys.index.filters import Condition
from recsys.search.query import MAX_DEPTH, MAX_EXAMPLES, MAX_IMAGES, MAX_TEXT, SearchQuery
from recsys.serving.filtering import FilterValues, read

MAX_LIMIT = 200
MAX_OFFSET = MAX_DEPTH - MAX_LIMIT
MAX_ID = 500
MAX_NAME = 200

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_NO_NUL = r"^[^\x00]*$"

ProductId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID, pattern=r"^[^\x00]+$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]
CollectionName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]
Share = Annotated[float, Field(ge=0, le=1)]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Takes an integer as JSON means it: ``24.0`` is one."""
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), WHOLE]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET), WHOLE]


Image = Annotated[
    str,
    StringConstraints(min_length=1),
    WithJsonSchema({"type": "string", "minLength": 1, "format": "image", "contentEncoding": "base64"}),
]


class Asked(BaseModel):
    """Something that is sent: unknown fields are refused, so that a typing error is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _some_direction(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [
        {"required": ["like"], "properties": {"like": {"minItems": 1}}},
        {"required": ["text"], "properties": {"text": {"type": "string"}}},
        {"required": ["images"], "properties": {"images": {"minItems": 1}}},
    ]


class SearchBody(Asked):
    """A search: any mix of words, images and products to be like, at least one of them."""

    model_config = ConfigDict(json_schema_extra=_some_direction)

    like: list[ProductId] = Field(default=[], max_length=MAX_EXAMPLES)
    """Product ids to be near to; they are not answered themselves."""
    unlike: list[ProductId] = Field(default=[], max_length=MAX_EXAMPLES)
    """Product ids to be far from."""
    text: Words | None = None
    """Words."""
    images: list[Image] = Field(default=[], max_length=MAX_IMAGES)
    """Images: base64, or data: URLs. Files can be sent as multipart/form-data instead."""
    image_weight: Share | None = None
    """How much images count against text; left out, the kind of question decides."""
    filter: FilterValues = {}
    """What products must be like."""
    diversity: Share = 0.0
    """0 ranks by similarity alone; towards 1, products like those already listed come later."""
    collapse_variants: bool = True
    """Answer one product of each item group, the best."""
    limit: Limit = 24
    offset: Offset = 0
    explain: bool = False
    """Answer shared attributes, the rules that acted, and what would have ranked without them."""
    rules: bool = True
    """Let the rules in force act."""
    collection: CollectionName | None = None
    """A kept collection to ask instead of the live one."""

    def query(self, files: tuple[bytes, ...] = ()) -> SearchQuery:
        """Return the question; raises :class:`InputError`."""
        return SearchQuery(
            like=tuple(self.like),
            unlike=tuple(self.unlike),
            text=self.text,
            images=(*map(image, self.images), *files),
            image_weight=self.image_weight,
            filter=read(self.filter),
            diversity=self.diversity,
            collapse_variants=self.collapse_variants,
            limit=self.limit,
            offset=self.offset,
            explain=self.explain,
            apply_rules=self.rules,
            collection=self.collection,
        )


class SimilarParameters(Asked):
    """How to list what is similar to a product."""

    image_weight: Share | None = Field(None, description="How much images count against text.")
    diversity: Share = Field(0.0, description="0 ranks by similarity alone; towards 1, variety counts.")
    collapse_variants: bool = Field(True, description="Answer one product of each item group, the best.")
    limit: Limit = 24
    offset: Offset = 0
    filter: str = Field("{}", description="What products must be like, as JSON.")
    explain: bool = Field(False, description="Answer why each product is there.")
    rules: bool = Field(True, description="Let the rules in force act.")
    collection: CollectionName | None = Field(None, description="A kept collection instead of the live one.")


class FacetParameters(Asked):
    """Which columns' values to count."""

    columns: list[str] = Field([], max_length=40, description="Indexed columns; left out, the usual ones.")
    limit: Limit = 20
    filter: str = Field("{}", description="What products must be like, as JSON.")


class LookupParameters(Asked):
    """What was typed."""

    q: str = Field("", max_length=MAX_NAME, description="The beginning of an id, or words.")
    limit: Annotated[int, Field(ge=1, le=50)] = 10


class ViewParameters(Asked):
    """Where to look."""

    collection: CollectionName | None = Field(None, description="A kept collection instead of the live one.")


class BatchBody(Asked):
    """Many products, each asked about by itself."""

    ids: list[ProductId] = Field(min_length=1)
    image_weight: Share | None = None
    filter: FilterValues = {}
    collapse_variants: bool = True
    limit: Limit = 10
    rules: bool = True

    def queries(self) -> list[SearchQuery]:
        """Return one question per product; raises :class:`InputError`."""
        conditions: tuple[Condition, ...] = read(self.filter)
        return [
            SearchQuery(
                like=(id,),
                image_weight=self.image_weight,
                filter=conditions,
                collapse_variants=self.collapse_variants,
                limit=self.limit,
                apply_rules=self.rules,
            )
            for id in dict.fromkeys(self.ids)
        ]


def image(text: str) -> bytes:
    """Return the bytes of an image sent as base64 or data: URL; raises :class:`InputError`."""
    prefix = _DATA_URL.match(text)
    try:
        return base64.b64decode(text[prefix.end() if prefix else 0 :], validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            f"images: {text[:40]!r}… is not base64.",
            fix="Send images as base64, as data: URLs (data:image/jpeg;base64,…), or as files of a form.",
        ) from None


MAX_RULE_ID = 250
"""Characters of a product id that something is said of; the store keeps 1,000 bytes."""
MAX_VALUE = 500
"""Characters of a category path, a brand, a reason."""
_TEXT = r"^[^\x00]*$"
_SAYS = r"^[^\x00]*[^\s\x00][^\x00]*$"
"""Some text that is not blank; NUL is not kept by every database."""

KnownId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_RULE_ID, pattern=_SAYS)]
Value = Annotated[str, StringConstraints(min_length=1, max_length=MAX_VALUE, pattern=_SAYS)]
Text = Annotated[str, StringConstraints(max_length=MAX_VALUE, pattern=_TEXT)]
Strength = Annotated[float, Field(gt=0, le=1)]
Position = Annotated[int, Field(ge=0, le=1_000_000), WHOLE]
RowId = Annotated[int, Field(ge=1, le=2**31 - 1)]

_UNSENT: Any = Field(default_factory=lambda: None)


def _what_fits(schema: dict[str, Any]) -> None:
    """Say in JSON Schema what :class:`recsys.feedback.rules.Rule` refuses."""
    known = {"type": "string", "pattern": _SAYS}
    product = {"maxLength": MAX_RULE_ID}
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


class RuleBody(Asked):
    """A rule to be made; its author is whoever sends it."""

    model_config = ConfigDict(json_schema_extra=_what_fits)

    action: Action
    """``pin`` to the front, ``block``, ``boost`` or ``bury``: rank as if more, or less, similar."""
    target: Target
    """What is moved."""
    target_value: Value
    """Product id, category path (everything below included) or brand."""
    scope: Scope = "everywhere"
    """Which questions it acts on."""
    scope_value: Text = ""
    """Product id or category path; empty for ``everywhere``."""
    strength: Strength = 0.1
    """Of boost and bury: added to, or taken from, the similarity when ranking."""
    position: Position = 0
    """Of pin: where among the pins, from 0."""
    starts_at: AwareDatetime | None = None
    """With a time zone; left out, now."""
    expires_at: AwareDatetime | None = None
    """With a time zone; left out, never."""
    reason: Text = ""

    @model_validator(mode="after")
    def _ids_are_ids(self) -> Self:
        for kind, value in ((self.target, self.target_value), (self.scope, self.scope_value)):
            if kind == "product" and len(value) > MAX_RULE_ID:
                raise ValueError(f"a product id has at most {MAX_ID} characters")
        return self

    def rule(self, author: str) -> Rule:
        """Return the rule; raises :class:`~recsys.errors.InputError`."""
        return Rule(**dict(self), author=author)


class RuleChanges(Asked):
    """What is to change of a rule; what is left out stays."""

    action: Action = _UNSENT
    target: Target = _UNSENT
    target_value: Value = _UNSENT
    scope: Scope = _UNSENT
    scope_value: Text = _UNSENT
    strength: Strength = _UNSENT
    position: Position = _UNSENT
    starts_at: AwareDatetime | None = _UNSENT
    """``null``: at once."""
    expires_at: AwareDatetime | None = _UNSENT
    """``null``: never."""
    reason: Text = _UNSENT

    def changes(self) -> dict[str, Any]:
        """Return the fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class PreviewBody(Asked):
    """A rule that is not made yet, and a question to try it on."""

    rule: RuleBody
    query: SearchBody


class JudgementBody(Asked):
    """What somebody says of two products."""

    left_id: KnownId
    right_id: KnownId
    label: Label
    context: dict[str, Any] | None = None
    """What was on the screen: the question, the rank; at most 20,000 bytes."""


class Page(Asked):
    """A part of a list."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class RulesPage(Page):
    """Which rules to list."""

    product_id: KnownId | None = Field(None, description="For this product's page, or about it.")
    include_past: bool = Field(False, description="Those retired or expired as well.")


class JudgementsPage(Page):
    """Which judgements to list."""

    product_id: KnownId | None = Field(None, description="Of this product.")
    mine: bool = Field(False, description="Only those of whoever asks.")


class AuditPage(Asked):
    """Which part of the trail."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    before_id: RowId | None = Field(None, description="Go on after the last entry of the answer before.")
