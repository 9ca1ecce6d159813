"""Which products are shown, and their neighbours."""

import numpy as np
import pytest

from recsys.evaluation.examples import GAINED, LOST, TYPICAL, choose, neighbours
from recsys.evaluation.scores import PoolVectors
from recsys.workspace.embeddings import Vectors
from tests.evaluation.test_tasks import products


def test_the_worst_and_best_changed_are_shown_and_the_rest_spreads_over_categories() -> None:
    ids = [f"p{i}" for i in range(100)]
    labels = ["Bag" if i < 90 else "Shoe" if i < 95 else "Lamp" for i in range(100)]
    change = np.zeros(100)
    change[[7, 8, 9]] = [-0.9, -0.8, -0.7]
    change[[20, 21]] = [0.5, 0.6]
    chosen = choose(ids, labels, change, 12)
    assert [i for i, why in chosen if why == LOST] == [7, 8, 9]
    assert [i for i, why in chosen if why == GAINED] == [21, 20]
    typical = [labels[i] for i, why in chosen if why == TYPICAL]
    assert len(chosen) == len({i for i, _ in chosen}) == 12
    assert sorted(typical) == ["Bag"] * 3 + ["Lamp"] * 2 + ["Shoe"] * 2
    assert choose(ids, labels, change, 12) == chosen


@pytest.mark.parametrize(("ids", "count", "found"), [("ab", 12, 2), ("", 12, 0), ("a", 0, 0)])
def test_there_may_be_fewer_products_than_wanted(ids: str, count: int, found: int) -> None:
    assert len(choose(list(ids), [None] * len(ids), np.zeros(len(ids)), count)) == found


def test_neighbours_say_what_each_half_contributes() -> None:
    rng = np.random.default_rng(0)
    image, text = (rng.standard_normal((6, 4)).astype(np.float32) for _ in range(2))
    image, text = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (image, text))
    everyone = np.ones(6, bool)
    shop = products(*[{} for _ in range(9)])
    pool = PoolVectors(np.array([0, 2, 3, 5, 7, 8]), Vectors(image, text, everyone, everyone))
    queries = np.array([3, 8])
    lists = neighbours(pool, shop, queries, image_weight=0.25, count=3, relevant={3: {0, 7}})
    for query, found in zip((2, 5), lists, strict=True):
        full = 0.25 * image @ image[query] + 0.75 * text @ text[query]
        full[query] = -2
        best = np.argsort(-full)[:3]
        assert [n["id"] for n in found] == [f"p{pool.positions[b]}" for b in best]
        for n, b in zip(found, best, strict=True):
            assert n["score"] == pytest.approx(full[b], abs=1e-6)
            assert n["score"] == pytest.approx(0.25 * n["image_score"] + 0.75 * n["text_score"])
    assert [n["relevant"] for n in lists[0]] == [n["id"] in ("p0", "p7") for n in lists[0]]
    assert not any(n["relevant"] for n in lists[1])
