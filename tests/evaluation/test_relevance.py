"""What is relevant, against loops over every pair."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation.relevance import Relevance, equal_labels, ideal_grades, listed_pairs


@given(
    seed=st.integers(0, 2**32 - 1), graded=st.booleans(), grouped=st.booleans(), negatives=st.booleans()
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_relevance_is_what_a_loop_finds(seed: int, graded: bool, grouped: bool, negatives: bool) -> None:
    rng = np.random.default_rng(seed)
    num_queries, num_gallery = 8, 20
    fine, coarse = rng.integers(-1, 4, num_queries), rng.integers(-1, 2, num_queries)
    gallery_fine, gallery_coarse = rng.integers(-1, 4, num_gallery), rng.integers(-1, 2, num_gallery)
    itself = rng.integers(0, num_gallery, num_queries)
    links, different = (
        [(int(rng.integers(num_queries)), int(rng.integers(num_gallery))) for _ in range(12)] for _ in "ab"
    )
    starts = np.unique([0, *rng.integers(0, num_gallery, 6)]) if grouped else None
    shape = num_queries, num_gallery
    by_fine, by_coarse = equal_labels(fine, gallery_fine), equal_labels(coarse, gallery_coarse)
    relevance = Relevance(
        [by_fine, listed_pairs(links, shape)],
        shape=shape,
        hidden=[equal_labels(itself, np.arange(num_gallery))],
        not_similar=[listed_pairs(different, shape)] if negatives else [],
        grades=[(3, by_fine), (2, by_coarse)] if graded else [],
        group_starts=starts,
    )
    kept = np.sort(rng.permutation(num_queries)[:6])
    relevance.keep(kept)
    rows = rng.permutation(6)[:5]
    hidden, relevant, grades = relevance.chunk(rows)
    groups = np.split(np.arange(num_gallery), starts[1:]) if starts is not None else [[g] for g in range(20)]
    for i, q in enumerate(kept[rows].tolist()):
        for j, members in enumerate(groups):
            is_fine = any(fine[q] >= 0 and fine[q] == gallery_fine[g] for g in members)
            is_coarse = any(coarse[q] >= 0 and coarse[q] == gallery_coarse[g] for g in members)
            is_hidden = any(itself[q] == g for g in members)
            right = not is_hidden and (is_fine or any((q, g) in links for g in members))
            grade = max(int(right), 3 * (graded and is_fine), 2 * (graded and is_coarse))
            wrong = negatives and not right and any((q, g) in different for g in members)
            assert hidden[i, j] == is_hidden
            assert relevant[i, j] == right
            assert grades[i, j] == (0 if is_hidden else -1 if wrong else grade)
    num_relevant, num_not_similar = relevance.counts()
    assert num_relevant[rows].tolist() == relevant.sum(axis=1).tolist()
    assert num_not_similar[rows].tolist() == (grades < 0).sum(axis=1).tolist()
    expected = [sorted(np.maximum(row, 0), reverse=True)[:4] for row in grades]
    expected = [row + [0] * (4 - len(row)) for row in expected]
    np.testing.assert_array_equal(ideal_grades(grades, 4), expected)
