"""What is in service: the live collection, the ones kept for rollback, and how fresh they are."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from recsys.config import Config
from recsys.errors import InputError
from recsys.index.base import READY, CollectionInfo
from recsys.index.engine import VectorIndex, open_index
from recsys.index.holds import holds, lift_hold, put_on_hold
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


def rollback(config: Config, workspace: Workspace, to: str | None = None) -> str:
    """Point the alias at an earlier collection and return its name; its encoder is champion again.

    ``to`` names the collection; by default it is the last one published under another encoder. The encoder
    that served until now is put on hold (:mod:`recsys.index.holds`); what is chosen here is on hold no more.
    """
    with workspace.lock(LOCK), closing(open_index(config, workspace)) as index:
        index.recover()
        live, expected = index.live(), index.live_name()
        target = _target(index, live, to)
        chosen = target.metadata.encoder
        if live is not None and live.metadata.encoder != chosen:
            put_on_hold(workspace, live.metadata.encoder, f"rolled back to {target.name}")
        if chosen in holds(workspace):
            lift_hold(workspace, chosen)
        index.describe(target.name, replace(target.metadata, published_at=now()))
        index.switch(target.name, expected=expected)
    return target.name


def _target(index: VectorIndex, live: CollectionInfo | None, to: str | None) -> CollectionInfo:
    kept = [c for c in index.collections() if not c.live and c.metadata.state == READY]
    serving = live.metadata.encoder if live else None
    earlier = [c for c in kept if c.metadata.published_at and c.metadata.encoder != serving]
    wanted = [c for c in kept if c.name == to] if to else earlier
    if not wanted:
        names = ", ".join(c.name for c in kept)
        raise InputError(
            f"There is no collection {to!r} to go back to." if to else "Nothing was published before.",
            fix=f"Choose one of the kept collections: {names}."
            if names
            else "No earlier collection is kept; one is, once another encoder was published.",
        )
    return wanted[0]


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
