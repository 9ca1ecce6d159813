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


LIKED, UNLIKED, FIVE = halves(1, 3), halves(1, 8), halves(5, 5)
VECTOR = halves(1, 4)[:, 0]


@pytest.mark.parametrize(
    ("liked", "unliked", "images", "texts", "image_half", "text_half"),
    [
        (LIKED, NO_PRODUCTS, NONE, NONE, LIKED[0, 0], LIKED[0, 1]),
        (NO_PRODUCTS, NO_PRODUCTS, NONE, VECTOR, VECTOR[0], VECTOR[0]),
        (NO_PRODUCTS, NO_PRODUCTS, VECTOR, NONE, VECTOR[0], VECTOR[0]),
        # Each kind of example counts once, however many there are.
        (FIVE, NO_PRODUCTS, NONE, VECTOR, FIVE[:, 0].mean(0), unit(FIVE[:, 1].mean(0)) + VECTOR[0]),
        (LIKED, UNLIKED, NONE, NONE, *(LIKED - UNLIKE_WEIGHT * UNLIKED)[0]),
    ],
    ids=["one product", "text alone", "image alone", "five products and a text", "disliked"],
)
def test_examples_are_combined(
    liked: np.ndarray,
    unliked: np.ndarray,
    images: np.ndarray,
    texts: np.ndarray,
    image_half: np.ndarray,
    text_half: np.ndarray,
) -> None:
    found = combine(liked, unliked, images, texts)
    np.testing.assert_allclose(found, [unit(image_half), unit(text_half)], atol=1e-6)


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
