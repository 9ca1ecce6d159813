"""One feed record to one product row: the column map, the type checks, the hashes.

Does not know: other rows, files, images.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys.catalog.columns import ColumnMap, parse_joined, single_values, split_values
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
from recsys.workspace.product import PAYLOAD_COLUMNS, TEXT_COLUMNS

_SHOWN_CHARS = 200
_MARKUP_PER_TEXT = 10
"""A text with its markup may be so many times longer than the text alone: bounds the work of one value."""


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
    """An image a product asks for."""

    column: str
    link: str


@dataclass(slots=True)
class ProductRow:
    """A product as its record says it, before its images are looked at."""

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
        self.columns = ColumnMap(config)

    def map(self, record: Record) -> tuple[ProductRow | None, list[Rejection]]:
        """Return the product, or ``None`` where the record is no product, and all that was wrong with it."""
        reader = _RowReader(record, self._config)
        if record.error:
            return reader.refuse("bad_row", record.error)
        found, others = self.columns.pick(record.values)
        try:
            identifier = parse_identifier(found.get("id"))
        except ValueProblemError as problem:
            return reader.refuse(problem.reason, f"The id {problem.message}.", found.get("id"))
        if identifier is None:
            return reader.refuse("missing_id", "The row has no id.")
        reader.id = identifier
        if record.withheld:
            return reader.refuse("withheld", record.withheld)
        images = reader.images(found)
        values = reader.typed(found, images)
        if not values.get("title") and not images:
            return reader.refuse("no_content", "The product has neither a title nor an image.")
        return ProductRow(
            record.row, identifier, values, reader.attributes(others), images
        ), reader.rejections


class _RowReader:
    """Reads the values of one record and notes what is wrong with them."""

    def __init__(self, record: Record, config: CatalogConfig) -> None:
        self._record, self._config = record, config
        self.id: str | None = None
        self.rejections: list[Rejection] = []

    def refuse(self, reason: str, sentence: str, value: Any = None) -> tuple[None, list[Rejection]]:
        """Say that the record is no product; what was wrong with its values is of no interest then."""
        column, shown = (None, None) if value is None else ("id", shorten(value))
        name = f" ({self.id})" if self.id else ""
        message = f"Row {self._record.row}{name}: {sentence}"
        return None, [Rejection(self._record.row, self.id, column, shown, reason, message, "product")]

    def reject(self, column: str, value: Any, problem: ValueProblemError) -> None:
        shown = shorten(value)
        message = f"Row {self._record.row} ({self.id}): {column} {problem.message}; found {shown!r}."
        self.rejections.append(
            Rejection(self._record.row, self.id, column, shown, problem.reason, message, "value")
        )

    def typed(self, found: Mapping[str, Any], images: Sequence[ImageLink]) -> dict[str, Any]:
        """Return the clean values of every product column that has one."""
        values: dict[str, Any] = {name: self._text(name, found.get(name)) for name in TEXT_COLUMNS}
        for name in ("link", "mpn", "item_group_id"):
            values[name] = self._parsed(name, found.get(name), parse_text)
        values["gtin"] = self._parsed("gtin", found.get("gtin"), parse_gtin)
        values["availability"] = self._parsed("availability", found.get("availability"), parse_availability)
        values["image_link"] = next((image.link for image in images if image.column == "image_link"), None)
        updated_at = self._parsed("updated_at", found.get("updated_at"), parse_time)
        values["updated_at"] = updated_at.isoformat() if updated_at else None
        values |= self._prices(found)
        return {name: value for name, value in values.items() if value is not None}

    def _prices(self, found: Mapping[str, Any]) -> dict[str, Any]:
        named = self._parsed("currency", found.get("currency"), parse_currency) or self._config.currency

        def parse(value: Any) -> Money | None:
            return parse_price(value, default_currency=named)

        price, sale = (self._parsed(name, found.get(name), parse) for name in ("price", "sale_price"))
        if price and sale and price.currency != sale.currency:
            problem = ValueProblemError(
                "bad_price", f"is in {sale.currency} and the price in {price.currency}"
            )
            self.reject("sale_price", found.get("sale_price"), problem)
            sale = None
        money = price or sale
        return {
            "price": price.amount if price else None,
            "sale_price": sale.amount if sale else None,
            "currency": money.currency if money else None,
        }

    def attributes(self, found: Mapping[str, Any]) -> dict[str, str]:
        """Return the custom attributes as text, by name."""
        texts = {shorten(name): self._text(name, value) for name, value in found.items()}
        return {name: text for name, text in sorted(texts.items()) if text is not None}

    def images(self, found: Mapping[str, Any]) -> list[ImageLink]:
        """Return the images asked for, the main one first."""
        further = split_values(found.get("additional_image_link"), self._config.separators)
        links = [("image_link", link) for link in single_values(found.get("image_link"))]
        links += [("additional_image_link", link) for link in further]
        parsed = ((column, self._parsed(column, link, parse_text)) for column, link in links)
        return [ImageLink(column, link) for column, link in parsed if link is not None]

    def _text(self, column: str, value: Any) -> str | None:
        written: str = self._parsed(column, [value], parse_joined) or ""
        limit = self._config.max_text_chars
        text = written[: _MARKUP_PER_TEXT * limit]
        if self._config.strip_html:
            text = plain_text(text)
        if len(text) > limit or len(written) > _MARKUP_PER_TEXT * limit:
            message = f"has {len(written):,} characters and was cut to {limit:,}"
            self.reject(column, text, ValueProblemError("text_cut", message))
        return text[:limit] or None

    def _parsed(self, column: str, value: Any, parse: Any) -> Any:
        if isinstance(value, list | tuple):
            value = value[0] if value else None
        try:
            return parse(value)
        except ValueProblemError as problem:
            self.reject(column, value, problem)
            return None


def content_hash(values: Mapping[str, Any], attributes: Mapping[str, str], images: Sequence[bytes]) -> bytes:
    """Return 16 bytes that change when what the product is changes: texts, attributes, images."""
    texts = {name: values[name] for name in TEXT_COLUMNS if values.get(name) is not None}
    return _digest([texts, dict(attributes), [image.hex() for image in images]])


def payload_hash(values: Mapping[str, Any]) -> bytes:
    """Return 16 bytes that change when what is shown or filtered on changes."""
    return _digest({name: values[name] for name in PAYLOAD_COLUMNS if values.get(name) is not None})


def _digest(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
