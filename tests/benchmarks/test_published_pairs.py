"""The measures of published pairs, and that no listing of a test pair is left to train on."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from benchmarks.published_pairs import draws, hit_at_1, pair_cosines, roc_auc, score, with_published_test


def test_the_area_is_sklearns_with_ties_and_under_weights() -> None:
    rng = np.random.default_rng(0)
    values, is_match = rng.integers(0, 12, 200) / 12, rng.random(200) < 0.2
    weights = rng.integers(0, 4, (5, 200)).astype(float)
    expected = [roc_auc_score(is_match, values, sample_weight=w) for w in weights]
    assert roc_auc(values, is_match, weights) == pytest.approx(expected)
    assert np.isnan(roc_auc(values, np.zeros(200, bool), weights)).all()


def test_cosines_and_hits_are_the_same_of_sparse_vectors() -> None:
    text = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    left, right = np.array([0, 1]), np.array([1, 2])
    assert pair_cosines(text, left, right) == pytest.approx([0.6, 0.8])
    assert pair_cosines(csr_matrix(text), left, right) == pytest.approx([0.6, 0.8])
    queries, gallery = np.array([7, 9]), np.array([7, 8, 9])
    for vectors in (text, csr_matrix(text)):
        assert hit_at_1(vectors[[0, 1]] @ vectors.T, queries, gallery).tolist() == [1.0, 0.0]


def test_every_listing_of_a_test_pair_and_its_matches_are_of_the_test() -> None:
    feed = pa.table(
        {
            "product_id": ["a1", "a2", "a3", "b1", "b2", "b3"],
            "match_group": ["1", "2", "3", "1", "2", "3"],
            "split": ["train", "train", "val", "train", "train", "train"],
        }
    )
    test = [{"left_id": "a1", "right_id": "b2", "label": 0}]
    found = with_published_test(feed, test)
    assert found["split"].to_pylist() == ["test", "test", "val", "test", "test", "train"]
    assert found.column_names == feed.column_names


def test_a_resample_has_as_many_components_as_there_are() -> None:
    times = draws(7, seed=0)
    assert (times.sum(axis=1) == 7).all()
    assert (times == draws(7, seed=0)).all()


class Listings:
    """Forty listings in two shops; each of shop A has its match in shop B."""

    ids = tuple(f"{shop}{i}" for shop in "ab" for i in range(20))

    def values(self, name: str) -> list[Any]:
        return {
            "collection": ["one"] * 40,
            "source_table": ["A"] * 20 + ["B"] * 20,
            "match_group": [str(i) for i in range(20)] * 2,
        }[name]


def test_an_encoder_that_knows_the_match_scores_one_and_its_rivals_less() -> None:
    rng = np.random.default_rng(0)
    known = np.tile(np.eye(20), (2, 1))
    unknown = rng.normal(size=(40, 20))
    unknown /= np.linalg.norm(unknown, axis=1, keepdims=True)
    test = [
        {"left_id": f"a{i}", "right_id": f"b{j}", "label": int(i == j)} for i in range(10) for j in range(10)
    ]
    vectors = {"bag_of_words": csr_matrix(unknown), "chosen": known}
    found = score(test, "one", Listings(), vectors, seed=0)  # type: ignore[arg-type]
    assert (found["num_pairs"], found["num_matches"], found["num_queries"]) == (100, 10, 20)
    for measure in ("roc_auc", "hit_at_1"):
        assert found[measure]["chosen"] == {"value": 1.0, "low": 1.0, "high": 1.0}
        assert found[measure]["bag_of_words"]["value"] < 0.9
        assert found[measure]["chosen - bag_of_words"]["low"] > 0
