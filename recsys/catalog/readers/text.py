"""CSV, TSV and JSON Lines: a stream of bytes to lines, and lines to records."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

from recsys.catalog.readers import FeedRecord
from recsys.errors import InputError

_DELIMITERS = (",", "\t", ";", "|")


def read_lines(stream: BinaryIO, *, encoding: str, max_row_bytes: int) -> Iterator[str]:
    """Yield text lines with their line ends; bytes that are not ``encoding`` become lone surrogates.

    So the row goes on, and the value that holds them is rejected by itself.
    """
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"  # takes a byte order mark away
    text = io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="")
    for number, line in enumerate(iter(lambda: text.readline(max_row_bytes + 1), ""), start=1):
        if len(line) > max_row_bytes:
            raise InputError(
                f"Line {number} of the feed is longer than {max_row_bytes:,} characters.",
                fix="Check catalog.format; raise catalog.max_row_bytes if such rows are right.",
            )
        yield line


def read_delimited(
    lines: Iterable[str], *, delimiter: str | None, max_row_chars: int
) -> Iterator[FeedRecord]:
    """Yield the records of CSV ``lines``; ``delimiter=None`` finds it from the header line.

    A row with another number of fields than the header is a broken record: its values would be in the
    wrong columns. Raises :class:`InputError` if no row after it can be trusted. A feed cut off inside the
    last field of its last row cannot be told from one written without a last line end: it is accepted.
    """
    iterator = iter(lines)
    first = next((line for line in iterator if line.strip()), None)
    if first is None:
        return
    separator = delimiter or max(_DELIMITERS, key=first.count)
    csv.field_size_limit(max_row_chars)
    ending = _Ending(chain([first], iterator))
    rows = csv.reader(_bound_quotes(iter(ending), max_row_chars), delimiter=separator, strict=True)
    number = 0
    try:
        header = [name.strip() for name in next(rows, [])]
        if twice := sorted({name for name in header if header.count(name) > 1}):
            raise InputError(
                f"The feed's header names {', '.join(map(repr, twice))} more than once.",
                fix="Give every column a name of its own.",
            )
        for number, row in enumerate((row for row in rows if any(row)), start=1):
            error = None
            if len(row) < len(header) and ending.is_cut:
                raise _cut_off(number)
            if len(row) != len(header):
                error = (
                    f"The row has {len(row)} fields and the header {len(header)}: a quote or separator is "
                    "missing or too many."
                )
            yield FeedRecord(number, dict(zip(header, row, strict=False)), error)
    except csv.Error as error:
        raise InputError(
            f"The feed is not valid CSV from row {number + 1} on: {error}.",
            fix="Correct the quotes there, or name the right catalog.format and catalog.delimiter.",
        ) from None


class _Ending:
    """Passes lines on, and knows whether the last one passed has no line end, as the feed's last may."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self.is_cut = lines, False

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.is_cut = not line.endswith(("\n", "\r"))
            yield line


def _cut_off(number: int) -> InputError:
    return InputError(
        f"The feed ends in the middle of row {number}: it has no line end and lacks values.",
        fix="Export or copy the feed again, whole.",
    )


def _bound_quotes(lines: Iterator[str], limit: int) -> Iterator[str]:
    """Pass lines on, and notice a quote that is never closed before it has swallowed the feed."""
    open_chars, is_open = 0, False
    for line in lines:
        if line.count('"') % 2:
            is_open = not is_open
            open_chars = 0
        open_chars = open_chars + len(line) if is_open else 0
        if open_chars > limit:
            raise InputError(
                f"A quoted field of the feed is longer than {limit:,} characters: its quote is never closed.",
                fix="Correct the quotes of the feed; raise catalog.max_row_bytes if such fields are right.",
            )
        yield line


def read_jsonl(lines: Iterable[str]) -> Iterator[FeedRecord]:
    """Yield the records of JSON ``lines``, one object per line; any other line is a broken record."""
    for number, line in enumerate((line for line in lines if line.strip()), start=1):
        if number == 1 and line.lstrip().startswith("["):
            raise InputError(
                "The feed is one JSON array; JSON Lines was expected: one object per line.",
                fix="Export JSON Lines, for example with: jq -c '.[]' feed.json > feed.jsonl",
            )
        values, error = {}, None
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as problem:
            if line.lstrip().startswith("{") and not line.endswith("\n") and not line.rstrip().endswith("}"):
                raise _cut_off(number) from None
            error = f"The line is not valid JSON: {problem}."
        else:
            if isinstance(value, dict):
                values = value
            else:
                error = f"The line holds a {type(value).__name__}; an object was expected."
        yield FeedRecord(number, values, error)
