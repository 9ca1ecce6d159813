"""Sources of similarity become label levels and judged pairs of training products."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from recsys.config.training import TrainingConfig
from recsys.training.supervision import build, label_codes
from recsys.workspace.product import PRODUCTS

SPLITS = ["train", "train", "train", "train", "holdout"]


def table() -> pa.Table:
    rows = [
        {
            "id": "1",
            "item_group_id": "g",
            "product_type": "shoe",
            "attributes": [("season", "f"), ("alike", "3|h")],
        },
        {"id": "2", "item_group_id": "g", "product_type": "shoe", "attributes": [("season", "m")]},
        {"id": "3", "item_group_id": "h", "product_type": " ", "attributes": [("alike", "5 | 3|nobody")]},
        {"id": "4", "item_group_id": None, "product_type": "shoe", "attributes": [("season", "f")]},
        {"id": "5", "item_group_id": "h", "product_type": "hat", "attributes": []},
    ]
    rest: dict[str, Any] = {"content_hash": bytes(16), "payload_hash": bytes(16), "images": []}
    return pa.Table.from_pylist([dict.fromkeys(PRODUCTS.names) | row | rest for row in rows], schema=PRODUCTS)


def supervise(**training: Any) -> Any:
    return build(table(), SPLITS, TrainingConfig.model_validate(training), str)


def test_levels_are_columns_attributes_and_combinations() -> None:
    known = supervise(
        labels={"both": {"columns": ["product_type", "season"]}, "type": {"columns": ["product_type"]}}
    )
    assert known.labels["product"].tolist() == [0, 1, 2, 3, 4]
    group = known.labels["group"]
    assert group[0] == group[1]
    assert len(set(group.tolist())) == 3
    assert group[2] == group[4]
    assert known.labels["both"].tolist() == [0, 1, -1, 0, -1]
    assert known.labels["type"].tolist() == [1, 1, -1, 1, 0]
    assert known.counts["labels"]["type"] == {"products": 3, "classes": 1, "classes_with_positives": 1}


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", None])), min_size=1))
def test_equal_codes_are_equal_values(rows: list[tuple[str | None, str | None]]) -> None:
    codes = label_codes(list(zip(*rows, strict=True)))
    for row, code in zip(rows, codes, strict=True):
        assert (code == -1) == (None in row)
    for i, j in np.ndindex(len(rows), len(rows)):
        if codes[i] >= 0:
            assert (codes[i] == codes[j]) == (rows[i] == rows[j])


def test_links_name_ids_and_groups_of_training_products() -> None:
    known = supervise(links=[{"column": "alike", "weight": 2}])
    pairs = [tuple(map(float, p)) for p in zip(*known.pairs, strict=True)]
    assert pairs == [(0.0, 2.0, 4.0)]  # named twice: by its id and by its group; 5 is held out, 3 is itself
    assert known.counts["pairs"]["outside_training"] == 2
    assert supervise(links=[{"column": "alike", "match": ["item_group_id"]}]).pairs.weight.tolist() == [1.0]


def test_repeated_pairs_add_up_and_contradictions_cancel(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "left_id,right_id,label,weight\n1,2,1,2\n2,1,similar,1\n3,4,0,\n1,9,1,1\n1,5,1,1\n"
    )
    (tmp_path / "b.jsonl").write_text('{"left_id": "4", "right_id": "3", "label": "duplicate"}\n')
    known = supervise(pairs=[{"path": str(tmp_path / "a.csv")}, {"path": str(tmp_path / "b.jsonl")}])
    assert [tuple(map(float, p)) for p in zip(*known.pairs, strict=True)] == [(0.0, 1.0, 3.0)]
    expected = {"positive": 1, "negative": 0, "of_unknown_products": 1, "outside_training": 1}
    assert known.counts["pairs"] == expected
