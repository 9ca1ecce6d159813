"""Compaction of the image store: shards of which the catalog needs few images become fewer, full ones.

A snapshot is immutable and names its shards, so none is changed. The images that the newest snapshot needs
are copied, byte for byte, and found in the new shards from then on: the next snapshot names those, and the
old ones go with the last snapshot that names them.
"""

import logging
from collections import defaultdict

import pyarrow.compute as pc

from recsys.catalog.image_state import ImageState
from recsys.catalog.ingest_images import OpenShard
from recsys.config import Config
from recsys.workspace import Workspace
from recsys.workspace.image_store import read_shard
from recsys.workspace.lease import Lease
from recsys.workspace.normalise import Normalisation, NormalisedImage
from recsys.workspace.snapshot import Snapshot, newest_snapshot

logger = logging.getLogger(__name__)


def compact(config: Config, workspace: Workspace, lease: Lease) -> int:
    """Write anew what is needed of shards that give the catalog less than half of ``shard_size`` images.

    Return how many shards that were. ``lease`` is the catalog's. Memory is about 200 bytes per image of the
    catalog.
    """
    images, newest = config.catalog.images, newest_snapshot(workspace)
    manifest = workspace.find_ref(newest) if newest else None
    if manifest is None or not manifest.info["image_shards"]:
        return 0
    settings = Normalisation.of(images)
    state = ImageState(workspace, settings)
    shard = OpenShard(workspace, state, settings.id)
    try:
        used = pc.unique(pc.list_flatten(Snapshot.open(workspace, manifest.ref).table(["images"])["images"]))
        needed: dict[str | None, set[bytes]] = defaultdict(set)
        for sha256 in used.to_pylist():
            needed[state.shard_ref(sha256)].add(sha256)
        sparse = sorted(ref for ref in needed if ref and len(needed[ref]) < images.shard_size / 2)
        num_images = sum(len(needed[ref]) for ref in sparse)
        if len(sparse) < 2 and num_images == sum(workspace.get(ref).info["num_images"] for ref in sparse):
            return 0  # none, or what an earlier compaction left over
        for ref in lease.guard(sparse):
            for image in read_shard(workspace, ref):
                if image["sha256"] in needed[ref]:
                    shard.add(NormalisedImage(**image))
                if shard.num_images >= images.shard_size:
                    shard.commit()
        shard.commit()
        state.commit()
    finally:
        shard.drop()
        state.close()
    logger.info("compaction: %d images of %d shards written anew", num_images, len(sparse))
    return len(sparse)
