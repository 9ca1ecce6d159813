"""Shrinking is close to Lanczos, keeps flat areas flat and the image where it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recsys.workspace.decode import MAX_RATIO, shrink


def _natural(side: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    radius = np.maximum(np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]), 1 / side)
    planes = []
    for _ in range(3):
        field = np.fft.irfft2(np.exp(2j * np.pi * rng.random(radius.shape)) / radius**1.2, s=(side, side))
        planes.append(128 + 40 * field / field.std())
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("target", [130, 160, 200, 240, 280])
def test_is_as_good_as_lanczos_and_better_than_area(target: int) -> None:
    source = _natural(300, target)
    image = Image.fromarray(source)
    lanczos = np.asarray(image.resize((target, target), Image.Resampling.LANCZOS)).astype(int)
    box = np.asarray(image.resize((target, target), Image.Resampling.BOX)).astype(int)
    ours = shrink(source, extent=(300, 300), size=(target, target)).astype(int)
    assert np.abs(ours - lanczos).mean() < 1.0
    assert np.abs(ours - lanczos).mean() < np.abs(box - lanczos).mean() / 2


@given(st.floats(1.0, MAX_RATIO), st.floats(1.0, MAX_RATIO), st.integers(0, 255))
@settings(deadline=None)
def test_flat_stays_flat_at_any_ratio(across: float, down: float, level: int) -> None:
    source = np.full((60, 80, 3), level, np.uint8)
    size = (int(80 / across), int(60 / down))
    result = shrink(source, extent=(size[0] * across, size[1] * down), size=size)
    assert result.shape == (size[1], size[0], 3)
    assert (result == level).all()


def test_an_extent_inside_a_pixel_does_not_shift_the_image() -> None:
    source = _natural(300, 1)
    image = Image.fromarray(source)

    def difference(extent: float) -> float:
        box = (0, 0, 299.3, 299.3)
        expected = np.asarray(image.resize((200, 200), Image.Resampling.LANCZOS, box=box)).astype(int)
        ours = shrink(source, extent=(extent, extent), size=(200, 200)).astype(int)
        return float(np.abs(ours - expected)[100:].mean())  # a wrong scale shows far from the corner

    assert difference(299.3) < 1.0
    assert difference(299.3) < difference(300) / 2
