"""Filters on payload columns, as plain values: what every engine can translate.

    (AnyOf("brand", ("Acme", "Bolt")), Range("price", lte=50), Not(category("Home > Lamps")))

A filter is a sequence of conditions; a product passes when all of them hold. A column with several
values (``product_type``) passes when one of its values does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from recsys.errors import InputError

SEPARATOR = " > "
"""Between the levels of ``product_type``, as in Google's feed."""


@dataclass(frozen=True)
class AnyOf:
    """The column has one of these values."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """The column is a number within these bounds; ``None`` leaves a side open."""

    column: str
    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None


@dataclass(frozen=True)
class Ids:
    """The product is one of these."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Not:
    """The condition does not hold; a product without the column passes."""

    condition: "AnyOf | Range | Ids"


Condition: TypeAlias = AnyOf | Range | Ids | Not
Filter: TypeAlias = Sequence[Condition]


def category(path: str) -> AnyOf:
    """Return the condition that a product is in the category ``path`` or anywhere below it."""
    return AnyOf("product_type", (SEPARATOR.join(levels(path)),))


def levels(path: str) -> list[str]:
    """Split a category path into its levels: ``"Home>Lamps "`` gives ``["Home", "Lamps"]``."""
    return [level for level in (part.strip() for part in path.split(">")) if level]


def ancestors(path: str) -> list[str]:
    """Return a category and all above it, topmost first: ``["Home", "Home > Lamps"]``."""
    parts = levels(path)
    return [SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))]


_BOUNDS = {"gte", "gt", "lte", "lt"}
_FLAGS = {"has_image": "image", "has_text": "text"}


def parse(values: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Read a filter from JSON values, as the command line and the HTTP API receive it.

    ``{"brand": ["Acme", "Bolt"], "price": {"lte": 50}, "product_type": "Home > Lamps", "not": {...}}``:
    a value or a list means any of these, a mapping of ``gte, gt, lte, lt`` a range, ``not`` holds
    conditions of which none may hold, ``has_image`` and ``has_text`` are true or false. Raises
    :class:`InputError` that names the column.
    """
    conditions: list[Condition] = []
    for column, value in values.items():
        if column == "not" and isinstance(value, Mapping):
            conditions += [c.condition if isinstance(c, Not) else Not(c) for c in parse(value)]
        elif column in _FLAGS and isinstance(value, bool):
            has = AnyOf("modalities", (_FLAGS[column],))
            conditions.append(has if value else Not(has))
        else:
            conditions.append(_condition(column, value))
    return tuple(conditions)


def _condition(column: str, value: Any) -> "AnyOf | Range | Ids":
    if isinstance(value, Mapping):
        if value and set(value) <= _BOUNDS and all(type(v) in (int, float) for v in value.values()):
            return Range(column, **{k: float(v) for k, v in value.items()})
        raise InputError(
            f"The filter on {column!r} has the bounds {dict(value)!r}.",
            fix='Use numbers under gte, gt, lte, lt: {"price": {"gte": 10, "lt": 20}}.',
        )
    listed = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    if not listed or not all(isinstance(v, str) for v in listed):
        raise InputError(
            f"The filter on {column!r} has the value {value!r}.",
            fix="Use a text or a list of texts; numbers go into a range.",
        )
    if column == "id":
        return Ids(tuple(listed))
    if column in ("product_type", "google_product_category"):
        listed = [SEPARATOR.join(levels(v)) for v in listed]
    return AnyOf(column, tuple(listed))
