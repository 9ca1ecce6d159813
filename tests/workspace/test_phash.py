"""Our perceptual hash is ImageHash's, and near for the same photograph."""

import io

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recsys.workspace.phash import hamming_distance, perceptual_hash


@given(st.integers(0, 2**32), st.integers(8, 120), st.integers(8, 120), st.integers(2, 12))
@settings(deadline=None)
def test_equals_imagehash(seed: int, width: int, height: int, cells: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    assert perceptual_hash(np.asarray(image)) == int(str(imagehash.phash(image)), 16)


@pytest.mark.parametrize("seed", range(5))
def test_survives_resizing_and_encoding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    large = coarse.resize((400, 400), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    large.resize((150, 150)).save(buffer, "JPEG", quality=70)
    small = np.asarray(Image.open(buffer))
    assert hamming_distance(perceptual_hash(np.asarray(large)), perceptual_hash(small)) <= 6
    other = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)).resize((150, 150))
    assert hamming_distance(perceptual_hash(np.asarray(other)), perceptual_hash(small)) > 10


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_distance_counts_differing_bits(a: int, b: int) -> None:
    assert hamming_distance(a, b) == bin(a ^ b).count("1") == hamming_distance(b, a)
