"""Fixtures of the training tests."""

from pathlib import Path

import pytest
import torch

from tests.training.shop import tiny_text_model


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny text tower."""
    return tiny_text_model(tmp_path_factory.mktemp("text"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
