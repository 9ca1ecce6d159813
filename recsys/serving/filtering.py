"""Filters as they are sent: JSON whose shape is checked before it is read, and described in the document.

    {"brand": ["Acme"], "product_type": "Home > Lamps", "price": {"lte": 40}, "not": {"color": "red"}}

Does not know: which columns a collection has indexed; the finder refuses the others.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from recsys.errors import InputError
from recsys.index.filters import Condition, parse
from recsys.index.points import KEYWORDS, MODALITIES, NUMBERS

MAX_VALUES = 500
"""Values of one condition."""
MAX_VALUE = 500
"""Characters of one value."""
MAX_CONDITIONS = 40
MAX_TEXT = 100_000
"""Characters of a filter in a query string."""

SCHEMA_NAME = "Filter"


def schema(attributes: Sequence[str]) -> dict[str, Any]:
    """Return the JSON Schema of a filter over the indexed columns, those of ``attributes`` included."""
    text = {"type": "string", "maxLength": MAX_VALUE}
    values = {"anyOf": [text, {"type": "array", "items": text, "minItems": 1, "maxItems": MAX_VALUES}]}
    bounds = {
        "type": "object",
        "properties": {name: {"type": "number"} for name in ("gte", "gt", "lte", "lt")},
        "minProperties": 1,
        "additionalProperties": False,
    }
    names = ("id", *KEYWORDS, MODALITIES, *(f"attributes.{a}" for a in attributes))
    columns: dict[str, Any] = dict.fromkeys(names, values)
    columns |= dict.fromkeys(NUMBERS, bounds)
    columns |= {name: {"type": "boolean"} for name in ("has_image", "has_text")}
    inner = {"type": "object", "properties": columns, "additionalProperties": False}
    return {
        "title": SCHEMA_NAME,
        "description": "What products must be like. A text or a list of texts: any of these (a category "
        "means everything below it as well). Numbers: bounds. `not`: none of these.",
        "type": "object",
        "properties": {**columns, "not": {**inner, "description": "What products must not be like."}},
        "additionalProperties": False,
        "examples": [{"availability": "in_stock", "price": {"lte": 40}, "not": {"color": ["red"]}}],
    }


def _check(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError("a filter is an object of columns and values")
    if not _is_small(values):
        raise ValueError(
            f"a filter has at most {MAX_CONDITIONS} conditions, each of at most {MAX_VALUES} values of at "
            f"most {MAX_VALUE} characters, and `not` inside it holds no other `not`"
        )
    return values


FilterValues = Annotated[
    dict[str, Any],
    PlainValidator(_check),
    WithJsonSchema({"type": "object"}),  # the document puts schema() in its place
]


def read(values: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Return the conditions of a checked filter; raises :class:`InputError`."""
    for column, value in values.items():
        if column == "not" and isinstance(value, Mapping):
            read(value)
        elif column in NUMBERS and not isinstance(value, Mapping):
            raise InputError(
                f"The filter on {column!r} has the value {value!r:.80}.",
                fix=f'Numbers are filtered by bounds: {{"{column}": {{"lte": 40}}}}.',
            )
        elif column not in NUMBERS and isinstance(value, Mapping):
            raise InputError(
                f"The filter on {column!r} has bounds.", fix="Bounds are for price and sale_price only."
            )
    return parse(values)


def read_text(text: str) -> tuple[Condition, ...]:
    """Return the conditions of a filter in a query string; raises :class:`InputError`."""
    try:
        if len(text) > MAX_TEXT:
            raise ValueError(f"it has {len(text):,} characters, at most {MAX_TEXT:,} are read")
        return read(_check(json.loads(text)))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"filter: {text[:80]!r} cannot be read: {error}.",
            fix='Send a JSON object, such as {"brand": ["Acme"], "price": {"lte": 40}}.',
        ) from None


def _is_small(values: Mapping[str, Any], *, inner: bool = False) -> bool:
    if len(values) > MAX_CONDITIONS:
        return False
    for column, value in values.items():
        if column == "not":
            if inner or (isinstance(value, dict) and not _is_small(value, inner=True)):
                return False
        elif isinstance(value, list):
            if len(value) > MAX_VALUES or any(isinstance(v, str) and len(v) > MAX_VALUE for v in value):
                return False
        elif isinstance(value, str) and len(value) > MAX_VALUE:
            return False
    return True
