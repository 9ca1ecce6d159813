"""CSV, TSV and JSON Lines: every record once, broken ones said so, broken feeds refused."""

import csv
import io

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


def test_line_breaks_inside_quotes_and_a_byte_order_mark() -> None:
    [record] = _csv('\ufeffid,title\r\n1,"two\r\nlines"\r\n\r\n')
    assert record.values == {"id": "1", "title": "two\r\nlines"}


def test_a_row_with_another_number_of_fields_is_broken_and_the_others_are_not() -> None:
    records = _csv("id,title\n1,Mug\n2,Mug,extra\n3\n4,Cup\n")
    assert [bool(r.error) for r in records] == [False, True, True, False]
    assert "3 fields and the header 2" in str(records[1].error)
    assert records[3].row == 4


def test_a_quote_that_is_never_closed_stops_the_feed() -> None:
    with pytest.raises(InputError, match="row 1"):
        _csv('id,title\n1,"Mug\n2,Cup\n')
    with pytest.raises(InputError, match="quote"):
        _csv('id,title\n1,"Mug\n' + "2,Cup\n" * 5000)


def test_a_header_that_names_a_column_twice() -> None:
    with pytest.raises(InputError, match="'id' more than once"):
        _csv("id,title,id\n1,Mug,2\n")


def test_an_empty_feed_has_no_records() -> None:
    assert _csv("") == []
    assert _csv("\n\n") == []
    assert _csv("id,title\n") == []


def test_a_line_without_end_is_bounded() -> None:
    with pytest.raises(InputError, match="longer than 10,000"):
        _csv("id,title\n1," + "a" * 20_000)


def test_json_lines() -> None:
    records = list(read_jsonl(['{"id": 1, "tags": ["a"]}\n', "\n", "{oops\n", "[1]\n", '{"id": 2}']))
    assert [r.row for r in records] == [1, 2, 3, 4]
    assert records[0].values == {"id": 1, "tags": ["a"]}
    assert "not valid JSON" in str(records[1].error)
    assert "list" in str(records[2].error)
    assert records[3].error is None


def test_a_json_array_is_told_apart_from_json_lines() -> None:
    with pytest.raises(InputError, match="one JSON array"):
        list(read_jsonl(['[{"id": 1},\n', '{"id": 2}]']))


def test_deeply_nested_json_breaks_its_line_only() -> None:
    records = list(read_jsonl(["[" + "[" * 100_000, '{"id": 2}'][::-1]))
    assert [bool(r.error) for r in records] == [False, True]
