"""Thumbnails."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import simplejpeg

from recsys.errors import InputError
from recsys.serving.thumbnails import Thumbnails, shrink
from recsys.workspace import Workspace
from recsys.workspace.image_store import FILE, ImageShardWriter, ImageStore
from tests.embedding.catalogs import make_image, sha


@pytest.fixture
def store(workspace: Workspace, tmp_path: Path) -> ImageStore:
    path = tmp_path / FILE
    writer = ImageShardWriter(path)
    for seed, (height, width) in enumerate([(300, 200), (384, 384), (30, 20)]):
        jpeg = make_image(seed, height=height, width=width)
        writer.add(sha256=sha(seed), phash=0, width=width, height=height, jpeg=jpeg)
    writer.close()
    return ImageStore([path])


def thumbnails(store: ImageStore, cache_bytes: int) -> Thumbnails:
    view = SimpleNamespace(image_store=store, snapshot_ref="snapshots/x")
    live: Any = SimpleNamespace(view=lambda: view, kept=list)
    return Thumbnails(Workspace("nowhere"), live, cache_bytes=cache_bytes)


@pytest.mark.parametrize(
    ("seed", "width", "size"), [(0, 96, (64, 96)), (1, 160, (160, 160)), (2, 320, (20, 30))]
)
def test_the_longest_side_is_the_width_and_nothing_is_enlarged(
    store: ImageStore, seed: int, width: int, size: tuple[int, int]
) -> None:
    jpeg = thumbnails(store, 1_000_000).get(sha(seed).hex(), width)
    assert jpeg is not None
    assert simplejpeg.decode_jpeg_header(jpeg)[:2] == size[::-1]


@pytest.mark.parametrize("cache_bytes", [0, 3000, 1_000_000])
def test_what_is_kept_does_not_change_what_is_returned(store: ImageStore, cache_bytes: int) -> None:
    made = thumbnails(store, cache_bytes)
    for seed in (0, 1, 2, 1, 0):
        assert made.get(sha(seed).hex(), 160) == shrink(store.jpeg(sha(seed)), 160)


def test_an_absent_image_and_a_width_that_is_not_offered(store: ImageStore) -> None:
    assert thumbnails(store, 1000).get("ab" * 32, 96) is None
    with pytest.raises(InputError, match="97 wide"):
        thumbnails(store, 1000).get(sha(0).hex(), 97)
