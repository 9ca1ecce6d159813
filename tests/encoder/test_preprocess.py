import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image

from recsys.encoder.preprocess import Preprocess
from recsys.errors import InputError
from tests.embedding.catalogs import make_image


def jpeg(pixels: np.ndarray) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels, np.uint8), 97, colorsubsampling="444"))


def thirds(height: int, width: int) -> np.ndarray:
    """Red, green and blue thirds along the longer side."""
    longer = max(height, width)
    stripes = np.zeros((longer, 3), np.uint8)
    stripes[np.arange(longer), np.arange(longer) * 3 // longer] = 255
    lines = np.broadcast_to(stripes[:, None] if height >= width else stripes[None], (height, width, 3))
    return np.ascontiguousarray(lines)


@pytest.mark.parametrize("mode", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", [(60, 48), (48, 60), (32, 32), (7, 5), (400, 90), (1000, 1000)])
def test_every_shape_becomes_the_square(
    mode: Literal["crop", "squash", "pad"], shape: tuple[int, int]
) -> None:
    tensor = Preprocess(32, mode)(jpeg(thirds(*shape)))
    assert tensor.shape == (3, 32, 32)
    assert tensor.dtype == torch.uint8


@pytest.mark.parametrize("shape", [(300, 100), (100, 300)])
def test_crop_keeps_the_middle_squash_everything_and_pad_adds_white(shape: tuple[int, int]) -> None:
    source = jpeg(thirds(*shape))
    along = (slice(None), 16) if shape[0] > shape[1] else (16, slice(None))
    across = (16, slice(None)) if shape[0] > shape[1] else (slice(None), 16)
    cropped = Preprocess(32, "crop").pixels(source)[along]
    assert (cropped[2:-2].argmax(1) == 1).all()  # green only
    squashed = Preprocess(32, "squash").pixels(source)[along]
    assert [int(squashed[i].argmax()) for i in (4, 16, 28)] == [0, 1, 2]
    padded = Preprocess(33, "pad").pixels(source)
    assert (padded[across][:10] == 255).all()
    assert (padded[across][-10:] == 255).all()
    assert padded[16, 16].argmax() == 1


def test_decoding_at_a_smaller_scale_gives_nearly_the_same_image() -> None:
    rng = np.random.default_rng(0)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 255, (12, 9, 3), np.uint8)).resize((700, 900), 3))
    quick = Preprocess(112, "squash").pixels(jpeg(smooth)).astype(float)
    full = np.asarray(Image.fromarray(smooth).resize((112, 112), Image.Resampling.BOX)).astype(float)
    assert Preprocess(112, "squash").decode(jpeg(smooth)).shape[0] < 300
    assert np.abs(quick - full).mean() < 1.5


def test_fine_stripes_average_out_instead_of_aliasing() -> None:
    stripes = np.tile(np.array([[[0] * 3, [255] * 3]], np.uint8), (200, 100, 1))
    small = Preprocess(48, "squash").square(stripes).astype(float)
    assert np.abs(small - 127.5).max() < 45  # point sampling would give black and white


def test_it_is_the_same_from_every_thread_and_after_pickling() -> None:
    preprocess = Preprocess(48, "pad")
    sources = [make_image(i, height=90 + i, width=70) for i in range(16)]
    alone = [preprocess.pixels(source) for source in sources]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(pickle.loads(pickle.dumps(preprocess)).pixels, sources))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("data", [b"", b"not an image", make_image(1)[:200]])
def test_what_is_no_jpeg_is_named(data: bytes) -> None:
    with pytest.raises(InputError, match=f"{len(data)} bytes"):
        Preprocess(32, "pad").pixels(data)
