"""What is in service: the live collection, the ones kept for rollback, and how fresh they are."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from recsys.config import Config
from recsys.index.base import READY, CollectionInfo
from recsys.index.engine import open_index
from recsys.workspace import Workspace

LOCK = "index-publish"


def live_encoder(config: Config, workspace: Workspace) -> str | None:
    """Return the ref of the encoder in service, or ``None`` before the first publication.

    The live collection's metadata is the only record of the champion.
    """
    with closing(open_index(config, workspace)) as index:
        live = index.live()
    return live.metadata.encoder if live else None


def status(config: Config, workspace: Workspace) -> dict[str, Any]:
    """Return alias, live collection, encoder, snapshot, counts, freshness and what a rollback can reach."""
    with closing(open_index(config, workspace)) as index:
        collections = index.collections()
    live = next((c for c in collections if c.live), None)
    answer: dict[str, Any] = {
        "alias": config.index.alias,
        "engine": "qdrant-server" if config.index.url else "qdrant-edge",
        "collection": None,
        "previous": [_summary(c) for c in collections if not c.live and c.metadata.state == READY],
    }
    if live is None:
        return answer
    snapshot = workspace.find_ref(live.metadata.snapshot)
    return answer | {
        "collection": live.name,
        "encoder": live.metadata.encoder,
        "snapshot": live.metadata.snapshot,
        "embedding_set": live.metadata.embedding_set,
        "num_products": live.num_points,
        "dim": live.metadata.dim,
        "schema_version": live.metadata.schema_version,
        "published_at": live.metadata.published_at,
        "updated_at": live.metadata.updated_at,
        "age_s": _age_s(live.metadata.updated_at),
        "snapshot_age_s": _age_s(snapshot.created_at) if snapshot else None,
        "pending": live.metadata.pending or None,
    }


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _summary(collection: CollectionInfo) -> dict[str, Any]:
    metadata = collection.metadata
    return {
        "collection": collection.name,
        "encoder": metadata.encoder,
        "snapshot": metadata.snapshot,
        "num_products": collection.num_points,
        "published_at": metadata.published_at or None,
    }


def _age_s(moment: str) -> float | None:
    if not moment:
        return None
    return round((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds(), 1)
