"""CSV and TSV with a header line.

Does not know: what the columns mean.
"""

import csv
from collections.abc import Iterable, Iterator

from recsys.catalog.readers.record import Record
from recsys.errors import InputError

_DELIMITERS = (",", "\t", ";", "|")


def read_delimited(lines: Iterable[str], *, delimiter: str | None, max_row_chars: int) -> Iterator[Record]:
    """Yield the records of CSV ``lines``; ``delimiter=None`` finds it from the header line.

    A row with another number of fields than the header is a broken record: its values would be in the
    wrong columns. Raises :class:`InputError` where no row after it can be trusted.
    """
    iterator = iter(lines)
    first = next((line for line in iterator if line.strip()), None)
    if first is None:
        return
    separator = delimiter or max(_DELIMITERS, key=first.count)
    csv.field_size_limit(max_row_chars)
    rows = csv.reader(_bounded(_chain(first, iterator), max_row_chars), delimiter=separator, strict=True)
    header = [name.strip() for name in _next(rows, 0) or []]
    _check_header(header)
    number = 0
    while (row := _next(rows, number + 1)) is not None:
        if not row or not any(row):
            continue
        number += 1
        if len(row) != len(header):
            yield Record(number, dict(zip(header, row, strict=False)), _miscounted(len(row), len(header)))
        else:
            yield Record(number, dict(zip(header, row, strict=True)))


def _miscounted(found: int, expected: int) -> str:
    return (
        f"The row has {found} fields and the header {expected}: a quote or separator is missing or too many."
    )


def _next(rows: Iterator[list[str]], number: int) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        raise InputError(
            f"The feed is not valid CSV from row {number} on: {error}.",
            fix="Correct the quotes there, or name the right catalog.format and catalog.delimiter.",
        ) from None


def _check_header(header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(
            f"The feed's header names {', '.join(map(repr, twice))} more than once.",
            fix="Give every column a name of its own.",
        )


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _bounded(lines: Iterator[str], limit: int) -> Iterator[str]:
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
