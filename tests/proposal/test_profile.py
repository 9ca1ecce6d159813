"""A catalog's own split, and its languages."""

import pytest

from recsys.proposal.profile import find_languages, find_split


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


def test_languages_are_told_from_many_titles() -> None:
    german = [
        "Damen Laufschuhe mit Dämpfung, rot",
        "Küchenmesser aus Edelstahl",
        "Gartenstuhl, klappbar",
    ] * 17
    english = ["Blue running shoes for women", "Stainless steel kitchen knife", "Folding garden chair"] * 34
    found = find_languages(english[:100] + german[:50])
    assert list(found) == ["en", "de"]
    assert found["en"] == pytest.approx(2 / 3)
    assert list(find_languages(["靴 赤 レディース", "包丁 ステンレス"])) == ["ja"]
    assert find_languages([]) == {}
