"""One feed record to one product row: the column map, the type checks, the hashes.

Does not know: other rows, files, pictures.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys.catalog.readers import Record
from recsys.catalog.values import (
    Money,
    ValueProblemError,
    parse_availability,
    parse_currency,
    parse_gtin,
    parse_identifier,
    parse_price,
    parse_text,
    parse_time,
    plain_text,
)  # fmt: skip
from recsys.config import CatalogConfig
from recsys.config.catalog import FEED_COLUMNS, ColumnSource
from recsys.workspace.product import PAYLOAD_COLUMNS, TEXT_COLUMNS

UNPUBLISHED = "unpublished"
"""A column by which a reader says, in a sentence, that a record is not for sale."""

_SHOWN_CHARS = 200
_SCHEME_AFTER_COMMA = re.compile(r",\s*(?=[A-Za-z][A-Za-z0-9+.-]*:)")


@dataclass(frozen=True, slots=True)
class Rejection:
    """One row of ``rejected.parquet``."""

    row: int
    id: str | None
    column: str | None
    value: str | None
    reason: str
    message: str
    scope: str


@dataclass(frozen=True, slots=True)
class ImageLink:
    """A picture a product asks for."""

    column: str
    link: str


@dataclass(slots=True)
class ProductRow:
    """A product as its record says it, before its pictures are looked at."""

    row: int
    id: str
    values: dict[str, Any]
    """Product column → clean value; ``updated_at`` as ISO 8601."""
    attributes: dict[str, str]
    images: list[ImageLink] = field(default_factory=list)


def shorten(value: Any) -> str:
    """Return a value as ``rejected.parquet`` shows it."""
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("utf-8", errors="replace").decode()
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


class RowMapper:
    """Turns records into product rows by the configuration's column map."""

    def __init__(self, config: CatalogConfig) -> None:
        self._config = config
        self._sources = {name: config.columns.get(name) for name in FEED_COLUMNS}
        self._ignored = frozenset(config.ignore)

    def map(self, record: Record) -> tuple[ProductRow | None, list[Rejection]]:
        """Return the product, or ``None`` where the record is no product, and all that was wrong with it."""
        reader = _RowReader(record, self._config)
        if record.error:
            return reader.refuse("bad_row", record.error)
        found = {name: self._take(name, source, record.values) for name, source in self._sources.items()}
        try:
            identifier = parse_identifier(found["id"])
        except ValueProblemError as problem:
            return reader.refuse(problem.reason, f"Row {record.row}: id {problem.message}.", found["id"])
        if identifier is None:
            return reader.refuse("missing_id", f"Row {record.row} has no id.")
        reader.id = identifier
        if record.values.get(UNPUBLISHED):
            return reader.refuse("unpublished", str(record.values[UNPUBLISHED]))
        images = reader.images(found)
        values = reader.typed(found, images)
        if not values.get("title") and not images:
            return reader.refuse(
                "no_content", f"Row {record.row}: {identifier} has neither a title nor an image."
            )
        attributes = reader.attributes(self._attribute_sources(record.values), self._ignored)
        return ProductRow(record.row, identifier, values, attributes, images), reader.rejections

    def _take(self, name: str, source: ColumnSource | None, values: Mapping[str, Any]) -> Any:
        if source is None:
            return None if name in self._ignored else values.get(name)
        return take(source, values)

    def _attribute_sources(self, values: Mapping[str, Any]) -> Mapping[str, ColumnSource]:
        configured = self._config.attributes
        if configured != "rest":
            return configured
        used = {column for source in self._sources.values() if source for column in source.columns}
        used |= {name for name, source in self._sources.items() if source is None} | {UNPUBLISHED}
        return {name: ColumnSource(column=name) for name in values if name not in used}


def take(source: ColumnSource, values: Mapping[str, Any]) -> Any:
    """Return the first source column with a value, where the row meets the source's conditions."""
    for column, wanted in source.when.items():
        accepted = (wanted,) if isinstance(wanted, str) else wanted
        if (parse_text(values.get(column)) or "") not in accepted:
            return None
    return next((values[c] for c in source.columns if values.get(c) not in (None, "", [])), None)


def split_values(value: Any, separators: str) -> list[str]:
    """Return the several values of a field: a list as it is, text split at the first separator that occurs.

    A comma splits links only where another link starts after it: commas are common inside URLs.
    """
    if isinstance(value, list | tuple):
        return [link for item in value for link in _single(item)]
    text = str(value).strip() if value is not None else ""
    separator = next((s for s in separators if s in text), None)
    if separator is None:
        return [text] if text else []
    parts = _SCHEME_AFTER_COMMA.split(text) if separator == "," and "://" in text else text.split(separator)
    return [part.strip() for part in parts if part.strip()]


def parse_joined(value: Any) -> str | None:
    """Return a text, several texts joined by ``|``, or a nested value as JSON."""
    if isinstance(value, list | tuple):
        return "|".join(filter(None, (parse_joined(item) for item in value))) or None
    return parse_text(
        json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict) else value
    )


def _single(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [link for item in value for link in _single(item)]
    text = str(value).strip() if value is not None and value == value else ""
    return [text] if text else []


class _RowReader:
    """Reads the values of one record and notes what is wrong with them."""

    def __init__(self, record: Record, config: CatalogConfig) -> None:
        self._record, self._config = record, config
        self.id: str | None = None
        self.rejections: list[Rejection] = []

    def refuse(self, reason: str, message: str, value: Any = None) -> tuple[None, list[Rejection]]:
        shown = None if value is None else shorten(value)
        column = "id" if value is not None else None
        return None, [Rejection(self._record.row, self.id, column, shown, reason, message, "product")]

    def reject(self, column: str, value: Any, problem: ValueProblemError) -> None:
        shown = shorten(value)
        message = f"Row {self._record.row} ({self.id}): {column} {problem.message}; found {shown!r}."
        self.rejections.append(
            Rejection(self._record.row, self.id, column, shown, problem.reason, message, "value")
        )

    def typed(self, found: Mapping[str, Any], images: Sequence[ImageLink]) -> dict[str, Any]:
        """Return the clean values of every product column that has one."""
        values: dict[str, Any] = {name: self._text(name, found[name]) for name in TEXT_COLUMNS}
        for name in ("link", "mpn", "item_group_id"):
            values[name] = self._parsed(name, found[name], parse_text)
        values["gtin"] = self._parsed("gtin", found["gtin"], parse_gtin)
        values["availability"] = self._parsed("availability", found["availability"], parse_availability)
        values["image_link"] = next((image.link for image in images if image.column == "image_link"), None)
        updated_at = self._parsed("updated_at", found["updated_at"], parse_time)
        values["updated_at"] = updated_at.isoformat() if updated_at else None
        values |= self._prices(found)
        return {name: value for name, value in values.items() if value is not None}

    def _prices(self, found: Mapping[str, Any]) -> dict[str, Any]:
        named = self._parsed("currency", found["currency"], parse_currency) or self._config.currency

        def parse(value: Any) -> Money | None:
            return parse_price(value, default_currency=named)

        price, sale = (self._parsed(name, found[name], parse) for name in ("price", "sale_price"))
        if price and sale and price.currency != sale.currency:
            problem = ValueProblemError(
                "bad_price", f"is in {sale.currency} and the price in {price.currency}"
            )
            self.reject("sale_price", found["sale_price"], problem)
            sale = None
        money = price or sale
        return {
            "price": price.amount if price else None,
            "sale_price": sale.amount if sale else None,
            "currency": money.currency if money else None,
        }

    def attributes(self, sources: Mapping[str, ColumnSource], ignored: frozenset[str]) -> dict[str, str]:
        found = {
            name: take(source, self._record.values) for name, source in sources.items() if name not in ignored
        }
        texts = {name: self._text(name, value) for name, value in found.items()}
        return {name: text for name, text in sorted(texts.items()) if text is not None}

    def images(self, found: Mapping[str, Any]) -> list[ImageLink]:
        """Return the pictures asked for, the main one first."""
        further = split_values(found["additional_image_link"], self._config.separators)
        links = [("image_link", link) for link in _single(found["image_link"])]
        links += [("additional_image_link", link) for link in further]
        parsed = ((column, self._parsed(column, link, parse_text)) for column, link in links)
        return [ImageLink(column, link) for column, link in parsed if link is not None]

    def _text(self, column: str, value: Any) -> str | None:
        text: str | None = self._parsed(column, [value], parse_joined)
        if text and self._config.strip_html:
            text = plain_text(text) or None
        limit = self._config.max_text_chars
        if text and len(text) > limit:
            self.reject(
                column,
                text,
                ValueProblemError("text_cut", f"has {len(text):,} characters and was cut to {limit:,}"),
            )
            text = text[:limit]
        return text

    def _parsed(self, column: str, value: Any, parse: Any) -> Any:
        if isinstance(value, list | tuple):
            value = value[0] if value else None
        try:
            return parse(value)
        except ValueProblemError as problem:
            self.reject(column, value, problem)
            return None


def content_hash(values: Mapping[str, Any], attributes: Mapping[str, str], images: Sequence[bytes]) -> bytes:
    """Return 16 bytes that change when what the product is changes: texts, attributes, pictures."""
    texts = {name: values[name] for name in TEXT_COLUMNS if values.get(name) is not None}
    return _digest([texts, dict(attributes), [image.hex() for image in images]])


def payload_hash(values: Mapping[str, Any]) -> bytes:
    """Return 16 bytes that change when what is shown or filtered on changes."""
    return _digest({name: values[name] for name in PAYLOAD_COLUMNS if values.get(name) is not None})


def _digest(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
