"""What the tests of the catalog share."""

from pathlib import Path

import pytest

from tests.catalog.made_images import jpeg, write


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with the images of ten products."""
    folder = tmp_path / "shop"
    for i in range(10):
        write(folder, f"images/{i}.jpg", jpeg(seed=i))
    return folder
