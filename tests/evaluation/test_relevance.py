"""Right answers against loops over every pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation.relevance import EqualLabel, Listed, Relevance, Rung, codes, split_marks


@given(seed=st.integers(0, 2**32 - 1), with_rungs=st.booleans(), with_links=st.booleans())
@settings(max_examples=80, deadline=None)
def test_marks_and_totals_are_what_a_loop_finds(seed: int, with_rungs: bool, with_links: bool) -> None:
    rng = np.random.default_rng(seed)
    num_q, num_g = 8, 20
    q_label, q_coarse = rng.integers(-1, 4, num_q), rng.integers(-1, 2, num_q)
    g_label, g_coarse = rng.integers(-1, 4, num_g), rng.integers(-1, 2, num_g)
    own = rng.integers(0, num_g, num_q)
    links = np.stack([rng.integers(0, num_q, 12), rng.integers(0, num_g, 12)], axis=1)
    rungs = [Rung(EqualLabel(q_label, g_label), 3), Rung(EqualLabel(q_coarse, g_coarse), 1)]
    relevance = Relevance(
        [EqualLabel(q_label, g_label)] + ([Listed(links[:, 0], links[:, 1], num_q)] if with_links else []),
        num_gallery=num_g,
        rungs=rungs if with_rungs else [],
        hidden=[EqualLabel(own, np.arange(num_g))],
    )
    rows = rng.permutation(num_q)[:5]
    pairs, marks = relevance.marks(rows)
    relevant, grade = split_marks(marks)
    found = {
        (int(rows[r]), int(p)): (bool(a), int(g))
        for r, p, a, g in zip(pairs.row, pairs.position, relevant, grade, strict=True)
    }
    assert len(found) == len(marks)
    expected = {}
    for q in rows.tolist():
        for g in range(num_g):
            same = q_label[q] >= 0 and q_label[q] == g_label[g]
            linked = with_links and (q, g) in {tuple(pair) for pair in links.tolist()}
            coarse = q_coarse[q] >= 0 and q_coarse[q] == g_coarse[g]
            right = same or linked
            value = max(3 * same, coarse) if with_rungs else 0
            value = max(value, int(right))
            if value and own[q] != g:
                expected[(q, g)] = (bool(right), int(value))
    assert found == expected
    num_relevant, ideal = relevance.totals(rows, 4)
    for i, q in enumerate(rows.tolist()):
        mine = [v for (a, _), v in expected.items() if a == q]
        assert num_relevant[i] == sum(right for right, _ in mine)
        grades = sorted((g for _, g in mine), reverse=True)[:4]
        assert ideal[i].tolist() == grades + [0] * (4 - len(grades))


def test_hidden_pairs_are_the_union() -> None:
    own = EqualLabel(np.array([0, 1]), np.arange(4))
    group = EqualLabel(np.array([7, 8]), np.array([7, 7, 8, -1]))
    relevance = Relevance([group], num_gallery=4, hidden=[own, group])
    pairs = relevance.hidden(np.array([0, 1]))
    both = zip(pairs.row.tolist(), pairs.position.tolist(), strict=True)
    assert set(both) == {(0, 0), (0, 1), (1, 1), (1, 2)}
    assert not len(relevance.marks(np.array([0, 1]))[1])


def test_a_missing_label_matches_nothing() -> None:
    assert not len(EqualLabel(np.array([-1]), np.array([-1, 0])).pairs(np.array([0])).row)


def test_codes() -> None:
    assert codes(["b", None, "a", "b"]).tolist() == [0, -1, 1, 0]
    assert codes([]).shape == (0,)


def test_grades_beyond_a_byte_are_refused() -> None:
    label = EqualLabel(np.array([0]), np.array([0]))
    with pytest.raises(ValueError, match="127"):
        Relevance([label], num_gallery=1, rungs=[Rung(label, 128)])
