"""The steps of a publication: build or change, audit, catch up, switch, collect.

Does not know: manifests and resumption (``journal``), engines (``base``).
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from recsys.config import Config
from recsys.errors import ArtifactError
from recsys.index.audit import Audit, audit_build, audit_changes
from recsys.index.base import (
    FAILED,
    READY,
    SCHEMA_VERSION,
    Collection,
    CollectionInfo,
    Metadata,
    Point,
    VectorIndex,
    Writer,
)  # fmt: skip
from recsys.index.diff import Changes, diff, diff_unordered
from recsys.index.points import indexed_columns
from recsys.index.service import now
from recsys.index.source import Row, Source
from recsys.progress import track
from recsys.workspace import Workspace

logger = logging.getLogger(__name__)

Embed = Callable[[str, str], str]


class Publisher:
    """Publishes one source. Every step can be repeated; what is done already is found and skipped."""

    def __init__(
        self, config: Config, workspace: Workspace, index: VectorIndex, embed: Embed | None = None
    ) -> None:
        self._config = config
        self._workspace = workspace
        self._index = index
        self._embed = embed
        self._timings: dict[str, float] = {}

    def publish(self, source: Source) -> dict[str, Any]:
        """Make ``source`` what the alias shows, and return what was done."""
        live = self._index.live()
        if live is None or live.metadata.encoder != source.encoder_ref:
            info = self._build(source, live)
        else:
            info = self._update(source, live)
        now_live = self._index.live()
        assert now_live is not None
        info["counts"]["total"] = now_live.num_points
        info |= {
            "alias": self._index.alias,
            "collection": now_live.name,
            "encoder": now_live.metadata.encoder,
            "snapshot": now_live.metadata.snapshot,
            "timings": self._timings,
        }
        logger.info("published: %s, %s → %s %s", info["action"], info["alias"], now_live.name, info["counts"])
        return info

    # -- a new encoder ---------------------------------------------------------------------------

    def _build(self, source: Source, live: CollectionInfo | None) -> dict[str, Any]:
        name = collection_name(self._index.alias, source)
        existing = next((c for c in self._index.collections() if c.name == name), None)
        if existing is not None and existing.metadata.state == READY:
            counts = self._refill(existing, source)
            audit = self._audited(name, self._index.open(name), source)
        else:
            counts, audit = self._fill(name, source)
        source, behind = self._catch_up(name, source, live)
        with self._timed("switch_s"):
            target = next(c for c in self._index.collections() if c.name == name)
            self._index.describe(name, target.metadata.but(published_at=now()))
            self._index.switch(name)
        return {
            "action": "build",
            "reason": "There was no collection yet." if live is None else "The encoder is a new one.",
            "counts": counts,
            "audit": audit.to_json(),
            "previous": live.name if live else None,
            "behind": behind,
            "collected": self._collect(),
        }

    def _fill(self, name: str, source: Source) -> tuple[dict[str, int], Audit]:
        metadata = Metadata(
            encoder=source.encoder_ref,
            snapshot=source.snapshot_ref,
            embedding_set=source.embedding_set_ref,
            dim=source.dim,
            created_at=now(),
        )
        with self._index.build(name, metadata) as writer:
            metadata = writer.metadata
            resumed = writer.count()
            if resumed:
                logger.info("%s: resuming a build of which %d products are there", name, resumed)
            with self._timed("upsert_s"):
                points: Iterable[Point] = source.points()
                points = _absent(writer, points, self._config.index.batch_size) if resumed else points
                written = writer.upsert(track(points, total=len(source), label="publish", unit="products"))
            with self._timed("index_s"):
                writer.index()
            audit = self._audited(name, writer, source)
            writer.commit(metadata.but(updated_at=now()))
        return _counts(new=written, unchanged=len(source) - written), audit

    def _audited(self, name: str, collection: Collection, source: Source) -> Audit:
        with self._timed("audit_s"):
            audit = audit_build(collection, source, self._config.index, seed=self._config.seed)
        logger.info("%s: audit %s, recall %s", name, audit.checks, audit.recall)
        if not audit.passed:
            self._index.describe(name, collection.metadata.but(state=FAILED))
        audit.require(name)
        return audit

    def _refill(self, existing: CollectionInfo, source: Source) -> dict[str, int]:
        """Bring a complete collection up to date: one rolled back from, or one killed before the switch."""
        if self._is_at(existing, source):
            return _counts(unchanged=len(source))
        changes = self._changes(existing, source)
        self._apply(existing, source, changes)
        return changes.counts()

    def _catch_up(self, name: str, source: Source, live: CollectionInfo | None) -> tuple[Source, str | None]:
        """Apply what a refresh published since ``source``'s snapshot; say what could not be applied."""
        newer = self._newer_snapshot(source, live)
        if newer is None:
            return source, None
        embeddings = self._embeddings(newer, source.encoder_ref)
        if embeddings is None:
            logger.warning("%s is behind %s: it was not embedded under %s", name, newer, source.encoder_ref)
            return source, newer
        with self._timed("catch_up_s"):
            latest = Source(self._workspace, newer, embeddings)
            built = next(c for c in self._index.collections() if c.name == name)
            if not self._is_at(built, latest):
                self._apply(built, latest, self._changes(built, latest))
        return latest, None

    def _newer_snapshot(self, source: Source, live: CollectionInfo | None) -> str | None:
        """Return the live snapshot when it is the catalog's latest and ``source``'s is not."""
        latest = (self._workspace.read_pointer("catalog") or {}).get("snapshot")
        if live is None or live.metadata.snapshot != latest or source.snapshot_ref == latest:
            return None
        return live.metadata.snapshot

    def _embeddings(self, snapshot_ref: str, encoder_ref: str) -> str | None:
        if self._embed is not None:
            return self._embed(snapshot_ref, encoder_ref)
        for manifest in reversed(self._workspace.list("embedding-sets")):
            if (manifest.inputs.get("snapshot"), manifest.inputs.get("encoder")) == (
                snapshot_ref,
                encoder_ref,
            ):
                return manifest.ref
        return None

    # -- the same encoder ------------------------------------------------------------------------

    def _update(self, source: Source, live: CollectionInfo) -> dict[str, Any]:
        newer = self._newer_snapshot(source, live)
        if newer is not None:
            return _nothing(live, f"The live collection already shows {newer}, which is newer.", len(source))
        if self._is_at(live, source):
            return _nothing(live, "The live collection already shows this.", len(source))
        with self._timed("diff_s"):
            changes = self._changes(live, source)
        if changes.is_empty and self._has_shape(live):
            self._index.describe(live.name, _brought_to(live.metadata, source))
            return _nothing(live, "No product differs.", len(source))
        audit = self._apply(live, source, changes)
        vectors = len(changes.upsert) + len(changes.gone)
        return {
            "action": "incremental" if vectors else "payload",
            "reason": "The encoder did not change: only what differs was written.",
            "counts": changes.counts(),
            "audit": audit.to_json(),
            "previous": live.name,
            "behind": None,
            "collected": [],
        }

    def _is_at(self, collection: CollectionInfo, source: Source) -> bool:
        metadata = collection.metadata
        return self._has_shape(collection) and not metadata.pending and (
            metadata.snapshot, metadata.embedding_set,
        ) == (source.snapshot_ref, source.embedding_set_ref)  # fmt: skip

    def _has_shape(self, collection: CollectionInfo) -> bool:
        columns = tuple(indexed_columns(self._config.index.attributes))
        metadata = collection.metadata
        return (metadata.schema_version, metadata.indexed) == (SCHEMA_VERSION, columns)

    def _changes(self, collection: CollectionInfo, source: Source) -> Changes:
        """Compare with the artifacts the collection was made from, or with the collection itself.

        The artifacts are quicker and in order, but they tell the truth only where no change was left
        half-made and they still exist.
        """
        metadata = collection.metadata
        reshaped = metadata.schema_version != SCHEMA_VERSION
        if not metadata.pending:
            try:
                before = Source(self._workspace, metadata.snapshot, metadata.embedding_set)
                return diff(before.rows(), source.rows(), all_payloads=reshaped)
            except ArtifactError as error:
                logger.info("comparing with %s itself: %s", collection.name, error.message)
        stored = {
            r.id: Row(r.id, r.payload.get("embedding_key", ""), r.payload.get("row_hash", ""))
            for r in self._index.open(collection.name).records(("embedding_key", "row_hash"))
        }
        return diff_unordered(stored, source.rows(), all_payloads=reshaped)

    def _apply(self, collection: CollectionInfo, source: Source, changes: Changes) -> Audit:
        with (
            self._timed("change_s"),
            self._index.change(collection.name, pending=source.embedding_set_ref) as writer,
        ):
            points = source.points(changes.upsert)
            writer.upsert(track(points, total=len(changes.upsert), label="publish", unit="products"))
            writer.set_payloads(source.payloads(changes.payload))
            writer.delete(changes.gone)
            writer.index()
            audit = audit_changes(writer, source, changes, self._config.index, seed=self._config.seed)
            audit.require(collection.name)
            writer.commit(_brought_to(collection.metadata, source))
        return audit

    # -- housekeeping ----------------------------------------------------------------------------

    def _collect(self) -> list[str]:
        """Drop what is neither live nor kept for rollback, and builds that nobody finished."""
        others = [c for c in self._index.collections() if not c.live]
        published = [c for c in others if c.metadata.state == READY and c.metadata.published_at]
        kept = {c.name for c in published[: self._config.index.keep_previous]}
        dropped = [c.name for c in others if c.name not in kept]
        for name in dropped:
            logger.info("collecting %s", name)
            self._index.drop(name)
        return dropped

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        elapsed = time.monotonic() - started
        self._timings[step] = round(self._timings.get(step, 0.0) + elapsed, 3)


def collection_name(alias: str, source: Source) -> str:
    """Return ``<alias>__<encoder id>__<snapshot id>``."""
    ids = (ref.partition("/")[2] for ref in (source.encoder_ref, source.snapshot_ref))
    return "__".join((alias, *ids))


def _absent(writer: Writer, points: Iterable[Point], size: int) -> Iterator[Point]:
    """Yield the points that a resumed build does not have yet, as they should be."""
    iterator = iter(points)
    while batch := list(islice(iterator, size)):
        have = {r.id: r.payload for r in writer.retrieve([p.id for p in batch])}
        yield from (p for p in batch if have.get(p.id) != p.payload)


def _brought_to(metadata: Metadata, source: Source) -> Metadata:
    return metadata.but(
        snapshot=source.snapshot_ref,
        embedding_set=source.embedding_set_ref,
        schema_version=SCHEMA_VERSION,
        updated_at=now(),
        pending="",
    )


def _counts(*, new: int = 0, unchanged: int = 0) -> dict[str, int]:
    return {"new": new, "vectors": 0, "payload": 0, "gone": 0, "unchanged": unchanged}


def _nothing(live: CollectionInfo, reason: str, total: int) -> dict[str, Any]:
    return {
        "action": "nothing",
        "reason": reason,
        "counts": _counts(unchanged=total),
        "audit": None,
        "previous": live.name,
        "behind": None,
        "collected": [],
    }
