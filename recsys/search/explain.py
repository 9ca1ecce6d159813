"""What two products have in common, in the shop's own columns.

Does not know: similarity.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_COLUMNS = ("brand", "color", "material", "pattern", "gender", "age_group", "size")
_CATEGORY = "product_type"


def shared(payload: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Return the columns and values that a product shares with every one of ``others``.

    Of the category, the deepest level that all are in.
    """
    if not others:
        return ()
    found: list[tuple[str, str]] = []
    common = [p for p in payload.get(_CATEGORY, ()) if all(p in o.get(_CATEGORY, ()) for o in others)]
    if common:
        found.append((_CATEGORY, common[-1]))
    for name, value in _plain(payload):
        if all((name, value) in set(_plain(other)) for other in others):
            found.append((name, value))
    return tuple(found)


def named(payload: Mapping[str, Any], words: str) -> tuple[tuple[str, str], ...]:
    """Return the columns whose whole value, or last category level, the words of a search name."""
    said = f" {_folded(words)} "
    values = [*_plain(payload), *((_CATEGORY, path) for path in payload.get(_CATEGORY, ())[-1:])]
    return tuple((name, value) for name, value in values if _says(said, value.rpartition(" > ")[2]))


def _says(said: str, value: str) -> bool:
    words = _folded(value)
    return bool(words) and (f" {words} " in said or f" {words.removesuffix('s')} " in said)


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _plain(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _COLUMNS:
        if payload.get(name):
            yield name, str(payload[name])
    for name, value in (payload.get("attributes") or {}).items():
        yield f"attributes.{name}", str(value)
