"""Feed readers: one module per family of formats, each yields records in feed order.

    feed        finds, fetches and decompresses the feed, and picks the reader
    text        CSV, TSV and JSON Lines
    shopify     Shopify's product CSV: the several rows of one product become one record per variant
    xml         Google Merchant's RSS and Atom
    columnar    Parquet and Arrow

Do not know: the column map, types, products.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class UnreadableValue:
    """A value that its format cannot give, in a record whose others it can."""

    problem: str


@dataclass(frozen=True, slots=True)
class FeedRecord:
    """One record of a feed, as its format gave it."""

    row: int
    """1-based, header not counted."""
    values: Mapping[str, Any]
    """Source column → text, number, boolean, time, list or mapping, or :class:`UnreadableValue`; empty if the
    record is broken."""
    error: str | None = None
    """Why the record cannot be read; the others of the feed can."""
    withheld: str | None = None
    """Why the record is not for sale, if its format says so: a draft, an archived product."""
