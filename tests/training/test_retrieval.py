"""The validation figure against pytorch-metric-learning's calculator."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from recsys.training import validation as module
from recsys.training.validation import retrieval


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.booleans())
def test_it_is_the_librarys(seed: int, classes: int, among_themselves: bool) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.repeat(np.arange(classes), 2), rng.integers(0, classes, 20)])
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((len(codes), 5))), dim=1)
    queries = vectors if among_themselves else torch.nn.functional.normalize(vectors + 0.5, dim=1)
    known = torch.from_numpy(codes)
    calculator = AccuracyCalculator(
        include=("mean_average_precision_at_r", "precision_at_1"), k="max_bin_count"
    )
    reference = calculator.get_accuracy(queries, known, vectors, known, ref_includes_query=among_themselves)
    same = torch.arange(len(codes)) if among_themselves else None
    for metric, name in (("map_at_r", "mean_average_precision_at_r"), ("recall_at_1", "precision_at_1")):
        found = retrieval(queries, vectors, known, known, metric=metric, same=same)  # type: ignore[arg-type]
        assert found == pytest.approx(reference[name], abs=1e-6)


def test_chunks_do_not_matter_and_the_unlabelled_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(50, 4), dim=1)
    codes = torch.randint(-1, 4, (50,))
    same = torch.arange(50)
    whole = retrieval(vectors, vectors, codes, codes, metric="map_at_r", same=same)
    monkeypatch.setattr(module, "_CHUNK", 7)
    assert retrieval(vectors, vectors, codes, codes, metric="map_at_r", same=same) == pytest.approx(whole)
    queries = (codes >= 0).nonzero().flatten()
    fewer = retrieval(vectors[queries], vectors, codes[queries], codes, metric="map_at_r", same=queries)
    assert fewer == pytest.approx(whole)
    assert retrieval(vectors, vectors, torch.full((50,), -1), codes, metric="map_at_r") is None
    assert (
        retrieval(vectors, vectors, torch.arange(50), torch.arange(50), metric="map_at_r", same=same) is None
    )
