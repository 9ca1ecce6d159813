"""Files of judged pairs, in every form they may come in."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import InputError
from recsys.workspace.pairs import digest, read_pairs


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "jsonl", "parquet"])
def test_files_of_judged_pairs(tmp_path: Path, kind: str) -> None:
    rows = [
        {"left_id": "007", "right_id": "b", "label": "similar", "weight": 0.5},
        {"left_id": "b", "right_id": "c", "label": "not_similar", "weight": 1.0},
        {"left_id": "a", "right_id": "b", "label": "Duplicate", "weight": 2.0},
    ]
    path = tmp_path / f"pairs.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        mark = "\t" if kind == "tsv" else ","
        text = "\n".join(mark.join(map(str, r)) for r in [rows[0].keys(), *(r.values() for r in rows)])
        path.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    expected = [("007", "b", 0.5, False), ("b", "c", -1.0, False), ("a", "b", 2.0, True)]
    assert list(read_pairs(path)) == expected


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("pairs.csv", "left_id,right_id\n1,2\n", "no column label"),
        ("pairs.csv", "left_id,right_id,label\n1,,1\n", "row 1: an id is empty"),
        ("pairs.csv", "left_id,right_id,label\n1,2,1\n1,2,maybe\n", "row 2: the label is 'maybe'"),
        ("pairs.csv", "left_id,right_id,label,weight\n1,2,1,-3\n", "row 1: the weight is '-3'"),
        ("pairs.csv", "left_id,right_id,label,weight\n1,2,1,nan\n", "row 1: the weight is 'nan'"),
        ("pairs.csv", "left_id,right_id,label\n1,2\n", "cannot be read"),
        ("pairs.parquet", "no table", "cannot be read"),
        ("pairs.pkl", "", "of no kind"),
    ],
)
def test_a_bad_file_names_its_row(tmp_path: Path, name: str, text: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        list(read_pairs(path))


def test_an_absent_file_is_named_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        digest(tmp_path / "none.csv", "training.pairs.path")
    assert "training.pairs.path" in caught.value.fix
