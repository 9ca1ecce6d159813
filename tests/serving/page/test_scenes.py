"""Screenshots of the views, into a temporary folder, to look at."""

from pathlib import Path

import pytest

from tests.serving.page import scenes
from tests.serving.page.conftest import Open, Shop


@pytest.mark.parametrize("scene", scenes.SCENES, ids=lambda s: s.name)
def test_a_screenshot_is_taken(open_page: Open, tmp_path: Path, shop: Shop, scene: scenes.Scene) -> None:
    page = open_page("/", viewport=scene.viewport, **scene.context)
    taken = scene.take(page, tmp_path, shop.kept)
    assert taken.stat().st_size > 10_000
