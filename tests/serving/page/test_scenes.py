"""Screenshots of the views, into a temporary folder, to look at."""

from pathlib import Path

import pytest

from infra.docs import page_images
from tests.serving.page.conftest import Open, Shop


@pytest.mark.parametrize("scene", page_images.SCENES, ids=lambda s: s.name)
def test_a_screenshot_is_taken(open_page: Open, tmp_path: Path, shop: Shop, scene: page_images.Scene) -> None:
    page = open_page("/", viewport=scene.viewport, **scene.context)
    taken = scene.take(page, tmp_path, shop.kept)
    assert taken.stat().st_size > 10_000
