"""From examples to the vectors that are looked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.search.query_vector import UNLIKE_WEIGHT, aim, unit

D = 6
NONE = np.empty((0, 2, D), np.float32)


def halves(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, 2, D))
    return (drawn / np.linalg.norm(drawn, axis=2, keepdims=True)).astype(np.float32)


@given(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.booleans(), st.integers(0, 99))
def test_both_halves_are_unit_or_there_is_nothing_to_look_for(
    num_liked: int, num_unliked: int, has_seen: bool, has_words: bool, seed: int
) -> None:
    seen, words = halves(1, seed + 1000)[0]
    found = aim(
        halves(num_liked, seed),
        halves(num_unliked, seed + 500),
        seen=seen if has_seen else None,
        words=words if has_words else None,
    )
    if not (num_liked or has_seen or has_words):
        assert found is None
    else:
        assert found is not None
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_one_liked_product_is_looked_for_as_it_is() -> None:
    liked = halves(1, 3)
    np.testing.assert_allclose(aim(liked, NONE), liked[0], atol=1e-6)


def test_words_or_a_image_alone_stand_for_both_halves() -> None:
    vector = halves(1, 4)[0, 0]
    for given_ in ({"words": vector}, {"seen": vector}):
        np.testing.assert_allclose(aim(NONE, NONE, **given_), [vector, vector], atol=1e-6)


def test_each_kind_of_example_counts_once() -> None:
    liked, words = halves(5, 5), halves(1, 6)[0, 1]
    image, text = aim(liked, NONE, words=words)
    np.testing.assert_allclose(image, unit(liked[:, 0].mean(axis=0)), atol=1e-6)  # words say nothing of it
    np.testing.assert_allclose(text, unit(unit(liked[:, 1].mean(axis=0)) + words), atol=1e-6)


def test_what_is_disliked_is_moved_away_from() -> None:
    liked, unliked = halves(1, 7), halves(1, 8)
    found = aim(liked, unliked)
    expected = liked[0] - UNLIKE_WEIGHT * unliked[0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    before, after = (np.einsum("hd,hd->h", x, unliked[0]) for x in (liked[0], found))
    assert (after < before).all()


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_examples_that_cancel_out_have_no_direction(scale: float) -> None:
    one = halves(1, 9)
    assert aim(np.concatenate([one, -one]), NONE) is None
    assert unit(np.zeros(3, np.float32)) is None
    assert (unit(np.array([scale, 0], np.float32)) is None) == (scale < 1e-3)
