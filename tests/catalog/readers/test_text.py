"""CSV, TSV and JSON Lines: every record once, broken ones said so, broken feeds refused."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.catalog.readers import FeedRecord
from recsys.catalog.readers.text import read_delimited, read_jsonl, read_lines
from recsys.errors import InputError

FIELD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


def _csv(text: str, delimiter: str | None = None) -> list[FeedRecord]:
    stream = io.BytesIO(text.encode())
    rows = read_lines(stream, encoding="utf-8", max_row_bytes=10_000)
    return list(read_delimited(rows, delimiter=delimiter, max_row_chars=10_000))


@given(st.lists(st.tuples(FIELD, FIELD).filter(lambda row: any(row)), max_size=8), st.sampled_from(",;\t|"))
def test_csv_reads_what_csv_wrote(rows: list[tuple[str, str]], delimiter: str) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter)
    writer.writerows([("id", "title"), *rows])
    read = _csv(buffer.getvalue())
    assert [(r.row, *r.values.values()) for r in read] == [(i + 1, *row) for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("", []),
        ("\n\n", []),
        ("id,title\n", []),
        ('\ufeffid,title\r\n1,"two\r\nlines"\r\n\r\n', [(1, "1", False)]),
        (
            "id,title\n1,Mug\n2,Mug,extra\n3\n4,Cup\n",
            [(1, "1", False), (2, "2", True), (3, "3", True), (4, "4", False)],
        ),
        (
            '{"id": 1}\n\n{oops\n[1]\n{"id": 2}',
            [(1, 1, False), (2, None, True), (3, None, True), (4, 2, False)],
        ),
        ('{"id": 2}\n' + "[" * 100_000, [(1, 2, False), (2, None, True)]),
    ],
    ids=["empty", "blank", "header", "quotes", "fields", "json lines", "nested json"],
)
def test_every_record_comes_once_and_broken_ones_say_so(
    text: str, records: list[tuple[int, Any, bool]]
) -> None:
    read = read_jsonl(text.splitlines(keepends=True)) if text.startswith("{") else _csv(text)
    assert [(r.row, r.values.get("id"), bool(r.error)) for r in read] == records


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('id,title\n1,"Mug\n2,Cup\n', "row 1"),
        ('id,title\n1,"Mug\n' + "2,Cup\n" * 5000, "quote"),
        ("id,title,id\n1,Mug,2\n", "'id' more than once"),
        ("id,title\n1," + "a" * 20_000, "longer than 10,000"),
        ('[{"id": 1},\n{"id": 2}]', "one JSON array"),
    ],
    ids=["quote", "long quote", "header", "long line", "array"],
)
def test_a_feed_that_cannot_be_trusted_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        list(read_jsonl(text.splitlines()) if text.startswith("[") else _csv(text))
