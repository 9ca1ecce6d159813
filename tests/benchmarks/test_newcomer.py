"""The judge of what never came in: which classes those are, and what finds them."""

from collections import Counter

import numpy as np

from benchmarks.newcomer import CHEAP_TRICK, halved, judge_classes
from recsys.evaluation.baselines import bags_of_words
from recsys.workspace.embeddings import Vectors


def test_halves_share_no_class_and_are_about_as_large() -> None:
    sizes = Counter({"shirts": 90, "shoes": 80, "bags": 75, "belts": 60, "caps": 5, "ties": 4})
    first, second = halved(sizes)
    assert first == {"shirts", "belts", "caps"}
    assert second == {"shoes", "bags", "ties"}


def test_classes_are_found_by_what_products_have() -> None:
    names = ["a", "b", "a", "b", "c", "a"]
    right = np.eye(3, dtype=np.float32)[[0, 1, 0, 1, 2, 0]]
    wrong = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2, 2]]
    has, none = np.ones(6, bool), np.zeros(6, bool)
    found = judge_classes(
        {name: Vectors(image=v, text=v, has_image=has, has_text=none)
         for name, v in {"untouched": wrong, "chosen": right}.items()},
        names,
    )  # fmt: skip
    assert (found["products"], found["classes"]) == (6, 3)
    assert "text map_at_r" not in found
    both = {
        "untouched": Vectors(image=wrong, text=wrong, has_image=has, has_text=has),
        CHEAP_TRICK: Vectors(image=right, text=bags_of_words(names), has_image=has, has_text=has),
    }
    assert judge_classes(both, names)["text map_at_r"][CHEAP_TRICK]["value"] == 1
    for metric in ("image map_at_r", "image recall_at_1"):
        assert found[metric]["chosen"]["value"] == 1  # the one product of c has nothing to find
        gain = found[metric]["chosen - untouched"]
        assert 0 < gain["low"] <= gain["value"] <= 1
