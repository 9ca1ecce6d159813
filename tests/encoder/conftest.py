"""Small encoders, built once."""

import copy

import pytest

from recsys.config.encoder import EncoderConfig, ImageTowerConfig
from recsys.encoder.model import ProductEncoder, build

SMALL = EncoderConfig(image=ImageTowerConfig(image_size=32))
"""The small CNN at 32 pixels beside the real MiniLM, frozen."""


@pytest.fixture(scope="session")
def built() -> ProductEncoder:
    """One encoder that no test may change."""
    return build(SMALL, seed=0)


@pytest.fixture
def encoder(built: ProductEncoder) -> ProductEncoder:
    """A copy that a test may change."""
    return copy.deepcopy(built)
