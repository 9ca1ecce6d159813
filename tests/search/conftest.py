"""What the tests of search share."""

from pathlib import Path

import pytest

from tests.training.shop import tiny_text_model


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model with random weights, 16 wide."""
    return tiny_text_model(tmp_path_factory.mktemp("text"))
