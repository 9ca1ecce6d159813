"""A catalog's own split, and what the machine has."""

from pathlib import Path

import pytest

from recsys.proposal.machine import gpu_names, memory_gib, num_cores
from recsys.proposal.profile import find_split


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"split": ["train", "test", "catalog"]}, ("split", ["train", "catalog"], [], ["test"])),
        (
            {"part": ["Train", "Test"], "fold": ["train", "dev", "test"]},
            ("fold", ["train"], ["dev"], ["test"]),
        ),
        ({"split": ["train", "val"]}, None),
        ({"split": ["catalog"], "kind": ["shirt", None]}, None),
        ({"word": ["train", "test", *"abcdefg"]}, None),
    ],
)
def test_a_split_has_values_that_name_train_and_test(
    columns: dict[str, list[str | None]], expected: tuple[str, list[str], list[str], list[str]] | None
) -> None:
    found = find_split(columns)
    assert (found and (found.column, found.train, found.validation, found.test)) == expected


def test_the_machine(tmp_path: Path) -> None:
    assert num_cores() >= 1
    assert memory_gib() > 0
    assert gpu_names(tmp_path) == []
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 1\n")
    assert gpu_names(tmp_path) == ["NVIDIA H100"]
