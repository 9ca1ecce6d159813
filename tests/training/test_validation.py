"""The validation score is that of pytorch-metric-learning's calculator."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from recsys.config.training import ValidationConfig
from recsys.encoder.inference import unit
from recsys.training.supervision import LabelledPairs, Supervision
from recsys.training.validation import choose_tasks, retrieval_score
from recsys.workspace.splits import TRAIN, VALIDATION


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.booleans())
def test_it_is_the_score_of_the_library(seed: int, classes: int, among_themselves: bool) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.repeat(np.arange(classes), 2), rng.integers(0, classes, 20)])
    vectors = unit(rng.standard_normal((len(codes), 5)).astype(np.float32))
    queries = vectors if among_themselves else unit(vectors + np.float32(0.5))
    calculator = AccuracyCalculator(
        include=("mean_average_precision_at_r", "precision_at_1"), k="max_bin_count"
    )
    tensors = [torch.from_numpy(a) for a in (queries, codes, vectors, codes)]
    reference = calculator.get_accuracy(*tensors, ref_includes_query=among_themselves)
    own = np.arange(len(codes)) if among_themselves else np.full(len(codes), -1)
    for metric, name in (("map_at_r", "mean_average_precision_at_r"), ("recall_at_1", "precision_at_1")):
        score = retrieval_score(queries, vectors, codes, codes, own=own, metric=metric)  # type: ignore[arg-type]
        assert score == pytest.approx(reference[name], abs=1e-6)


def test_products_without_a_label_are_no_queries() -> None:
    rng = np.random.default_rng(0)
    vectors, codes, own = (
        unit(rng.standard_normal((50, 4)).astype(np.float32)),
        rng.integers(-1, 4, 50),
        np.arange(50),
    )
    score = retrieval_score(vectors, vectors, codes, codes, own=own, metric="map_at_r")
    labelled = np.flatnonzero(codes >= 0)
    assert score == pytest.approx(
        retrieval_score(vectors[labelled], vectors, codes[labelled], codes, own=labelled, metric="map_at_r")
    )
    for none_findable in (np.full(50, -1), own):
        assert (
            retrieval_score(vectors, vectors, none_findable, none_findable, own=own, metric="map_at_r")
            is None
        )


def supervision(**labels: list[int]) -> Supervision:
    pairs = LabelledPairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    codes = {name: np.array(values) for name, values in labels.items()}
    return Supervision({"product": np.arange(6), **codes}, pairs, {})


def test_the_default_asks_every_way_that_the_gate_asks() -> None:
    known = supervision(group=[0, 0, 1, 2, 3, 3], category=[0, 0, 0, 1, 1, -1], brand=[0, 1, 2, 3, 4, 5])
    splits, ids = [VALIDATION] * 4 + [TRAIN] * 2, list("abcdef")
    tasks = choose_tasks(splits, ids, known, ValidationConfig())
    assert [(t.label, t.vector) for t in tasks] == [
        *[("category", v) for v in ("image", "text", "product")],
        *[("group", v) for v in ("image", "text", "product")],
        ("id", "text_to_image"),
    ]
    assert [t.queries.tolist() for t in tasks[::3]] == [[0, 1, 2], [0, 1], [0, 1, 2, 3]]
    one = choose_tasks(splits, ids, known, ValidationConfig(vector="image", label="category"))
    assert [(t.label, t.vector) for t in one] == [("category", "image")]
    assert choose_tasks([TRAIN] * 6, ids, known, ValidationConfig()) == []
