import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.encoder.inference import fuse, mean_images, unit


def vectors(rng: np.random.Generator, count: int, dim: int = 6) -> np.ndarray:
    return unit(rng.normal(size=(count, dim)).astype(np.float32))


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=8), st.integers(0, 2**32 - 1))
def test_images_of_a_product_are_averaged(lists: list[list[int]], seed: int) -> None:
    images = vectors(np.random.default_rng(seed), 5)
    index = np.array([i for some in lists for i in some], np.int64)
    means = mean_images(images[index], np.array(list(map(len, lists)), np.int64))
    assert means.shape == (len(lists), 6)
    for mean, some in zip(means, lists, strict=True):
        if some:
            expected = images[some].mean(0)
            np.testing.assert_allclose(mean, expected / np.linalg.norm(expected), atol=1e-4)
        else:
            assert (mean == 0).all()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8), st.integers(0, 2**32 - 1))
def test_a_missing_half_is_the_other(flags: list[tuple[bool, bool]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, text = vectors(rng, len(flags)), vectors(rng, len(flags))
    has_image, has_text = (np.array([f[i] for f in flags], np.bool_) for i in (0, 1))
    image[~has_image] = 0
    fused = fuse(image, text, has_image, has_text)
    for n, (image_there, text_there) in enumerate(flags):
        np.testing.assert_array_equal(fused.image[n], image[n] if image_there else text[n])
        np.testing.assert_array_equal(fused.text[n], image[n] if image_there and not text_there else text[n])
    if flags:
        np.testing.assert_allclose(np.linalg.norm(fused.image, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(fused.text, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(fused.has_image, has_image)
    np.testing.assert_array_equal(fused.has_text, has_text)


def test_inputs_are_left_as_they_were() -> None:
    image, text = np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32)
    fuse(image, text, np.array([False]), np.array([True]))
    assert (image == 0).all()
