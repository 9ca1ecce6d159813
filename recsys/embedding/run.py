"""The embedding stage: plan → embed_shard for each → collect.

    shards = plan(config, workspace, snapshot_ref, encoder_ref)
    refs = [embed_shard(config, workspace, shard) for shard in shards]    # on as many workers as there are
    collect(config, workspace, snapshot_ref, encoder_ref, refs)

Every step may be run again at any time: plans and shards are named by the content keys they cover, so
finished work is found and skipped, and damaged work is made again. Only ``embed_shard`` needs torch.

    P = contents to embed, N = products of the snapshot
"""

import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather

from recsys.config import Config
from recsys.config.encoder import EncoderConfig
from recsys.embedding.cache import Cache, Keys, content_keys, shard_prefix
from recsys.encoder.description import read_description
from recsys.encoder.template import ContentReader
from recsys.errors import ArtifactError
from recsys.progress import track
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.embeddings import (
    SET_FILE,
    SET_KIND,
    SET_SCHEMA,
    SHARD_FILE,
    SHARD_KIND,
    ShardWriter,
)
from recsys.workspace.features import FeatureStore
from recsys.workspace.snapshot import Snapshot

if TYPE_CHECKING:
    from recsys.encoder.model import ProductEncoder

logger = logging.getLogger(__name__)

PLAN_KIND, PLAN_FILE = "embedding-plans", "rows.arrow"
PLAN_SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),  # of the row in the snapshot, ascending
        pa.field("key", pa.binary(16), nullable=False),  # of its content, each once
    ]
)
VERSION = 1
"""Raised when the same inputs would give other vectors."""


def plan(config: Config, workspace: Workspace, snapshot_ref: str, encoder_ref: str) -> list[dict[str, Any]]:
    """Return the shards that are missing, as small JSON values; an empty list where nothing is.

    Each names the plan artifact, its slice ``[start, stop)`` of it, the id the shard will have, and the
    precision of the encoder's vectors so far, so that a GPU and a CPU do not mix theirs.
    """
    started = time.monotonic()
    snapshot = Snapshot.open(workspace, snapshot_ref)
    keys = content_keys(snapshot, ContentReader(_encoder_config(workspace, encoder_ref)))
    cache = Cache(workspace, encoder_ref)
    found, _, _ = cache.locate(keys)
    positions = np.flatnonzero(~found)
    _, first = np.unique(keys[positions], return_index=True)  # products of equal content are embedded once
    positions = positions[np.sort(first)]
    seconds = time.monotonic() - started
    logger.info("plan: %d products, %d contents to embed, %.1f s", len(keys), len(positions), seconds)
    if not len(positions):
        return []
    inputs = {"snapshot": snapshot_ref, "encoder": encoder_ref}
    id = content_id({"version": VERSION, **inputs, "keys": _digest(keys[positions])})
    if workspace.find_intact(PLAN_KIND, id) is None:
        with workspace.create(PLAN_KIND, id, inputs=inputs) as draft:
            columns = [pa.array(positions), _binary(keys[positions])]
            _write_table(pa.table(columns, schema=PLAN_SCHEMA), draft.path / PLAN_FILE)
            draft.info = {"rows": len(positions), "products": len(keys)}
    return [
        {
            "plan": f"{PLAN_KIND}/{id}",
            "index": index,
            "start": start,
            "stop": min(start + config.embedding.shard_size, len(positions)),
            "precision": cache.precision or config.embedding.precision,
            "id": _shard_id(encoder_ref, keys[positions[start : start + config.embedding.shard_size]]),
        }
        for index, start in enumerate(range(0, len(positions), config.embedding.shard_size))
    ]


def embed_shard(config: Config, workspace: Workspace, shard: dict[str, Any]) -> str:
    """Embed one shard of a plan and return its ref; one that is finished is returned at once.

    Memory is one chunk of ``config.embedding.chunk_size`` rows and the images being decoded.
    """
    existing = workspace.find_intact(SHARD_KIND, shard["id"])
    if existing is not None:
        return existing.ref
    from recsys.encoder.inference import embed_products, precision_of

    plan = workspace.get(shard["plan"])
    table = feather.read_table(workspace.path(plan) / PLAN_FILE, memory_map=True)
    planned = table.slice(shard["start"], shard["stop"] - shard["start"])
    encoder = _load_encoder(str(workspace.path(workspace.get(plan.inputs["encoder"]))))
    snapshot = Snapshot.open(workspace, plan.inputs["snapshot"])
    rows = snapshot.rows_at(planned.column("position").to_numpy(), encoder.content.columns)
    options = config.embedding.model_copy(update={"precision": shard["precision"]})
    store = FeatureStore(workspace)
    chunks = embed_products(encoder, rows, snapshot.images(), options, store=store)
    num_chunks = -(-len(planned) // config.embedding.chunk_size)
    counts = {"rows": 0, "without_image": 0, "without_text": 0}
    started = time.monotonic()
    with workspace.create(SHARD_KIND, shard["id"], inputs=plan.inputs) as draft:
        with closing(ShardWriter(draft.path / SHARD_FILE, encoder.dim)) as writer:
            for vectors in track(chunks, label="embedding", total=num_chunks, unit="chunks"):
                keys = planned.column("key").slice(counts["rows"], len(vectors.image)).to_pylist()
                writer.write(keys, vectors)
                counts["rows"] += len(keys)
                counts["without_image"] += int((~vectors.has_image).sum())
                counts["without_text"] += int((~vectors.has_text).sum())
        seconds = round(time.monotonic() - started, 3)
        draft.info = {**plan.inputs, "dim": encoder.dim, "counts": counts, "duration_s": seconds}
        draft.info["precision"] = precision_of(options)
    rate = len(planned) / max(seconds, 1e-9)
    logger.info("shard %d: %d rows in %.1f s, %.0f per second", shard["index"], len(planned), seconds, rate)
    return draft.committed().ref


@lru_cache(maxsize=1)
def _load_encoder(folder: str) -> "ProductEncoder":
    """Load an encoder once for all shards of a process; artifacts never change."""
    from recsys.encoder.model import ProductEncoder

    return ProductEncoder.load(Path(folder))


def collect(
    config: Config, workspace: Workspace, snapshot_ref: str, encoder_ref: str, shard_refs: Sequence[str]
) -> Manifest:
    """Join what is cached into the set of this snapshot under this encoder.

    ``shard_refs`` are the shards made just now. ``info["embedded"]`` counts the products whose vectors were
    made for this snapshot, whichever attempt made them, and ``info["reused"]`` the others. Raises
    :class:`ArtifactError` where a shard, or a product's vector, is missing.
    """
    id = content_id({"version": VERSION, "snapshot": snapshot_ref, "encoder": encoder_ref})
    existing = workspace.find_intact(SET_KIND, id)
    if existing is not None:
        if all(map(workspace.find_ref, existing.info["shards"])):
            return existing
        logger.warning("%s refers to shards that are gone and is made again", existing.ref)
        workspace.delete(existing)
    started = time.monotonic()
    snapshot = Snapshot.open(workspace, snapshot_ref)
    keys = content_keys(snapshot, ContentReader(_encoder_config(workspace, encoder_ref)))
    cache = Cache(workspace, encoder_ref)
    lost = set(shard_refs) - {shard.ref for shard in cache.shards}
    if lost:
        raise ArtifactError(f"The shards {sorted(lost)} are gone.", fix="Plan and embed again, then collect.")
    found, shard, row = cache.locate(keys)
    if not found.all():
        lacking = int((~found).sum())
        raise ArtifactError(
            f"{lacking} of {len(keys)} products of {snapshot_ref} have no vector under {encoder_ref}.",
            fix="Embed every shard of the plan before collecting: recsys embed does both.",
        )
    used, shard_index = np.unique(shard, return_inverse=True)
    shards = [cache.shards[i] for i in used]
    fresh = [made.inputs["snapshot"] == snapshot_ref for made in shards]
    embedded = int(np.array(fresh)[shard_index].sum()) if len(keys) else 0
    with workspace.create(SET_KIND, id, inputs={"snapshot": snapshot_ref, "encoder": encoder_ref}) as draft:
        ids = snapshot.table(["id"]).column("id")
        columns = [ids, _binary(keys), pa.array(shard_index, pa.int32()), pa.array(row)]
        _write_table(pa.table(columns, schema=SET_SCHEMA), draft.path / SET_FILE)
        draft.info = {
            "snapshot": snapshot_ref,
            "encoder": encoder_ref,
            "dim": _encoder_config(workspace, encoder_ref).dim,
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


def _encoder_config(workspace: Workspace, encoder_ref: str) -> EncoderConfig:
    folder = workspace.path(workspace.get(encoder_ref))
    return EncoderConfig.model_validate(read_description(folder)["config"])


def _shard_id(encoder_ref: str, keys: Keys) -> str:
    inputs = {"version": VERSION, "encoder": encoder_ref, "keys": _digest(keys)}
    return shard_prefix(encoder_ref) + content_id(inputs)


def _digest(keys: Keys) -> str:
    return hashlib.blake2b(keys.tobytes(), digest_size=16).hexdigest()


def _binary(keys: Keys) -> pa.Array:
    """View ``S16`` keys as Arrow ``binary(16)``."""
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(keys), [None, pa.py_buffer(keys.tobytes())]
    )


def _write_table(table: pa.Table, path: Path) -> None:
    """Write an Arrow IPC file that can be memory-mapped."""
    feather.write_feather(table, str(path), compression="uncompressed", chunksize=65_536)
