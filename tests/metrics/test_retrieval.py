"""Every metric against an independent implementation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import ndcg_score

from recsys.metrics.retrieval import RankedRelevance, compute, map_at_r, required_depths

METRICS = (
    "recall@1", "recall@4", "recall@50", "hit@3", "precision@1", "precision@5", "precision@60", "r_precision",
    "map@r", "ndcg@5", "ndcg@40",
)  # fmt: skip


def unit(seed: int, count: int, dim: int = 8) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ranked(hits: Any, num_relevant: Any, grades: Any = None, ideal: Any = None) -> RankedRelevance:
    """Hits whose grade is 1, unless grades are given."""
    hits, num_relevant = np.asarray(hits, bool), np.asarray(num_relevant)
    ideal = np.arange(hits.shape[1]) < num_relevant[:, None] if ideal is None else ideal
    grades = hits if grades is None else grades
    return RankedRelevance(
        hits, grades.astype(np.int8), num_relevant, ideal.astype(np.int8), np.zeros_like(num_relevant)
    )


def measured(scores: np.ndarray, relevant: np.ndarray, grades: np.ndarray) -> dict[str, np.ndarray]:
    """Our metrics of every query ``[Q]`` from a score and a grade of every product ``[Q, G]``."""
    order = np.argsort(-scores, axis=1, kind="stable")
    hits, found = (np.take_along_axis(a, order, axis=1) for a in (relevant, grades))
    return compute(METRICS, ranked(hits, relevant.sum(axis=1), found, np.sort(grades, axis=1)[:, ::-1]))


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 12), own_gallery=st.booleans())
@settings(max_examples=25, deadline=None)
def test_against_pytorch_metric_learning(seed: int, classes: int, own_gallery: bool) -> None:
    """Precision@1, R-precision and MAP@R, item to item and with a separate gallery."""
    rng = np.random.default_rng(seed)
    queries = unit(seed, 40)
    labels = rng.integers(0, classes, 40)
    gallery = queries if own_gallery else unit(seed + 1, 55)
    gallery_labels = labels if own_gallery else rng.integers(0, classes, 55)
    relevant, scores = labels[:, None] == gallery_labels, queries @ gallery.T
    if own_gallery:
        np.fill_diagonal(relevant, False)
        np.fill_diagonal(scores, -np.inf)
    useful = relevant.any(axis=1)
    if not useful.any():
        return
    ours = measured(scores[useful], relevant[useful], relevant[useful])
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
        device=torch.device("cpu"),
    )
    both = (None, None) if own_gallery else (torch.from_numpy(gallery), torch.from_numpy(gallery_labels))
    theirs = calculator.get_accuracy(
        torch.from_numpy(queries), torch.from_numpy(labels), *both, ref_includes_query=own_gallery
    )
    names = {
        "precision@1": "precision_at_1",
        "r_precision": "r_precision",
        "map@r": "mean_average_precision_at_r",
    }
    means = {name: ours[name].mean() for name in names}
    assert means == pytest.approx({name: theirs[their] for name, their in names.items()}, abs=1e-6)


@pytest.mark.slow  # for what torchmetrics imports
@given(seed=st.integers(0, 10_000), share=st.floats(0.02, 0.9))
@settings(max_examples=25, deadline=None)
def test_against_torchmetrics_and_scikit_learn(seed: int, share: float) -> None:
    """Every metric that torchmetrics has, with more results asked for than the gallery holds."""
    from torchmetrics.functional import retrieval as torchmetrics

    rng = np.random.default_rng(seed)
    queries, gallery = unit(seed, 12), unit(seed + 1, 45)
    wanted = rng.random((12, 45)) < share
    grades = np.where(wanted, rng.integers(1, 5, (12, 45)), 0)
    wanted[:, 0], grades[:, 0] = True, 1
    scores = queries @ gallery.T + 2  # torchmetrics takes a score of 0 or less for "not retrieved"
    ours = measured(scores, wanted, grades)
    for q in range(len(queries)):
        predicted, target = torch.from_numpy(scores[q]), torch.from_numpy(wanted[q])
        gains = torch.from_numpy(grades[q])
        theirs = {
            f"recall@{k}": torchmetrics.retrieval_recall(predicted, target, top_k=k) for k in (1, 4, 50)
        }
        theirs |= {
            f"precision@{k}": torchmetrics.retrieval_precision(predicted, target, top_k=k) for k in (1, 5, 60)
        }
        theirs |= {
            f"ndcg@{k}": torchmetrics.retrieval_normalized_dcg(predicted, gains, top_k=k) for k in (5, 40)
        }
        theirs["hit@3"] = torchmetrics.retrieval_hit_rate(predicted, target, top_k=3)
        theirs["r_precision"] = torchmetrics.retrieval_r_precision(predicted, target)
        found = {name: ours[name][q] for name in theirs}
        assert found == pytest.approx({name: value.item() for name, value in theirs.items()}, abs=1e-5)
        sklearns = {f"ndcg@{k}": ndcg_score(grades[q : q + 1], scores[q : q + 1], k=k) for k in (5, 40)}
        assert {name: ours[name][q] for name in sklearns} == pytest.approx(sklearns, abs=1e-6)


@given(
    hits=st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=6),
    more=st.integers(0, 3),
)
def test_every_metric_is_a_share_and_a_perfect_ranking_has_all(hits: list[list[bool]], more: int) -> None:
    found = np.array(hits)
    num_relevant = np.minimum(np.maximum(found.sum(axis=1) + more, 1), 9)
    for values in compute(METRICS, ranked(found, num_relevant)).values():
        assert ((values >= 0) & (values <= 1)).all()
    perfect = compute(METRICS, ranked(np.arange(9) < num_relevant[:, None], num_relevant))
    for name in ("r_precision", "map@r", "ndcg@5", "ndcg@40", "hit@3", "precision@1", "recall@50"):
        np.testing.assert_allclose(perfect[name], 1.0, err_msg=name)


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.data())
def test_moving_a_relevant_result_up_never_hurts(hits: list[bool], data: st.DataObject) -> None:
    i = data.draw(st.integers(1, len(hits) - 1))
    if not hits[i] or hits[i - 1]:
        return
    better = list(hits)
    better[i - 1], better[i] = True, False
    before, after = (compute(METRICS, ranked([h], [sum(hits)])) for h in (hits, better))
    assert all(after[m] >= before[m] - 1e-12 for m in METRICS)


def test_by_hand() -> None:
    hits = np.array([[True, False, True, False], [False, True, False, False]])
    best = 1 + 1 / np.log2(3) + 0.5
    expected = {
        "map@r": [(1 + 2 / 3) / 3, 0],
        "r_precision": [2 / 3, 0],
        "recall@2": [1 / 3, 1],
        "precision@4": [0.5, 0.25],
        "hit@1": [1, 0],
        "ndcg@4": [1.5 / best, 1 / np.log2(3)],
    }
    for name, values in compute(list(expected), ranked(hits, [3, 1])).items():
        assert values.tolist() == pytest.approx(expected[name]), name


def test_too_shallow_a_ranking_is_an_error_and_not_a_lower_score() -> None:
    with pytest.raises(ValueError, match="R = 3"):
        map_at_r(np.array([[True, True]]), np.array([3]))


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (("map@r", "recall@10", "ndcg@40"), [40, 40, 60]),
        (("recall@10", "r_precision"), [10, 10, 60]),
        (("recall@10", "hit@1"), [10, 10, 10]),
        (("map@r",), [0, 3, 60]),
    ],
)
def test_depths_reach_the_largest_k_and_r_where_a_metric_needs_it(
    metrics: tuple[str, ...], expected: list[int]
) -> None:
    assert required_depths(metrics, np.array([0, 3, 60])).tolist() == expected


def test_an_unknown_metric_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown"):
        compute(("bleu",), ranked([[True]], [1]))


def agreement(order: Sequence[str], k: int, num_similar: int, num_not_similar: int) -> float:
    """Agreement of a ranking of products judged ``similar``, ``not_similar`` or not at all."""
    grades = np.array([[{"similar": 1, "not_similar": -1}.get(kind, 0) for kind in order]], np.int8)
    counts = np.array([num_similar]), np.array([num_not_similar])
    found = RankedRelevance(grades > 0, grades, counts[0], np.zeros((1, 0), np.int8), counts[1])
    return float(compute((f"agreement@{k}",), found)[f"agreement@{k}"][0])


def test_agreement_by_hand() -> None:
    """Two similar and two not similar products, of each one among the first two; then only not similar."""
    order = ["similar", "not_similar", ""]
    assert [agreement(order, k, 2, 2) for k in (1, 2, 3)] == [0.75, 0.5, 0.5]
    assert [agreement(["", "", "not_similar"], k, 0, 1) for k in (1, 2, 3)] == [1, 1, 0]
    assert agreement(["", "", ""], 3, 0, 1) == 1


@given(st.lists(st.sampled_from(["similar", "not_similar", ""]), min_size=2, max_size=10), st.data())
def test_agreement_never_falls_when_the_better_of_two_neighbours_moves_up(
    order: list[str], data: st.DataObject
) -> None:
    counts = order.count("similar"), order.count("not_similar")
    if not sum(counts):
        return
    i, k = data.draw(st.integers(1, len(order) - 1)), data.draw(st.integers(1, len(order)))
    swapped = [*order[: i - 1], order[i], order[i - 1], *order[i + 1 :]]
    worth = {"similar": 1, "": 0, "not_similar": -1}
    before, after = agreement(order, k, *counts), agreement(swapped, k, *counts)
    assert 0 <= before <= 1
    if worth[order[i]] >= worth[order[i - 1]]:
        assert after >= before
