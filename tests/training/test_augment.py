"""Augmentation: a function of its generator, and what each setting does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from recsys.config.training import AugmentConfig
from recsys.training.augment import augment
from recsys.training.sampler import generator

NONE = AugmentConfig(crop_scale=(1, 1), crop_ratio=(1, 1), flip=0, brightness=0, contrast=0, saturation=0)
PIXELS = np.random.default_rng(0).integers(60, 190, (40, 40, 3), np.uint8)


def one(size: int = 40, number: int = 0, **changes: object) -> np.ndarray:
    return augment(PIXELS, size, NONE.model_copy(update=changes), generator(0, number))


@settings(max_examples=40)
@given(
    st.integers(16, 60), st.integers(16, 60), st.integers(8, 48), st.integers(0, 2**63), st.integers(0, 2**40)
)
def test_any_view_has_its_size_and_follows_its_seed(
    height: int, width: int, size: int, seed: int, number: int
) -> None:
    everything = AugmentConfig(hue=0.1, grayscale=0.5, blur=0.5, rotate_degrees=20, erase=0.5)
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    before = pixels.copy()
    views = [augment(pixels, size, everything, generator(seed, number, 3)) for _ in range(2)]
    assert views[0].shape == (size, size, 3)
    assert views[0].dtype == np.uint8
    assert np.array_equal(*views)
    assert np.array_equal(pixels, before)


def test_a_flip_is_a_mirror_with_and_without_a_turn() -> None:
    assert np.array_equal(one(), PIXELS)
    assert np.array_equal(one(flip=1.0), PIXELS[:, ::-1])
    assert np.array_equal(one(flip=1.0, rotate_degrees=1e-9), PIXELS[:, ::-1])


def test_crops_keep_their_share() -> None:
    gradient = np.arange(100, dtype=np.uint8)[None, :, None].repeat(100, 0).repeat(3, 2).copy()
    config = NONE.model_copy(update={"crop_scale": (0.25, 0.25)})
    for number in range(20):
        view = augment(gradient, 50, config, generator(0, number))
        assert int(view.max()) - int(view.min()) == 49  # half the side of a whole gradient


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour_changes_as_torchvision_does_it(name: str) -> None:
    reference = getattr(functional, f"adjust_{name}")
    flat = np.broadcast_to(np.array([150, 110, 90], np.uint8), (40, 40, 3)).copy()
    flat[:20] = (90, 120, 140)
    view = augment(flat, 40, NONE.model_copy(update={name: 0.3}), generator(0, 5)).astype(int)
    candidates = [
        reference(torch.from_numpy(flat).permute(2, 0, 1), share).permute(1, 2, 0).numpy().astype(int)
        for share in np.linspace(0.7, 1.3, 601)
    ]
    assert min(np.abs(view - c).max() for c in candidates) <= 3
    assert np.abs(view - flat).max() > 3


def test_erasing_replaces_a_rectangle_by_one_colour() -> None:
    view = one(erase=1.0)
    changed = (view != PIXELS).any(axis=2)
    assert 0.01 < changed.mean() < 0.25
    assert len(np.unique(view[changed], axis=0)) == 1
