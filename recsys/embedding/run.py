"""The door of the embedding stage: plan → embed_shard for each → collect.

    shards = plan(config, workspace, snapshot_ref, encoder_ref)
    refs = [embed_shard(config, workspace, shard) for shard in shards]    # on as many workers as there are
    collect(config, workspace, snapshot_ref, encoder_ref, refs)

Every step may be run again at any time: plans and shards are named by the content keys they cover, so
what is finished is found and what is not is done.

Does not know: where it runs.
"""

import hashlib
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from recsys.config import Config
from recsys.config.encoder import EncoderConfig
from recsys.embedding.cache import Cache, shard_prefix
from recsys.embedding.rows import Keys, content_keys
from recsys.embedding.tables import read_plan, write_plan, write_set
from recsys.encoder.description import read_description
from recsys.encoder.template import ContentReader
from recsys.errors import ArtifactError
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.embeddings import SET_FILE, SET_KIND, SHARD_FILE, SHARD_KIND
from recsys.workspace.snapshot import Snapshot

logger = logging.getLogger(__name__)

PLAN_KIND, PLAN_FILE = "embedding-plans", "rows.arrow"
VERSION = 1
"""Raised when the same inputs would give other vectors."""


def plan(config: Config, workspace: Workspace, snapshot_ref: str, encoder_ref: str) -> list[dict[str, Any]]:
    """Return the shards that are missing, as small JSON values; an empty list where nothing is.

    Each names the plan artifact, its slice ``[start, stop)`` of it, and the id the shard will have.
    """
    started = time.monotonic()
    snapshot = Snapshot.open(workspace, snapshot_ref)
    keys = content_keys(snapshot, _reader(workspace, encoder_ref))
    missing = ~Cache(workspace, encoder_ref).locate(keys).found
    positions = np.flatnonzero(missing)
    _, first = np.unique(keys[positions], return_index=True)  # products of equal content are embedded once
    positions = positions[np.sort(first)]
    logger.info(
        "plan: %d products, %d contents to embed, %.1f s",
        len(keys),
        len(positions),
        time.monotonic() - started,
    )
    if not len(positions):
        return []
    inputs = {"snapshot": snapshot_ref, "encoder": encoder_ref}
    id = content_id({"version": VERSION, **inputs, "keys": _digest(keys[positions])})
    if workspace.find(PLAN_KIND, id) is None:
        with workspace.create(PLAN_KIND, id, inputs=inputs) as draft:
            write_plan(draft.path / PLAN_FILE, positions, keys[positions])
            draft.info = {"rows": len(positions), "products": len(keys)}
    return [
        {
            "plan": f"{PLAN_KIND}/{id}",
            "index": index,
            "start": start,
            "stop": min(start + config.embedding.shard_size, len(positions)),
            "id": _shard_id(encoder_ref, keys[positions[start : start + config.embedding.shard_size]]),
        }
        for index, start in enumerate(range(0, len(positions), config.embedding.shard_size))
    ]


def embed_shard(config: Config, workspace: Workspace, shard: dict[str, Any]) -> str:
    """Embed one shard of a plan and return its ref; one that is finished is returned at once."""
    existing = workspace.find(SHARD_KIND, shard["id"])
    if existing is not None:
        return existing.ref
    from recsys.embedding.worker import write_shard

    planned = workspace.get(shard["plan"])
    table = read_plan(workspace.path(planned) / PLAN_FILE, shard["start"], shard["stop"])
    started = time.monotonic()
    with workspace.create(SHARD_KIND, shard["id"], inputs=planned.inputs) as draft:
        draft.info = write_shard(config, workspace, planned.inputs, table, draft.path / SHARD_FILE)
        draft.info["duration_s"] = round(time.monotonic() - started, 3)
    manifest = draft.committed()
    seconds = max(manifest.info["duration_s"], 1e-9)
    logger.info(
        "shard %d: %d rows in %.1f s, %.0f per second",
        shard["index"],
        len(table),
        seconds,
        len(table) / seconds,
    )
    return manifest.ref


def collect(
    config: Config, workspace: Workspace, snapshot_ref: str, encoder_ref: str, shard_refs: Sequence[str]
) -> Manifest:
    """Join what is cached into the set of this snapshot under this encoder.

    ``shard_refs`` are the shards made just now. ``info["embedded"]`` counts the products whose vectors were
    made for this snapshot, whichever attempt made them, and ``info["reused"]`` the others. Raises
    :class:`ArtifactError` where a shard, or a product's vector, is missing.
    """
    id = content_id({"version": VERSION, "snapshot": snapshot_ref, "encoder": encoder_ref})
    existing = workspace.find(SET_KIND, id)
    if existing is not None:
        return existing
    started = time.monotonic()
    snapshot = Snapshot.open(workspace, snapshot_ref)
    keys = content_keys(snapshot, _reader(workspace, encoder_ref))
    cache = Cache(workspace, encoder_ref)
    lost = set(shard_refs) - {shard.ref for shard in cache.shards}
    if lost:
        raise ArtifactError(f"The shards {sorted(lost)} are gone.", fix="Plan and embed again, then collect.")
    places = cache.locate(keys)
    if not places.found.all():
        lacking = int((~places.found).sum())
        raise ArtifactError(
            f"{lacking} of {len(keys)} products of {snapshot_ref} have no vector under {encoder_ref}.",
            fix="Embed every shard of the plan before collecting: recsys embed does both.",
        )
    used, shard = np.unique(places.shard, return_inverse=True)
    shards = [cache.shards[i] for i in used]
    fresh = [made.inputs["snapshot"] == snapshot_ref for made in shards]
    embedded = int(np.array(fresh)[shard].sum()) if len(keys) else 0
    with workspace.create(SET_KIND, id, inputs={"snapshot": snapshot_ref, "encoder": encoder_ref}) as draft:
        write_set(draft.path / SET_FILE, snapshot, keys, shard, places.row)
        draft.info = {
            "snapshot": snapshot_ref,
            "encoder": encoder_ref,
            "dim": _config(workspace, encoder_ref).dim,
            "shards": [made.ref for made in shards],
            "embedded": embedded,
            "reused": len(keys) - embedded,
            "counts": {"products": len(keys), "contents": len(np.unique(keys))},
            "embed_duration_s": sum(
                m.info["duration_s"] for m, new in zip(shards, fresh, strict=True) if new
            ),
            "duration_s": round(time.monotonic() - started, 3),
        }
    return draft.committed()


def run(config: Config, workspace: Workspace, snapshot_ref: str, encoder_ref: str) -> Manifest:
    """Embed what is missing, shard by shard in this process, and collect; see the module's docstring."""
    shards = plan(config, workspace, snapshot_ref, encoder_ref)
    refs = [embed_shard(config, workspace, shard) for shard in shards]
    return collect(config, workspace, snapshot_ref, encoder_ref, refs)


def _config(workspace: Workspace, encoder_ref: str) -> EncoderConfig:
    folder = workspace.path(workspace.get(encoder_ref))
    return EncoderConfig.model_validate(read_description(folder)["config"])


def _reader(workspace: Workspace, encoder_ref: str) -> ContentReader:
    return ContentReader(_config(workspace, encoder_ref))


def _shard_id(encoder_ref: str, keys: Keys) -> str:
    return shard_prefix(encoder_ref) + content_id(
        {"version": VERSION, "encoder": encoder_ref, "keys": _digest(keys)}
    )


def _digest(keys: Keys) -> str:
    return hashlib.blake2b(keys.tobytes(), digest_size=16).hexdigest()
