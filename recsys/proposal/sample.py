"""The first rows of a feed, as its reader gives them, and what kind of file it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recsys.catalog.readers import FeedRecord
from recsys.catalog.readers.feed import compression_of, detect_format, local_copy, read_feed
from recsys.config import CatalogConfig
from recsys.errors import InputError

_TEXT_FORMATS = ("csv", "tsv", "shopify", "jsonl")
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, kw_only=True)
class FeedSample:
    """What the first rows of a feed hold."""

    format: str
    compression: str | None
    encoding: str
    num_bytes: int
    records: list[FeedRecord]
    """Those that are read, broken and withheld ones too."""
    num_rows: int | None
    """Of the whole feed; ``None`` if it goes on after the sample and does not say how far."""

    @property
    def values(self) -> list[Mapping[str, Any]]:
        """The values of the records that can be read and are for sale."""
        return [r.values for r in self.records if not r.error and not r.withheld]

    @property
    def is_whole(self) -> bool:
        """Whether the sample is the whole feed."""
        return self.num_rows == len(self.records)


def read_sample(feed: str, folder: Path, *, max_rows: int) -> FeedSample:
    """Read at most ``max_rows`` rows of ``feed``; one that is not local is fetched into ``folder``.

    A text feed that is not UTF-8 is read as UTF-16 if it begins with a byte order mark, otherwise as
    Windows-1252. Raises :class:`InputError` if there is nothing to read, and what the readers raise.
    """
    config = CatalogConfig()
    path = local_copy(feed, folder, max_bytes=config.max_feed_bytes)
    sample = _read(path, config, folder, max_rows)
    if sample.format in _TEXT_FORMATS and any(_is_damaged(record) for record in sample.records):
        with path.open("rb") as file:
            marked = file.read(2) in _BYTE_ORDER_MARKS
        config = config.model_copy(update={"encoding": "utf-16" if marked else "cp1252"})
        sample = _read(path, config, folder, max_rows)
    if not sample.values:
        error = next((record.error or record.withheld for record in sample.records), None)
        raise InputError(
            f"The feed has {len(sample.records):,} rows as {sample.format}, and none can be used"
            + (f"; the first: {error}" if error else "."),
            fix="Give the path or URL of a product feed: CSV, TSV, XML, JSON Lines, Parquet or Arrow.",
        )
    return sample


def _read(path: Path, config: CatalogConfig, folder: Path, max_rows: int) -> FeedSample:
    kind = detect_format(path, config)
    compression = compression_of(path)
    records = list(islice(read_feed(path, config, folder), max_rows + 1))
    num_rows: int | None = len(records) if len(records) <= max_rows else None
    if num_rows is None and kind == "parquet" and not compression:
        num_rows = pq.ParquetFile(path).metadata.num_rows
    sample = FeedSample(
        format=kind,
        compression=compression,
        encoding=config.encoding,
        num_bytes=path.stat().st_size,
        records=records,
        num_rows=num_rows,
    )
    return replace(sample, records=records[:max_rows])


def _is_damaged(record: FeedRecord) -> bool:
    """Whether a record holds bytes that are not in the feed's encoding: read_lines makes these of them."""
    texts = (text for pair in record.values.items() for text in pair if isinstance(text, str))
    return any("\udc80" <= character <= "\udcff" for text in texts for character in text)
