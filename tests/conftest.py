"""Fixtures every stage's tests share."""

import os
from pathlib import Path

import pytest

from recsys.workspace import Workspace

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
for _name in [n for n in os.environ if n.startswith("RECSYS_") and not n.startswith("RECSYS_TEST_")]:
    del os.environ[_name]  # a developer's own settings must not decide a test

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh local workspace."""
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real catalogs and weights beside the checkout; skips where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no real catalogs at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sentence-transformers model with random weights, 16 wide."""
    from tests.training.shop import tiny_text_model

    return tiny_text_model(tmp_path_factory.mktemp("text"))
