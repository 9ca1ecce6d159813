"""Guesses which feed column fills which product column: by its name, and where names do not decide, by its
values. What is left over becomes an attribute if it sorts products into classes, otherwise it is ignored.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recsys.catalog.columns import parse_joined, schema_name, split_values
from recsys.catalog.values import (
    ValueProblemError,
    parse_availability,
    parse_currency,
    parse_gtin,
    parse_price,
    parse_time,
)  # fmt: skip
from recsys.config import CatalogConfig
from recsys.config.catalog import FeedColumn

SYNONYMS: dict[FeedColumn, tuple[str, ...]] = {
    "id": (
        "id", "product_id", "item_id", "sku", "article_id", "article_number", "product_code", "item_code",
        "asin", "uid", "uuid", "code",
    ),
    "item_group_id": (
        "item_group_id", "parent_id", "parent_sku", "group_id", "product_group_id", "variant_group_id",
        "master_id", "style_id", "style_number", "model_id", "handle",
    ),
    "image_link": (
        "image_link", "image", "image_url", "main_image", "primary_image", "image_src", "image_path",
        "image_file", "img", "img_url", "img_path", "photo", "photo_url", "thumbnail", "thumbnail_url",
    ),
    "additional_image_link": (
        "additional_image_link", "additional_image_links", "additional_images", "extra_images",
        "other_images", "image_links", "image_urls", "images", "gallery", "photos",
    ),
    "title": (
        "title", "name", "product_name", "product_title", "item_name", "product_display_name",
        "display_name", "headline",
    ),
    "description": (
        "description", "product_description", "long_description", "body_html", "body", "details",
        "short_description", "summary", "text",
    ),
    "brand": ("brand", "brand_name", "manufacturer", "vendor", "maker"),
    "product_type": (
        "product_type", "category_path", "categories", "category", "product_category", "category_name",
        "breadcrumb", "breadcrumbs", "taxonomy", "type", "article_type", "subcategory",
        "class", "google_product_category",
    ),
    "google_product_category": ("google_product_category", "google_category"),
    "color": (
        "color", "colour", "base_color", "base_colour", "color_name", "colour_name",
        "main_color", "main_colour",
    ),
    "size": ("size", "sizes"),
    "material": ("material", "materials", "fabric", "composition"),
    "pattern": ("pattern", "print"),
    "gender": ("gender", "sex"),
    "age_group": ("age_group",),
    "link": ("link", "url", "product_url", "product_link", "canonical_url", "page_url", "permalink"),
    "availability": ("availability", "stock_status", "in_stock", "is_in_stock"),
    "price": ("price", "list_price", "regular_price", "retail_price", "msrp"),
    "sale_price": ("sale_price", "special_price", "discount_price", "discounted_price"),
    "currency": ("currency", "currency_code", "price_currency"),
    "gtin": ("gtin", "ean", "ean_13", "upc", "barcode", "isbn"),
    "mpn": ("mpn", "model_no", "model_number", "part_number", "manufacturer_part_number"),
    "updated_at": ("updated_at", "last_updated", "last_modified", "modified_at", "date_modified", "modified"),
}  # fmt: skip
"""Product column → names that shops give it, the likeliest first; case and marks do not matter."""

_PARSERS: dict[FeedColumn, Callable[[Any], Any]] = {
    "availability": parse_availability, "price": parse_price, "sale_price": parse_price,
    "currency": parse_currency, "gtin": parse_gtin, "updated_at": parse_time,
}  # fmt: skip
_IMAGE = re.compile(r"\.(?:jpe?g|png|webp|gif|bmp|tiff?|avif)(?:[?#].*)?$", re.IGNORECASE)
_LOOKED_AT = 200
_MAX_ATTRIBUTES = 30
_ATTRIBUTE_CHARS = 40


class SourceColumn:
    """One column of the sample: its values as text, one per row, ``None`` where there is none."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name, self.schema_name = name, schema_name(name)
        self.holds_bytes = any(_is_bytes(value) for value in values)
        self.values: Sequence[Any] = [] if self.holds_bytes else values
        self._num_bytes_values = sum(map(_is_bytes, values))

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value occurs."""
        return Counter(text for value in self.values if (text := _text(value)) is not None)

    @property
    def num_filled(self) -> int:
        """Rows that have a value."""
        return self._num_bytes_values if self.holds_bytes else self.counts.total()

    @property
    def first_values(self) -> list[Any]:
        """Some values as the reader gave them."""
        filled = (value for value in self.values if _text(value) is not None)
        return [value for value, _ in zip(filled, range(_LOOKED_AT), strict=False)]

    @property
    def mean_chars(self) -> float:
        """Characters of a value, on average."""
        return sum(len(text) * n for text, n in self.counts.items()) / max(1, self.num_filled)

    @property
    def num_shared(self) -> int:
        """Values that two or more rows have."""
        return sum(n > 1 for n in self.counts.values())


@dataclass(frozen=True, kw_only=True)
class ColumnGuess:
    """The proposed column map, each choice with its reason."""

    columns: dict[FeedColumn, tuple[str, str]]
    """Product column → source column, and why."""
    attributes: dict[str, str]
    """Source column that becomes an attribute → why."""
    ignored: dict[str, str]
    """Source column that is not used → why."""
    links: list[str]
    """Attributes that list ids of other products."""
    refused: list[str]
    """Columns that are called like a product column and do not hold what belongs there."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of ``[catalog]`` that say this."""
        named = {
            target: source for target, (source, _) in self.columns.items() if schema_name(source) != target
        }
        return {"columns": named, "attributes": list(self.attributes), "ignore": self.refused}

    @property
    def config(self) -> CatalogConfig:
        """The same as the catalog stage takes it."""
        return CatalogConfig.model_validate(self.settings)


def source_columns(rows: Sequence[Mapping[str, Any]]) -> list[SourceColumn]:
    """Return the columns of the rows, in the order in which they first occur."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [SourceColumn(name, [row.get(name) for row in rows]) for name in names]


def guess_columns(columns: Sequence[SourceColumn], num_rows: int) -> ColumnGuess:
    """Guess the column map of ``num_rows`` rows with these ``columns``."""
    found: dict[FeedColumn, tuple[str, str]] = {}
    free = [c for c in columns if c.num_filled and not c.holds_bytes]
    for target in SYNONYMS:
        choice = _by_name(target, free, num_rows) or _by_values(target, free, num_rows)
        if choice is not None:
            found[target] = (choice[0].name, choice[1])
            free.remove(choice[0])
    links = [c.name for c in free if _lists_ids(c, [c for c in columns if _is_id(c, found)])]
    attributes, ignored = _sort_rest(columns, free, {name for name, _ in found.values()}, links)
    # A column that is called like a product column is taken by that name unless the config says otherwise.
    unfilled = set(SYNONYMS) - set(found)
    refused = [c.name for c in free if c.schema_name in unfilled]
    return ColumnGuess(columns=found, attributes=attributes, ignored=ignored, links=links, refused=refused)


def _by_name(
    target: FeedColumn, free: Sequence[SourceColumn], num_rows: int
) -> tuple[SourceColumn, str] | None:
    by_name = {_letters(c.schema_name): c for c in reversed(free)}
    named = [by_name[name] for name in map(_letters, SYNONYMS[target]) if name in by_name]
    choice = next((column for column in named if _fits(target, column, num_rows)), None)
    if choice is None and target == "product_type" and named:
        choice = named[0]  # it teaches nothing, and is still what the shop calls the product's type
    return (choice, "by name") if choice else None


def _letters(name: str) -> str:
    """Return a column's name as it compares: ``imageUrl`` is ``image_url``."""
    return re.sub(r"[^a-z0-9]", "", name)


def _fits(target: FeedColumn, column: SourceColumn, num_rows: int) -> bool:
    """Whether a column that is called like ``target`` holds what belongs there."""
    if target == "id":
        return _is_unique(column, num_rows)
    if target == "product_type":
        return _sorts(column)
    if target in ("image_link", "additional_image_link"):
        return _share(column, lambda value: any(_is_path(link) for link in split_values(value, "|,"))) > 0.5
    if target == "link":
        return _share(column, lambda value: "://" in str(value)) > 0.5
    parse = _PARSERS.get(target)
    return parse is None or _share(column, lambda value: _parses(parse, value)) > 0.5


def _by_values(
    target: FeedColumn, free: Sequence[SourceColumn], num_rows: int
) -> tuple[SourceColumn, str] | None:
    if target == "id":
        unique = [c for c in free if _is_unique(c, num_rows) and c.mean_chars <= _ATTRIBUTE_CHARS]
        without_spaces = [c for c in unique if not any(" " in text for text in c.counts)]
        return _first([c for c in without_spaces if not _holds_images(c)], "every row has another value")
    if target in ("image_link", "additional_image_link"):
        return _first([c for c in free if _holds_images(c)], "its values are names of image files")
    if target == "item_group_id":
        groups = [c for c in free if c.schema_name.endswith(("group", "parent")) and _groups(c)]
        return _first(groups, "its name, and a few rows share each value")
    words = [c for c in free if _share(c, lambda value: len(str(value).split()) > 1) > 0.8]
    if target == "title":
        return _first([c for c in words if c.mean_chars <= 150 and not _sorts(c)], "short texts")
    if target == "description":
        return _first([c for c in words if c.mean_chars > 80 and not _sorts(c)], "long texts")
    if target == "product_type":
        paths = [c for c in free if _share(c, lambda value: " > " in str(value)) > 0.5 and _sorts(c)]
        return _first(paths, "its values are category paths")
    return None


def _first(columns: Sequence[SourceColumn], why: str) -> tuple[SourceColumn, str] | None:
    return (columns[0], f"by values: {why}") if columns else None


def _sort_rest(
    columns: Iterable[SourceColumn], free: Sequence[SourceColumn], used: set[str], links: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns that become attributes, and those that are ignored, each with the reason."""
    attributes: dict[str, str] = {}
    ignored: dict[str, str] = {}
    for column in columns:
        if column.name in used:
            continue
        num_values = len(column.counts)
        if column.holds_bytes:
            ignored[column.name] = "bytes: write images as files, and their paths into a column"
        elif column not in free:
            ignored[column.name] = "empty"
        elif column.name in links:
            attributes[column.name] = "ids of other products"
        elif num_values == 1:
            ignored[column.name] = "one value"
        elif column.mean_chars > _ATTRIBUTE_CHARS:
            ignored[column.name] = "long values"
        elif num_values > max(20, column.num_filled / 2) or not column.num_shared:
            ignored[column.name] = "hardly two rows share a value"
        elif len(attributes) == _MAX_ATTRIBUTES:
            ignored[column.name] = f"there are {_MAX_ATTRIBUTES} attributes already"
        else:
            attributes[column.name] = f"{num_values:,} values"
    return attributes, ignored


def _is_id(column: SourceColumn, found: Mapping[FeedColumn, tuple[str, str]]) -> bool:
    return any(column.name == found[target][0] for target in ("id", "item_group_id") if target in found)


def _lists_ids(column: SourceColumn, ids: Sequence[SourceColumn]) -> bool:
    """Whether most of a column's values are ids of products or groups, and not the row's own."""
    known = {text for other in ids for text in other.counts}
    num_rows = num_other = 0
    for row, value in enumerate(column.values):
        own = {_text(other.values[row]) for other in ids}
        if parts := split_values(value, "|,"):
            num_rows += 1
            num_other += any(part in known and part not in own for part in parts)
        if num_rows == _LOOKED_AT:
            break
    return num_other > 0.5 * max(1, num_rows)


def _text(value: Any) -> str | None:
    try:
        return parse_joined(value)
    except ValueProblemError:
        return None


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, dict) and isinstance(value.get("bytes"), bytes))


def _is_unique(column: SourceColumn, num_rows: int) -> bool:
    return column.num_filled >= 0.95 * num_rows and len(column.counts) >= 0.98 * column.num_filled


def _sorts(column: SourceColumn) -> bool:
    """Whether a column sorts rows into classes: at least two values, and rows that share one."""
    return len(column.counts) > 1 and len(column.counts) <= max(column.num_filled * 0.7, 2)


def _groups(column: SourceColumn) -> bool:
    return column.num_shared > 1 and len(column.counts) >= 0.05 * column.num_filled


def _share(column: SourceColumn, test: Callable[[Any], bool]) -> float:
    values = column.first_values
    return sum(map(test, values)) / len(values) if values else 0.0


def _parses(parse: Callable[[Any], Any], value: Any) -> bool:
    try:
        return parse(value[0] if isinstance(value, list | tuple) else value) is not None
    except ValueProblemError:
        return False


def _is_path(link: str) -> bool:
    return "/" in link or bool(_IMAGE.search(link))


def _holds_images(column: SourceColumn) -> bool:
    return _share(column, lambda value: any(_IMAGE.search(link) for link in split_values(value, "|,"))) > 0.8
