"""What can be sent: the bodies and parameters of the API, with their bounds.

The models say in JSON Schema everything that is refused, as far as JSON Schema can say it.

Does not know: answers, routes.
"""

import base64
import binascii
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from recsys.errors import InputError
from recsys.index.filters import Condition
from recsys.search.http.filtering import FilterValues, read
from recsys.search.query import MAX_DEPTH, MAX_EXAMPLES, MAX_PICTURES, MAX_TEXT, SearchQuery

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


Picture = Annotated[
    str,
    StringConstraints(min_length=1),
    WithJsonSchema({"type": "string", "minLength": 1, "format": "picture", "contentEncoding": "base64"}),
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
    """A search: any mix of words, pictures and products to be like, at least one of them."""

    model_config = ConfigDict(json_schema_extra=_some_direction)

    like: list[ProductId] = Field(default=[], max_length=MAX_EXAMPLES)
    """Product ids to be near to; they are not answered themselves."""
    unlike: list[ProductId] = Field(default=[], max_length=MAX_EXAMPLES)
    """Product ids to be far from."""
    text: Words | None = None
    """Words."""
    images: list[Picture] = Field(default=[], max_length=MAX_PICTURES)
    """Pictures: base64, or data: URLs. Files can be sent as multipart/form-data instead."""
    image_weight: Share | None = None
    """How much pictures count against text; left out, the kind of question decides."""
    filter: FilterValues = {}
    """What products must be like."""
    diversity: Share = 0.0
    """0 ranks by similarity alone; towards 1, products like those already listed come later."""
    fold: bool = True
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
            images=(*map(picture, self.images), *files),
            image_weight=self.image_weight,
            filter=read(self.filter),
            diversity=self.diversity,
            fold=self.fold,
            limit=self.limit,
            offset=self.offset,
            explain=self.explain,
            apply_rules=self.rules,
            collection=self.collection,
        )


class SimilarParameters(Asked):
    """How to list what is similar to a product."""

    image_weight: Share | None = Field(None, description="How much pictures count against text.")
    diversity: Share = Field(0.0, description="0 ranks by similarity alone; towards 1, variety counts.")
    fold: bool = Field(True, description="Answer one product of each item group, the best.")
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
    fold: bool = True
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
                fold=self.fold,
                limit=self.limit,
                apply_rules=self.rules,
            )
            for id in dict.fromkeys(self.ids)
        ]


def picture(text: str) -> bytes:
    """Return the bytes of a picture sent as base64 or data: URL; raises :class:`InputError`."""
    prefix = _DATA_URL.match(text)
    try:
        return base64.b64decode(text[prefix.end() if prefix else 0 :], validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            f"images: {text[:40]!r}… is not base64.",
            fix="Send pictures as base64, as data: URLs (data:image/jpeg;base64,…), or as files of a form.",
        ) from None
