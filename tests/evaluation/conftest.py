"""The encoder that the tests of evaluation share."""

from pathlib import Path

import pytest

from tests.evaluation import shop


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an encoder that can tell the shop's products apart."""
    return shop.build_encoder(shop.settings(), tmp_path_factory.mktemp("good") / "encoder")
