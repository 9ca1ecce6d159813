"""What is known of images survives, is rebuilt from the shards, and is never believed against them."""

import pytest

from recsys.catalog.image_state import ImageState, LinkState
from recsys.catalog.ingest_images import OpenShard
from recsys.workspace import Workspace
from recsys.workspace.normalise import Normalisation, normalise
from tests.catalog.made_images import jpeg
from tests.workspace.test_checksums import flip

SETTINGS = Normalisation()
IMAGES = [normalise(jpeg(seed=i), SETTINGS) for i in range(4)]


@pytest.fixture
def state(workspace: Workspace) -> ImageState:
    return ImageState(workspace, SETTINGS)


def _reopened(state: ImageState, workspace: Workspace, *, lost: bool = False) -> ImageState:
    state.close()
    for path in (workspace.local / "state").glob("*.sqlite*") if lost else ():
        path.unlink()
    return ImageState(workspace, SETTINGS)


def _store(workspace: Workspace, state: ImageState, *which: int) -> str:
    shard = OpenShard(workspace, state, SETTINGS.id)
    for i in which:
        shard.add(IMAGES[i])
    shard.commit()
    state.commit()
    return workspace.list("images")[-1].ref


def test_shards_that_others_wrote_are_found_and_lost_ones_forgotten(
    workspace: Workspace, state: ImageState
) -> None:
    first = _store(workspace, state, 0, 1)
    state.set_link("a", LinkState(sha256=IMAGES[0].sha256))
    rebuilt = _reopened(state, workspace, lost=True)
    assert rebuilt.is_stored(IMAGES[1].sha256)
    second = _store(workspace, rebuilt, 2)
    rebuilt.set_link("b", LinkState(sha256=IMAGES[0].sha256))
    rebuilt.commit()
    refs = rebuilt.shard_refs(iter([IMAGES[0].sha256, IMAGES[2].sha256]))
    assert set(refs) == {first, second}
    workspace.delete(workspace.get(first))
    left = _reopened(rebuilt, workspace)
    assert not left.is_stored(IMAGES[0].sha256)
    assert left.link("b") is None  # its image is gone, so the link must be asked again
    assert left.is_stored(IMAGES[2].sha256)


def test_the_images_of_a_damaged_shard_are_not_stored(workspace: Workspace, state: ImageState) -> None:
    damaged, good = _store(workspace, state, 0), _store(workspace, state, 1)
    flip(workspace.local / damaged / "images.arrow")
    state = _reopened(state, workspace)
    assert [state.is_stored(image.sha256) for image in IMAGES[:2]] == [False, True]
    assert [manifest.ref for manifest in workspace.list("images")] == [good]


def test_a_shard_written_twice_is_one(workspace: Workspace, state: ImageState) -> None:
    """A kill between the shard's commit and the cache's leaves a shard the cache does not know."""
    ref = _store(workspace, state, 0, 1)
    fresh = _reopened(state, workspace, lost=True)
    assert _store(workspace, fresh, 1, 0) == ref
    assert fresh.shard_refs(iter([IMAGES[0].sha256])) == [ref]
