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
    assert list(read_pairs(path)) == [("007", "b", 0.5, False), ("b", "c", -1.0, False)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("left_id,right_id\n1,2\n", "no column label"),
        ("left_id,right_id,label\n1,,1\n", "row 1: an id is empty"),
        ("left_id,right_id,label\n1,2,1\n1,2,maybe\n", "row 2: the label is 'maybe'"),
        ("left_id,right_id,label,weight\n1,2,1,-3\n", "row 1: the weight is '-3'"),
        ("left_id,right_id,label,weight\n1,2,1,nan\n", "row 1: the weight is 'nan'"),
        ("left_id,right_id,label\n1,2\n", "cannot be read"),
    ],
)
def test_a_bad_file_names_its_row(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        list(read_pairs(path))
    with pytest.raises(InputError, match="of no kind"):
        list(read_pairs(tmp_path / "pairs.pkl"))


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(read_pairs(tmp_path / "none.parquet"))
    with pytest.raises(InputError) as caught:
        digest(tmp_path / "none.csv", "training.pairs.path")
    assert "training.pairs.path" in caught.value.fix


def test_a_duplicate_is_similar_and_more(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("left_id,right_id,label\na,b,Duplicate\n")
    (pair,) = read_pairs(path)
    assert (pair.weight, pair.duplicate) == (1.0, True)
