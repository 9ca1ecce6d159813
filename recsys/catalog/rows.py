"""One feed record to one product row: the column map, the type checks, the hashes."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys.catalog.columns import ColumnMap, parse_joined, split_values
from recsys.catalog.readers import FeedRecord
from recsys.catalog.values import (
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
from recsys.errors import RecsysError
from recsys.workspace.product import PAYLOAD_COLUMNS, TEXT_COLUMNS

logger = logging.getLogger(__name__)

_PARSERS: dict[str, Callable[[Any], Any]] = {
    "link": parse_text, "mpn": parse_text, "item_group_id": parse_text, "gtin": parse_gtin,
    "availability": parse_availability, "updated_at": parse_time,
}  # fmt: skip
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


@dataclass(slots=True)
class ProductRow:
    """A product as its record says it, before its images are checked."""

    row: int
    id: str
    values: dict[str, Any]
    """Product column → clean value; ``updated_at`` as ISO 8601."""
    attributes: dict[str, str]
    images: list[tuple[str, str]] = field(default_factory=list)
    """``(column, link)`` of each image, the main one first."""


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

    def map(self, record: FeedRecord) -> tuple[ProductRow | None, list[Rejection]]:
        """Return the product and what is wrong with its values; or ``None`` and why it is no product."""
        try:
            return self._map(record)
        except RecursionError:
            return _refused(record, None, "bad_row", "The row is nested too deeply.")
        except RecsysError:  # the feed as a whole is wrong
            raise
        except Exception as error:
            logger.warning("row %d cannot be read", record.row, exc_info=True)
            return _refused(record, None, "bad_row", f"The row cannot be read: {error!r:.200}.")

    def _map(self, record: FeedRecord) -> tuple[ProductRow | None, list[Rejection]]:
        if record.error:
            return _refused(record, None, "bad_row", record.error)
        product, attributes = self.columns.pick(record.values)
        try:
            id = parse_identifier(product.get("id"))
        except ValueProblemError as problem:
            return _refused(record, None, problem.reason, f"The id {problem.message}.", product["id"])
        if id is None:
            return _refused(record, None, "missing_id", "The row has no id.")
        if record.withheld:
            return _refused(record, id, "withheld", record.withheld)
        reader = _ValueReader(record.row, id, self._config)
        images = reader.images(product)
        values = reader.values(product, images)
        if not values.get("title") and not images:
            return _refused(record, id, "no_content", "The product has neither a title nor an image.")
        row = ProductRow(record.row, id, values, reader.attributes(attributes), images)
        return row, reader.rejections


def _refused(
    record: FeedRecord, id: str | None, reason: str, sentence: str, value: Any = None
) -> tuple[None, list[Rejection]]:
    """Return a record that is no product; what is wrong with its values does not matter then."""
    column, shown = (None, None) if value is None else ("id", shorten(value))
    message = f"Row {record.row}{f' ({id})' if id else ''}: {sentence}"
    return None, [Rejection(record.row, id, column, shown, reason, message, "product")]


class _ValueReader:
    """Reads the values of one record and collects what is wrong with them."""

    def __init__(self, row: int, id: str, config: CatalogConfig) -> None:
        self._row, self._id, self._config = row, id, config
        self.rejections: list[Rejection] = []

    def images(self, found: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return ``(column, link)`` of each image, the main one first."""
        further = split_values(found.get("additional_image_link"), self._config.separators)
        links = [("image_link", link) for link in split_values(found.get("image_link"), "")]
        links += [("additional_image_link", link) for link in further]
        parsed = ((column, self._parse(column, link, parse_text)) for column, link in links)
        return [(column, link) for column, link in parsed if link is not None]

    def values(self, found: Mapping[str, Any], images: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Return the clean values of every product column that has one."""
        values: dict[str, Any] = {name: self._text(name, found.get(name)) for name in TEXT_COLUMNS}
        values |= {name: self._parse(name, found.get(name), parse) for name, parse in _PARSERS.items()}
        values["updated_at"] = values["updated_at"] and values["updated_at"].isoformat()
        values["image_link"] = next((link for column, link in images if column == "image_link"), None)
        values |= self._prices(found)
        return {name: value for name, value in values.items() if value is not None}

    def _prices(self, found: Mapping[str, Any]) -> dict[str, Any]:
        currency = self._parse("currency", found.get("currency"), parse_currency) or self._config.currency
        price, sale = (
            self._parse(name, found.get(name), lambda value: parse_price(value, default_currency=currency))
            for name in ("price", "sale_price")
        )
        if price and sale and price.currency != sale.currency:
            message = f"is in {sale.currency} and the price in {price.currency}"
            self._reject("sale_price", found.get("sale_price"), ValueProblemError("bad_price", message))
            sale = None
        money = price or sale
        return {
            "price": price and price.amount,
            "sale_price": sale and sale.amount,
            "currency": money and money.currency,
        }

    def attributes(self, found: Mapping[str, Any]) -> dict[str, str]:
        """Return the custom attributes as text, by name."""
        texts = {shorten(name): self._text(name, value) for name, value in found.items()}
        return {name: text for name, text in sorted(texts.items()) if text is not None}

    def _text(self, column: str, value: Any) -> str | None:
        written: str = self._parse(column, [value], parse_joined) or ""
        limit = self._config.max_text_chars
        text = written[: _MARKUP_PER_TEXT * limit]
        if self._config.strip_html:
            text = plain_text(text)
        if len(text) > limit or len(written) > _MARKUP_PER_TEXT * limit:
            message = f"has {len(written):,} characters and was cut to {limit:,}"
            self._reject(column, text, ValueProblemError("text_cut", message))
        return text[:limit] or None

    def _parse(self, column: str, value: Any, parse: Callable[[Any], Any]) -> Any:
        if isinstance(value, list | tuple):
            value = value[0] if value else None
        try:
            return parse(value)
        except ValueProblemError as problem:
            self._reject(column, value, problem)
            return None

    def _reject(self, column: str, value: Any, problem: ValueProblemError) -> None:
        shown = shorten(value)
        message = f"Row {self._row} ({self._id}): {column} {problem.message}; found {shown!r}."
        self.rejections.append(
            Rejection(self._row, self._id, column, shown, problem.reason, message, "value")
        )


def content_hash(values: Mapping[str, Any], attributes: Mapping[str, str], images: Sequence[bytes]) -> bytes:
    """Return 16 bytes that change when what the product is changes: texts, attributes, images."""
    texts = {name: values[name] for name in TEXT_COLUMNS if values.get(name) is not None}
    return _hash([texts, dict(attributes), [image.hex() for image in images]])


def payload_hash(values: Mapping[str, Any]) -> bytes:
    """Return 16 bytes that change when what is shown or filtered on changes."""
    return _hash({name: values[name] for name in PAYLOAD_COLUMNS if values.get(name) is not None})


def _hash(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
