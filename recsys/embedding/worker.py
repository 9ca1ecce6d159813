"""Embeds one shard: the part of the stage that needs torch.

Does not know: plans, or which rows are cached.
"""

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys.config import Config
from recsys.embedding.rows import rows_at
from recsys.encoder.inference import embed_products
from recsys.encoder.model import ProductEncoder
from recsys.progress import track
from recsys.workspace import Workspace
from recsys.workspace.embeddings import ShardWriter
from recsys.workspace.snapshot import Snapshot

logger = logging.getLogger(__name__)


def write_shard(
    config: Config, workspace: Workspace, inputs: dict[str, str], planned: pa.Table, path: Path
) -> dict[str, Any]:
    """Embed the ``planned`` rows (position, key) of ``inputs["snapshot"]`` into ``path``; return counts.

    Memory is one chunk of ``config.embedding.chunk_size`` rows and the images being decoded.
    """
    encoder = _load(str(workspace.path(workspace.get(inputs["encoder"]))))
    snapshot = Snapshot.open(workspace, inputs["snapshot"])
    rows = rows_at(snapshot, planned.column("position").to_numpy(), encoder.content.columns)
    chunks = embed_products(encoder, rows, snapshot.images(), config.embedding)
    writer = ShardWriter(path, encoder.dim)
    counts = {"rows": 0, "without_image": 0, "without_text": 0}
    try:
        for vectors in track(
            chunks, label="embedding", total=-(-len(planned) // config.embedding.chunk_size), unit="chunks"
        ):
            keys = planned.column("key").slice(counts["rows"], len(vectors.image)).to_pylist()
            writer.write(keys, vectors)
            counts["rows"] += len(keys)
            counts["without_image"] += int((~vectors.has_image).sum())
            counts["without_text"] += int((~vectors.has_text).sum())
    finally:
        writer.close()
    return {
        "encoder": inputs["encoder"],
        "snapshot": inputs["snapshot"],
        "dim": encoder.dim,
        "counts": counts,
    }


@lru_cache(maxsize=1)
def _load(folder: str) -> ProductEncoder:
    """Load an encoder once for all shards of a process; artifacts never change."""
    return ProductEncoder.load(Path(folder))
