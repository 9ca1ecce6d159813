"""From examples to the vectors that are looked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import InputError
from recsys.search.query import SearchQuery
from recsys.search.query_vector import UNLIKE_WEIGHT, combine, default_image_weight, unit

D = 6
NO_PRODUCTS = np.empty((0, 2, D), np.float32)
NONE = np.empty((0, D), np.float32)


def halves(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, 2, D))
    return (drawn / np.linalg.norm(drawn, axis=2, keepdims=True)).astype(np.float32)


@given(st.integers(1, 3), st.integers(0, 3), st.integers(0, 2), st.booleans(), st.integers(0, 99))
def test_both_halves_have_unit_norm(
    num_liked: int, num_unliked: int, num_images: int, has_text: bool, seed: int
) -> None:
    images, texts = halves(num_images, seed + 1000)[:, 0], halves(int(has_text), seed + 2000)[:, 1]
    found = combine(halves(num_liked, seed), halves(num_unliked, seed + 500), images, texts)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_one_liked_product_is_looked_for_as_it_is() -> None:
    liked = halves(1, 3)
    np.testing.assert_allclose(combine(liked, NO_PRODUCTS, NONE, NONE), liked[0], atol=1e-6)


def test_text_or_an_image_alone_stands_for_both_halves() -> None:
    vector = halves(1, 4)[:, 0]
    for images, texts in ((NONE, vector), (vector, NONE)):
        found = combine(NO_PRODUCTS, NO_PRODUCTS, images, texts)
        np.testing.assert_allclose(found, np.repeat(vector, 2, axis=0), atol=1e-6)


def test_each_kind_of_example_counts_once() -> None:
    liked, text = halves(5, 5), halves(1, 6)[0, 1]
    image_half, text_half = combine(liked, NO_PRODUCTS, NONE, text[None])
    np.testing.assert_allclose(image_half, unit(liked[:, 0].mean(axis=0)), atol=1e-6)
    np.testing.assert_allclose(text_half, unit(unit(liked[:, 1].mean(axis=0)) + text), atol=1e-6)


def test_the_query_moves_away_from_what_is_disliked() -> None:
    liked, unliked = halves(1, 7), halves(1, 8)
    found = combine(liked, unliked, NONE, NONE)
    expected = liked[0] - UNLIKE_WEIGHT * unliked[0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)


def test_examples_that_cancel_out_are_refused() -> None:
    one = halves(1, 9)
    with pytest.raises(InputError, match="cancel each other out"):
        combine(np.concatenate([one, -one]), NO_PRODUCTS, NONE, NONE)
    with pytest.raises(InputError, match="cancel each other out"):
        combine(NO_PRODUCTS, NO_PRODUCTS, np.concatenate([one, -one])[:, 0], NONE)


def test_the_weight_follows_what_the_query_gives() -> None:
    assert default_image_weight(SearchQuery(like=("a",), text="x"), 0.6) == 0.6
    assert default_image_weight(SearchQuery(text="x", images=(b"x",)), 0.6) == 0.6
    assert default_image_weight(SearchQuery(text="x"), 0.6) < 0.5
    assert default_image_weight(SearchQuery(images=(b"x",)), 0.6) > 0.5
