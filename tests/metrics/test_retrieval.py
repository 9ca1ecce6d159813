"""Every metric against an independent implementation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import ndcg_score
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_r_precision,
    retrieval_recall,
)

from recsys.evaluation.relevance import EqualLabel, Relevance, Rung, split_marks
from recsys.metrics.exact import Pairs, Similarity, Term, rank_marks
from recsys.metrics.retrieval import Ranked, compute, depth_of, map_at_r, needs_r

METRICS = (
    "recall@1", "recall@4", "recall@50", "hit@3", "precision@1", "precision@5", "precision@60", "r_precision",
    "map@r", "ndcg@5", "ndcg@40",
)  # fmt: skip


def unit(seed: int, count: int, dim: int = 8) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def per_query(
    queries: np.ndarray, gallery: np.ndarray, relevance: Relevance
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Our metrics of all queries, NaN where there is no right answer; and R."""
    rows = np.arange(len(queries))
    num_relevant, ideal = relevance.totals(rows, depth_of(METRICS))
    depths = np.maximum(num_relevant, depth_of(METRICS)).clip(max=len(gallery)) * (num_relevant > 0)
    values = {m: np.full(len(queries), np.nan) for m in METRICS}
    similarity = Similarity([Term(queries, gallery)])
    chunks = rank_marks(similarity, depths, relevance.marks, relevance.hidden, chunk_bytes=5000)
    for at, marks in chunks:
        hits, grades = split_marks(marks)
        for name, found in compute(METRICS, Ranked(hits, grades, num_relevant[at], ideal[at])).items():
            values[name][at] = found
    return values, num_relevant


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 12), own_gallery=st.booleans())
@settings(max_examples=25, deadline=None)
def test_against_pytorch_metric_learning(seed: int, classes: int, own_gallery: bool) -> None:
    """Precision@1, R-precision and MAP@R, item to item and with a separate gallery."""
    rng = np.random.default_rng(seed)
    queries = unit(seed, 40)
    labels = rng.integers(0, classes, 40)
    gallery = queries if own_gallery else unit(seed + 1, 55)
    gallery_labels = labels if own_gallery else rng.integers(0, classes, 55)
    hidden = [EqualLabel(np.arange(40), np.arange(40))] if own_gallery else []
    relevance = Relevance([EqualLabel(labels, gallery_labels)], num_gallery=len(gallery), hidden=hidden)
    ours, num_relevant = per_query(queries, gallery, relevance)
    answered = num_relevant > 0
    if not answered.any():
        return
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
    for name, their_name in (
        ("precision@1", "precision_at_1"),
        ("r_precision", "r_precision"),
        ("map@r", "mean_average_precision_at_r"),
    ):
        assert ours[name][answered].mean() == pytest.approx(theirs[their_name], abs=1e-6), name


@given(seed=st.integers(0, 10_000), share=st.floats(0.02, 0.9))
@settings(max_examples=25, deadline=None)
def test_against_torchmetrics_and_scikit_learn(seed: int, share: float) -> None:
    """Every metric that torchmetrics has, with more results asked for than the gallery holds."""
    rng = np.random.default_rng(seed)
    queries, gallery = unit(seed, 12), unit(seed + 1, 45)
    wanted = rng.random((12, 45)) < share
    grades = np.where(wanted, rng.integers(1, 5, (12, 45)), 0)
    relevance = Relevance(
        [_Matrix(wanted)], num_gallery=45, rungs=[Rung(_Matrix(grades == g), g) for g in range(1, 5)]
    )
    ours, num_relevant = per_query(queries, gallery, relevance)
    scores = queries @ gallery.T + 2  # torchmetrics takes a score of 0 or less for "not retrieved"
    for q in np.flatnonzero(num_relevant):
        predicted, target = torch.from_numpy(scores[q]), torch.from_numpy(wanted[q])
        gains = torch.from_numpy(grades[q])
        for k in (1, 4, 50):
            assert ours[f"recall@{k}"][q] == pytest.approx(
                retrieval_recall(predicted, target, top_k=k).item(), abs=1e-6
            )
        assert ours["hit@3"][q] == retrieval_hit_rate(predicted, target, top_k=3).item()
        for k in (1, 5, 60):
            theirs = retrieval_precision(predicted, target, top_k=k).item()
            assert ours[f"precision@{k}"][q] == pytest.approx(theirs, abs=1e-6)
        assert ours["r_precision"][q] == pytest.approx(
            retrieval_r_precision(predicted, target).item(), abs=1e-6
        )
        for k in (5, 40):
            theirs = retrieval_normalized_dcg(predicted, gains, top_k=k).item()
            assert ours[f"ndcg@{k}"][q] == pytest.approx(theirs, abs=1e-5)
            sk = ndcg_score(grades[q : q + 1], scores[q : q + 1], k=k)
            assert ours[f"ndcg@{k}"][q] == pytest.approx(sk, abs=1e-6)


class _Matrix:
    """A matcher that is told everything."""

    def __init__(self, wanted: np.ndarray) -> None:
        self.wanted = wanted

    def pairs(self, rows: np.ndarray) -> Pairs:
        return Pairs(*np.nonzero(self.wanted[rows]))


@given(
    hits=st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=6),
    more=st.integers(0, 3),
)
def test_every_metric_is_a_share_and_a_perfect_ranking_has_all(hits: list[list[bool]], more: int) -> None:
    found = np.array(hits)
    num_relevant = np.minimum(np.maximum(found.sum(axis=1) + more, 1), 9)
    ideal = (np.arange(9) < num_relevant[:, None]).astype(np.uint8)
    for values in compute(METRICS, Ranked(found, found.astype(np.uint8), num_relevant, ideal)).values():
        assert ((values >= 0) & (values <= 1)).all()
    perfect = compute(METRICS, Ranked(ideal > 0, ideal, num_relevant, ideal))
    for name in ("r_precision", "map@r", "ndcg@5", "ndcg@40", "hit@3", "precision@1", "recall@50"):
        np.testing.assert_allclose(perfect[name], 1.0, err_msg=name)


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.data())
def test_moving_a_right_answer_up_never_hurts(hits: list[bool], data: st.DataObject) -> None:
    i = data.draw(st.integers(1, len(hits) - 1))
    if not hits[i] or hits[i - 1]:
        return
    better = list(hits)
    better[i - 1], better[i] = True, False
    num_relevant = np.array([sum(hits)])
    rankings = [np.array([h]) for h in (hits, better)]
    ideal = (np.arange(len(hits)) < num_relevant[:, None]).astype(np.uint8)
    before, after = (compute(METRICS, Ranked(h, h.astype(np.uint8), num_relevant, ideal)) for h in rankings)
    assert all(after[m] >= before[m] - 1e-12 for m in METRICS)


def test_by_hand() -> None:
    hits = np.array([[True, False, True, False], [False, True, False, False]])
    num_relevant, ideal = np.array([3, 1]), np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.uint8)
    names = ("map@r", "r_precision", "recall@2", "precision@4", "hit@1", "ndcg@4")
    values = compute(names, Ranked(hits, hits.astype(np.uint8), num_relevant, ideal))
    assert values["map@r"].tolist() == pytest.approx([(1 + 2 / 3) / 3, 0])
    assert values["r_precision"].tolist() == pytest.approx([2 / 3, 0])
    assert values["recall@2"].tolist() == pytest.approx([1 / 3, 1])
    assert values["precision@4"].tolist() == pytest.approx([0.5, 0.25])
    assert values["hit@1"].tolist() == [1, 0]
    best = 1 + 1 / np.log2(3) + 0.5
    assert values["ndcg@4"].tolist() == pytest.approx([1.5 / best, 1 / np.log2(3)])


def test_too_shallow_a_ranking_is_an_error_and_not_a_lower_figure() -> None:
    with pytest.raises(ValueError, match="R = 3"):
        map_at_r(np.array([[True, True]]), np.array([3]))


def test_depths() -> None:
    assert depth_of(("map@r", "recall@10", "ndcg@40")) == 40
    assert depth_of(("map@r",)) == 0
    assert needs_r(("recall@10", "r_precision"))
    assert not needs_r(("recall@10",))
    with pytest.raises(ValueError, match="unknown"):
        compute(("bleu",), Ranked(*[np.ones((1, 1), np.uint8)] * 2, np.ones(1, int), np.ones((1, 1))))  # type: ignore[arg-type]
