"""What every reader yields, and how text arrives at the readers.

Does not know: any format.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from recsys.errors import InputError


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a feed, as its format gave it."""

    row: int
    """1-based, header not counted."""
    values: Mapping[str, Any]
    """Source column → text, number, boolean, time, list or mapping; empty where the record is broken."""
    error: str | None = None
    """Why the record cannot be read; the others of the feed can."""
    withheld: str | None = None
    """Why the record is not for sale, where its format says so: a draft, an archived product."""


class BoundedReader(io.RawIOBase):
    """A stream that ends a feed that decompresses into more than ``limit`` bytes."""

    def __init__(self, source: BinaryIO, limit: int) -> None:
        super().__init__()
        self._source, self._limit, self.bytes_read = source, limit, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``; raises :class:`InputError` beyond the limit or where the feed is cut off."""
        data = self._source.read(len(buffer))
        self.bytes_read += len(data)
        if self.bytes_read > self._limit:
            raise InputError(
                f"The feed has more than {self._limit:,} bytes after decompression.",
                fix="Raise catalog.max_feed_bytes if that is right; otherwise look at the feed.",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the source too."""
        self._source.close()
        super().close()


def lines(stream: BinaryIO, *, encoding: str, max_row_bytes: int) -> Iterator[str]:
    """Yield text lines with their line ends; bytes that are not ``encoding`` become lone surrogates.

    Lone surrogates let the row go on and be told apart later, column by column.
    """
    text = io.TextIOWrapper(stream, encoding=_without_mark(encoding), errors="surrogateescape", newline="")
    number = 0
    while line := text.readline(max_row_bytes + 1):
        number += 1
        if len(line) > max_row_bytes:
            raise InputError(
                f"Line {number} of the feed is longer than {max_row_bytes:,} characters.",
                fix="Check catalog.format; raise catalog.max_row_bytes if such rows are right.",
            )
        yield line


def _without_mark(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
