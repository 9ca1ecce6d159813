"""The column map: which source column of a feed fills which product column or custom attribute.

Does not know: types, or what a value means.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsys.catalog.values import ValueProblemError, parse_text
from recsys.config import CatalogConfig
from recsys.config.catalog import FEED_COLUMNS, ColumnSource
from recsys.errors import InputError

_SCHEME_AFTER_COMMA = re.compile(r",\s*(?=[A-Za-z][A-Za-z0-9+.-]*:)")
_MAX_PLANS = 256
_LOOK_FOR_ID = 100


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where everything comes from in records that have the same columns."""

    product: Mapping[str, ColumnSource]
    attributes: Mapping[str, ColumnSource]


class ColumnMap:
    """Picks product columns and attributes out of records."""

    def __init__(self, config: CatalogConfig) -> None:
        self._config = config
        self._ignored = frozenset(config.ignore)
        self._plans: dict[tuple[str, ...], _Plan] = {}
        sources = [*config.columns.values()]
        if config.attributes != "rest":
            sources += config.attributes.values()
        self._unseen = {name for source in sources for name in (*source.columns, *source.when)}
        self._without_id = 0

    def pick(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return product column → value and attribute → value; columns without a value are left out.

        Raises :class:`InputError` where a hundred records have had no column that could be the id.
        """
        names = tuple(values)
        plan = self._plans.get(names)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[names] = self._plan(names)
        if "id" not in plan.product:
            self._miss_id(names)
        return _take_all(plan.product, values), _take_all(plan.attributes, values)

    def unseen(self) -> list[str]:
        """Return the source columns that the configuration names and no record had."""
        return sorted(self._unseen)

    def _plan(self, names: tuple[str, ...]) -> _Plan:
        self._unseen.difference_update(names)
        by_canonical = {_canonical(name): name for name in reversed(names) if name not in self._ignored}
        product = dict(self._config.columns)
        for target in FEED_COLUMNS:
            if target not in product and target in by_canonical:
                product[target] = ColumnSource(column=by_canonical[target])
        present = {target: source for target, source in product.items() if set(source.columns) & set(names)}
        attributes = self._config.attributes
        if attributes == "rest":
            used = {column for source in present.values() for column in source.columns} | self._ignored
            return _Plan(present, {name: ColumnSource(column=name) for name in names if name not in used})
        return _Plan(present, attributes)

    def _miss_id(self, names: tuple[str, ...]) -> None:
        self._without_id += 1
        if self._without_id == _LOOK_FOR_ID:
            raise InputError(
                f"The feed has no column for id; it has {', '.join(names[:20])}.",
                fix='Name the column that holds it: [catalog.columns] id = "...".',
            )


def _take_all(sources: Mapping[str, ColumnSource], values: Mapping[str, Any]) -> dict[str, Any]:
    taken = {name: take(source, values) for name, source in sources.items()}
    return {name: value for name, value in taken.items() if value is not None}


def take(source: ColumnSource, values: Mapping[str, Any]) -> Any:
    """Return the first source column with a value, where the row meets the source's conditions."""
    for column, wanted in source.when.items():
        accepted = (wanted,) if isinstance(wanted, str) else wanted
        if (_comparable(values.get(column)) or "") not in accepted:
            return None
    return next((values[c] for c in source.columns if not _is_empty(values.get(c))), None)


def split_values(value: Any, separators: str) -> list[str]:
    """Return the several values of a field: a list as it is, text split at the first separator that occurs.

    A comma splits links only where another link starts after it: commas are common inside URLs.
    """
    if isinstance(value, list | tuple):
        return [part for item in value for part in single_values(item)]
    text = "" if _is_empty(value) else str(value).strip()
    separator = next((s for s in separators if s in text), None)
    if separator is None:
        return [text] if text else []
    is_links = separator == "," and "://" in text
    parts = _SCHEME_AFTER_COMMA.split(text) if is_links else text.split(separator)
    return [part.strip() for part in parts if part.strip()]


def single_values(value: Any) -> list[str]:
    """Return the values of a field that is never split: a list's items, or the one value."""
    if isinstance(value, list | tuple):
        return [part for item in value for part in single_values(item)]
    text = "" if _is_empty(value) else str(value).strip()
    return [text] if text else []


def parse_joined(value: Any) -> str | None:
    """Return a text, several texts joined by ``|``, or a nested value as JSON."""
    if isinstance(value, list | tuple):
        return "|".join(filter(None, (parse_joined(item) for item in value))) or None
    return parse_text(
        json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict) else value
    )


def _comparable(value: Any) -> str | None:
    try:
        return parse_joined(value)
    except ValueProblemError:
        return None


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value != value  # the last: NaN


def _canonical(name: str) -> str:
    """Write a column's name as the schema does: Google's templates have ``Image link`` and ``g:id``."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower()).removeprefix("g:")
