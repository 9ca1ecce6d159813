"""The column map: which source column of a feed fills which product column or custom attribute."""

import json
import re
from collections.abc import Mapping
from typing import Any

from recsys.catalog.readers import UnreadableValue
from recsys.catalog.values import ValueProblemError, parse_text
from recsys.config import CatalogConfig
from recsys.config.catalog import FEED_COLUMNS, ColumnSource
from recsys.errors import InputError

_SCHEME_AFTER_COMMA = re.compile(r",\s*(?=[A-Za-z][A-Za-z0-9+.-]*:)")
_MAX_LAYOUTS = 256
_MAX_RECORDS_WITHOUT_ID = 100

Sources = Mapping[str, ColumnSource]
"""Product column or attribute → where its value comes from."""


class ColumnMap:
    """Picks product columns and attributes out of records."""

    def __init__(self, config: CatalogConfig) -> None:
        self._config = config
        self._sources: dict[tuple[str, ...], tuple[Sources, Sources]] = {}  # by the record's column names
        sources = [*config.columns.values()]
        if config.attributes != "rest":
            sources += config.attributes.values()
        self._unseen = {name for source in sources for name in (*source.columns, *source.when)}
        self._num_without_id = 0

    def pick(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return product column → value and attribute → value; columns without a value are left out.

        Raises :class:`InputError` after a hundred records with no column that could be the id.
        """
        names = tuple(values)
        if names not in self._sources:
            if len(self._sources) >= _MAX_LAYOUTS:
                self._sources.clear()
            self._sources[names] = self._find_sources(names)
        product, attributes = self._sources[names]
        self._num_without_id += "id" not in product
        if self._num_without_id == _MAX_RECORDS_WITHOUT_ID:
            raise InputError(
                f"The feed has no column for id; it has {', '.join(names[:20])}.",
                fix='Name the column that holds it: [catalog.columns] id = "...".',
            )
        return _take_all(product, values), _take_all(attributes, values)

    def unseen(self) -> list[str]:
        """Return the source columns that the configuration names and no record had."""
        return sorted(self._unseen)

    def _find_sources(self, names: tuple[str, ...]) -> tuple[Sources, Sources]:
        self._unseen.difference_update(names)
        ignored = self._config.ignore
        by_schema_name = {schema_name(name): name for name in reversed(names) if name not in ignored}
        product: dict[str, ColumnSource] = dict(self._config.columns.items())
        for target in FEED_COLUMNS:
            if target not in product and target in by_schema_name:
                product[target] = ColumnSource(column=by_schema_name[target])
        present = {target: source for target, source in product.items() if set(source.columns) & set(names)}
        attributes = self._config.attributes
        if attributes == "rest":
            used = {*ignored, *(column for source in present.values() for column in source.columns)}
            attributes = {name: ColumnSource(column=name) for name in names if name not in used}
        return present, attributes


def _take_all(sources: Sources, values: Mapping[str, Any]) -> dict[str, Any]:
    taken = {name: _take(source, values) for name, source in sources.items()}
    return {name: value for name, value in taken.items() if value is not None}


def _take(source: ColumnSource, values: Mapping[str, Any]) -> Any:
    """Return the first source column with a value, if the record meets the source's conditions."""
    for column, wanted in source.when.items():
        try:
            text = parse_joined(values.get(column)) or ""
        except ValueProblemError:
            text = ""
        if text not in ((wanted,) if isinstance(wanted, str) else wanted):
            return None
    return next((values[c] for c in source.columns if not _is_empty(values.get(c))), None)


def split_values(value: Any, separators: str) -> list[Any]:
    """Return the values of a field: a list's items, or text split at the first separator that occurs.

    A comma splits links only if another link starts after it: commas are common inside URLs.
    """
    if isinstance(value, list | tuple):
        return [part for item in value for part in split_values(item, "")]
    if isinstance(value, UnreadableValue):
        return [value]
    text = "" if _is_empty(value) else str(value).strip()
    separator = next((s for s in separators if s in text), None)
    if separator is None:
        return [text] if text else []
    is_links = separator == "," and "://" in text
    parts = _SCHEME_AFTER_COMMA.split(text) if is_links else text.split(separator)
    return [part.strip() for part in parts if part.strip()]


def parse_joined(value: Any) -> str | None:
    """Return a text, several texts joined by ``|``, or a nested value as JSON."""
    if isinstance(value, list | tuple):
        return "|".join(filter(None, (parse_joined(item) for item in value))) or None
    return parse_text(
        json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict) else value
    )


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value != value  # the last: NaN


def schema_name(name: str) -> str:
    """Write a column's name as the schema does: Google's templates have ``Image link`` and ``g:id``."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower()).removeprefix("g:")
