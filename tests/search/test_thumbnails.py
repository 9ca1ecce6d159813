"""Thumbnails."""

from pathlib import Path

import pytest
import simplejpeg

from recsys.errors import InputError
from recsys.search.thumbnails import Thumbnails
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


def size(jpeg: bytes | None) -> tuple[int, int]:
    assert jpeg is not None
    height, width = simplejpeg.decode_jpeg_header(jpeg)[:2]
    return width, height


def test_the_longest_side_is_what_was_asked_for_and_nothing_is_enlarged(store: ImageStore) -> None:
    thumbnails = Thumbnails(1_000_000)
    assert size(thumbnails.get(store, sha(0).hex(), 96)) == (64, 96)
    assert size(thumbnails.get(store, sha(1).hex(), 160)) == (160, 160)
    assert size(thumbnails.get(store, sha(2).hex(), 320)) == (20, 30)
    assert thumbnails.get(store, sha(1).hex(), 640) == store.jpeg(sha(1))


def test_the_cache_stays_within_its_room_and_answers_the_same(store: ImageStore) -> None:
    roomy, none = Thumbnails(1_000_000), Thumbnails(0)
    for _ in range(2):
        for seed in range(3):
            assert roomy.get(store, sha(seed).hex(), 160) == none.get(store, sha(seed).hex(), 160)
    assert none._size == 0 == len(none._kept)
    assert roomy._size == sum(map(len, roomy._kept.values()))
    assert len(roomy._kept) == 3


def test_what_is_not_there_and_what_is_not_offered(store: ImageStore) -> None:
    thumbnails = Thumbnails(1000)
    assert thumbnails.get(store, "ab" * 32, 96) is None
    with pytest.raises(InputError, match="97 wide"):
        thumbnails.get(store, sha(0).hex(), 97)
    for wrong in ("", "zz" * 32, "ab"):
        with pytest.raises(InputError, match="names no image"):
            thumbnails.get(store, wrong, 96)
