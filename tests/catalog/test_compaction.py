"""Shards that are mostly unused become fewer, and no snapshot loses an image."""

from pathlib import Path
from typing import Any

from recsys.catalog import compaction
from recsys.catalog.run import LOCK, run
from recsys.config import Config
from recsys.workspace import Manifest, Workspace
from recsys.workspace.image_store import ImageStore
from recsys.workspace.snapshot import Snapshot
from tests.catalog.made_images import jpeg, write
from tests.catalog.test_run import _config, _feed, _products, _rows

ALLOWED = {"allow_gone": True}


def compact(config: Config, workspace: Workspace) -> int:
    with workspace.lease(LOCK) as lease:
        return compaction.compact(config, workspace, lease)


def images(workspace: Workspace, manifest: Manifest) -> dict[str, bytes]:
    """Return what each product's image is, read as the snapshot names it."""
    store = Snapshot.open(workspace, manifest.ref).images()
    return {id: store.jpeg(row["images"][0]) for id, row in _products(workspace, manifest).items()}


def one_of_each_shard(workspace: Workspace, manifest: Manifest) -> list[dict[str, Any]]:
    """Return the rows of products whose images are all that is needed of their shards."""
    stores = [ImageStore.open(workspace, [ref]) for ref in manifest.info["image_shards"]]
    found = {id: row["images"][0] for id, row in _products(workspace, manifest).items()}
    ids = [next(id for id, sha256 in found.items() if sha256 in store) for store in stores]
    return [row for row in _rows() if row["id"] in ids]


def test_the_next_snapshot_has_fewer_shards_and_none_loses_an_image(
    shop: Path,
    workspace: Workspace,
) -> None:
    first = run(_config(_feed(shop, _rows())), workspace)
    before = images(workspace, first)
    few = one_of_each_shard(workspace, first)
    config = _config(_feed(shop, few), guards=ALLOWED)
    second = run(config, workspace)
    assert second.info["image_shards"] == first.info["image_shards"]
    assert compact(config, workspace) == 3
    assert compact(config, workspace) == 0
    assert run(config, workspace).ref == second.ref  # an equal catalog is the same snapshot, and whole

    write(shop, "images/10.jpg", jpeg(seed=10))
    added = {"id": "p10", "title": "Mug 10", "image_link": "images/10.jpg"}
    config = _config(_feed(shop, [*few, added]), guards=ALLOWED)
    third = run(config, workspace)
    assert third.info["counts"]["image_work"] == {"unchanged": 3, "read": 1}
    assert len(third.info["image_shards"]) == 2
    assert not set(third.info["image_shards"]) & set(first.info["image_shards"])
    kept = {row["id"]: before[row["id"]] for row in few}
    assert images(workspace, third) == kept | {"p10": jpeg(seed=10)}
    assert images(workspace, first) == before
    for ref in first.info["image_shards"]:  # as housekeeping does, once no snapshot names them
        workspace.delete_ref(ref)
    again = run(config, workspace)
    assert (again.ref, again.info["counts"]["image_work"]) == (third.ref, {"unchanged": 4})
    assert images(workspace, third).keys() == {*kept, "p10"}


def test_small_shards_of_many_refreshes_become_one_and_what_is_left_over_stays(
    shop: Path,
    workspace: Workspace,
) -> None:
    for count in range(1, 6):
        config = _config(_feed(shop, _rows(count)), images={"shard_size": 20})
        last = run(config, workspace)
    assert len(last.info["image_shards"]) == 5
    assert compact(config, workspace) == 5
    assert compact(config, workspace) == 0
    config = _config(_feed(shop, _rows(6)), images={"shard_size": 20})
    assert len(run(config, workspace).info["image_shards"]) == 2


def test_images_whose_new_shard_no_snapshot_came_to_name_are_found_in_the_old_ones(
    shop: Path,
    workspace: Workspace,
) -> None:
    first = run(_config(_feed(shop, _rows())), workspace)
    config = _config(_feed(shop, one_of_each_shard(workspace, first)), guards=ALLOWED)
    second = run(config, workspace)
    before = set(workspace.refs())
    assert compact(config, workspace) == 3
    for ref in set(workspace.refs()) - before:  # as housekeeping does, once they are no more young
        workspace.delete_ref(ref)
    assert run(config, workspace).info["counts"]["image_work"] == {"unchanged": 3}
    assert compact(config, workspace) == 3
    assert images(workspace, second).keys() == _products(workspace, second).keys()


def test_without_a_catalog_or_without_images_there_is_nothing_to_do(
    tmp_path: Path, workspace: Workspace
) -> None:
    config = _config(_feed(tmp_path / "shop", [{"id": "a", "title": "Words"}]))
    assert compact(config, workspace) == 0
    run(config, workspace)
    assert compact(config, workspace) == 0
