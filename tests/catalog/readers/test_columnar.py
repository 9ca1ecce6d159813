"""A value that Python cannot hold costs that value, not the night."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.catalog.readers import UnreadableValue
from recsys.catalog.readers.columnar import read_arrow, read_parquet
from recsys.catalog.rows import RowMapper
from recsys.config import CatalogConfig

BAD_TEXT = pa.Array.from_buffers(
    pa.string(),
    2,
    [None, pa.py_buffer(np.array([0, 4, 6], np.int32).tobytes()), pa.py_buffer(b"good\xff\xfe")],
)


def records(path: Path, values: pa.Array, column: str = "updated_at") -> list[Any]:
    table = pa.table({"id": ["a", "b"], "title": ["A", "B"]}).append_column(column, values)
    pq.write_table(table, path / "feed.parquet")
    with pa.OSFile(str(path / "feed.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    found = [list(read_parquet(path / "feed.parquet")), list(read_arrow(path / "feed.arrow"))]
    assert [repr(r) for r in found[0]] == [repr(r) for r in found[1]]
    return found[0]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2**62], pa.timestamp("us")),
        pa.array([1, 2**61], pa.timestamp("ms", "UTC")),
        pa.array([1, 2**30], pa.date32()),
        BAD_TEXT,
    ],
    ids=["too late", "too late, with a zone", "a date too late", "bad UTF-8"],
)
def test_a_value_that_python_cannot_hold_is_rejected_by_itself(tmp_path: Path, values: pa.Array) -> None:
    first, second = records(tmp_path, values)
    assert not isinstance(first.values["updated_at"], UnreadableValue)
    product, rejections = RowMapper(CatalogConfig()).map(second)
    assert product is not None
    assert product.values["title"] == "B"
    assert [(r.column, r.reason) for r in rejections] == [("updated_at", "unreadable_value")]


@pytest.mark.parametrize("column", ["id", "title", "image_link", "additional_image_link", "price", "fit"])
def test_it_is_so_in_every_kind_of_column(tmp_path: Path, column: str) -> None:
    table = pa.table({"id": ["a", "b"], "title": ["A", "B"], "image_link": ["1.jpg", "2.jpg"]})
    table = table.drop_columns([column]) if column in table.column_names else table
    pq.write_table(table.append_column(column, BAD_TEXT), tmp_path / "feed.parquet")
    mapper = RowMapper(CatalogConfig(attributes="rest"))
    _, rejections = mapper.map(list(read_parquet(tmp_path / "feed.parquet"))[1])
    assert [r.reason for r in rejections] == ["unreadable_value"]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.time64("ns"), pa.duration("ns")]
)
def test_nanoseconds_are_cut_to_microseconds(tmp_path: Path, kind: pa.DataType) -> None:
    values = [record.values["z"] for record in records(tmp_path, pa.array([1999, 3_000_000], kind), "z")]
    assert [
        getattr(value, "microsecond", None) or getattr(value, "microseconds", None) for value in values
    ] == [
        1,
        3000,
    ]
