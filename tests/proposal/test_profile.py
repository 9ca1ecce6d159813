"""A catalog's own split."""

import pytest

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
