"""The steps of a publication: build or change, audit, catch up, switch, collect.

Does a collection show a source already? If not, what has to be written?

What is written into a collection: all of a source, or what changed; and what it then says of itself.

The memory of one publication across kills, and its manifest.

What was live when a publication first began decides its id and is what its record calls *previous*;
a run that was killed after the switch still writes the record of what it did, not "nothing changed".
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from recsys.config import Config
from recsys.config.index import IndexConfig
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
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.embeddings import SET_KIND
from recsys.workspace.store import write_atomic

logger = logging.getLogger(__name__)


def shows(collection: CollectionInfo, source: Source, config: IndexConfig) -> bool:
    """Tell whether a collection is complete and shows ``source`` in the present shape."""
    metadata = collection.metadata
    at = (metadata.snapshot, metadata.embedding_set)
    wanted = (source.snapshot_ref, source.embedding_set_ref)
    return has_shape(collection, config) and not metadata.pending and at == wanted


def has_shape(collection: CollectionInfo, config: IndexConfig) -> bool:
    """Tell whether payloads are of the present version and every filter column has its index."""
    metadata = collection.metadata
    shape = (SCHEMA_VERSION, tuple(indexed_columns(config.attributes)))
    return (metadata.schema_version, metadata.indexed) == shape


def newer_snapshot(workspace: Workspace, source: Source, live: CollectionInfo | None) -> str | None:
    """Return the live snapshot when it is the catalog's latest and ``source``'s is not, else ``None``.

    The catalog's pointer is the only order there is: a catalog that returns to an earlier state is the
    same snapshot again, so its age says nothing.
    """
    latest = (workspace.read_pointer("catalog") or {}).get("snapshot")
    if live is None or live.metadata.snapshot != latest or source.snapshot_ref == latest:
        return None
    return live.metadata.snapshot


def find_embeddings(workspace: Workspace, snapshot_ref: str, encoder_ref: str) -> str | None:
    """Return the newest embedding set of a snapshot under an encoder, or ``None``."""
    wanted = (snapshot_ref, encoder_ref)
    for manifest in reversed(workspace.list(SET_KIND)):
        if (manifest.inputs.get("snapshot"), manifest.inputs.get("encoder")) == wanted:
            return manifest.ref
    return None


def changes(index: VectorIndex, workspace: Workspace, collection: CollectionInfo, source: Source) -> Changes:
    """Compare with the artifacts the collection was made from, or with the collection itself.

    The artifacts are quicker and in order, but they tell the truth only where no change was left
    half-made and they still exist.
    """
    metadata = collection.metadata
    reshaped = metadata.schema_version != SCHEMA_VERSION
    if not metadata.pending:
        try:
            before = Source(workspace, metadata.snapshot, metadata.embedding_set)
            return diff(before.rows(), source.rows(), all_payloads=reshaped)
        except ArtifactError as error:
            logger.info("comparing with %s itself: %s", collection.name, error.message)
    stored = {
        r.id: Row(r.id, r.payload.get("embedding_key", ""), r.payload.get("row_hash", ""))
        for r in index.open(collection.name).records(("embedding_key", "row_hash"))
    }
    return diff_unordered(stored, source.rows(), all_payloads=reshaped)


def fill(writer: Writer, source: Source, *, batch_size: int) -> int:
    """Write every product that a build does not have yet; return how many that were."""
    points: Iterable[Point] = source.points()
    resumed = writer.count()
    if resumed:
        logger.info("%s: resuming a build of which %d products are there", writer.name, resumed)
        points = _absent(writer, points, batch_size)
    return writer.upsert(track(points, total=len(source), label="publish", unit="products"))


def apply(writer: Writer, source: Source, changes: Changes) -> None:
    """Write what changed: vectors first, deletions last."""
    points = source.points(changes.upsert)
    writer.upsert(track(points, total=len(changes.upsert), label="publish", unit="products"))
    writer.set_payloads(source.payloads(changes.payload))
    writer.delete(changes.gone)


def describe(source: Source) -> Metadata:
    """Return what a collection that is to be built from ``source`` says of itself."""
    return Metadata(
        encoder=source.encoder_ref,
        snapshot=source.snapshot_ref,
        embedding_set=source.embedding_set_ref,
        dim=source.dim,
        created_at=now(),
    )


def brought_to(metadata: Metadata, source: Source) -> Metadata:
    """Return what a collection says of itself once it shows ``source``."""
    return metadata.but(
        snapshot=source.snapshot_ref,
        embedding_set=source.embedding_set_ref,
        schema_version=SCHEMA_VERSION,
        updated_at=now(),
        pending="",
    )


def _absent(writer: Writer, points: Iterable[Point], size: int) -> Iterator[Point]:
    """Yield the points that a resumed build does not have as they should be."""
    iterator = iter(points)
    while batch := list(islice(iterator, size)):
        have = {r.id: r.payload for r in writer.retrieve([p.id for p in batch])}
        yield from (p for p in batch if have.get(p.id) != p.payload)


KIND = "publications"
CODE_VERSION = 1
_FILE = "journal.json"


@dataclass
class Journal:
    """What a publication did so far."""

    workspace: Workspace
    inputs: dict[str, str]
    key: str
    before: dict[str, Any]
    """What was live when it began."""
    plan: dict[str, Any] | None = None
    """What a change set out to do; a change of a server shows half-made, so a second look finds less."""
    done: dict[str, Any] | None = None
    """``Manifest.info``, written down just before the step that readers see: once they see it, it is true."""

    @classmethod
    def open(
        cls, config: Config, workspace: Workspace, source: Source, live: CollectionInfo | None
    ) -> "Journal":
        """Continue the publication of ``source`` that was interrupted, or begin one."""
        inputs = {
            "snapshot": source.snapshot_ref,
            "embeddings": source.embedding_set_ref,
            "encoder": source.encoder_ref,
        }
        where = {"alias": config.index.alias, "url": config.index.url, "code": CODE_VERSION}
        key = content_id({**inputs, **where})
        now = _describe(live)
        journal = cls(workspace, inputs, key, now)
        if journal._path.exists():
            saved = json.loads(journal._path.read_text(encoding="utf-8"))
            arrived = saved["done"] is not None and _arrived(live, saved["done"])
            if arrived or saved["before"] == now:
                journal.before = saved["before"]
                journal.plan = saved["plan"]
                journal.done = saved["done"] if arrived else None
        journal._write()
        return journal

    @property
    def _path(self) -> Path:
        return self.workspace.scratch(KIND, self.key) / _FILE

    def intend(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Record what a change is about to do, and return it; an interrupted change keeps its first plan."""
        if self.plan is None:
            self.plan = plan
            self._write()
        return self.plan

    def promise(self, info: dict[str, Any]) -> None:
        """Record what will have been done once the next step is: switching, or committing a change."""
        self.done = info
        self._write()

    def commit(self, info: dict[str, Any]) -> Manifest:
        """Write the manifest of the finished publication and forget the journal."""
        id = content_id({"key": self.key, "before": self.before, "action": info["action"]})
        manifest = self.workspace.find(KIND, id)
        if manifest is None:
            with self.workspace.create(KIND, id, inputs=self.inputs) as draft:
                draft.info.update(info)
            manifest = draft.committed()
        self.workspace.drop_scratch(KIND, self.key)
        return manifest

    def _write(self) -> None:
        state = {"before": self.before, "plan": self.plan, "done": self.done}
        write_atomic(self._path, json.dumps(state, indent=1))


def _describe(live: CollectionInfo | None) -> dict[str, Any]:
    if live is None:
        return {"collection": None}
    metadata = live.metadata
    return {
        "collection": live.name,
        "encoder": metadata.encoder,
        "snapshot": metadata.snapshot,
        "embedding_set": metadata.embedding_set,
        "published_at": metadata.published_at,
    }


def _arrived(live: CollectionInfo | None, done: dict[str, Any]) -> bool:
    """Tell whether readers see what was promised."""
    if live is None or live.metadata.pending:
        return False
    seen = (live.name, live.metadata.snapshot, live.metadata.encoder)
    return seen == (done["collection"], done["snapshot"], done["encoder"])


class Publisher:
    """Publishes one source. Every step can be repeated; what is done already is found and skipped."""

    def __init__(
        self,
        config: Config,
        workspace: Workspace,
        index: VectorIndex,
        journal: Journal,
    ) -> None:
        self._config = config
        self._workspace = workspace
        self._index = index
        self._journal = journal
        self._timings: dict[str, float] = {}

    def publish(self, source: Source) -> dict[str, Any]:
        """Make ``source`` what the alias shows, and return what was done."""
        live = self._index.live()
        if live is None or live.metadata.encoder != source.encoder_ref:
            return self._build(source, live)
        return self._update(source, live)

    def _info(self, name: str, source: Source, live: CollectionInfo | None, **done: Any) -> dict[str, Any]:
        info = {
            "alias": self._index.alias,
            "collection": name,
            "encoder": source.encoder_ref,
            "snapshot": source.snapshot_ref,
            "previous": live.name if live else None,
            "audit": None,
            "behind": None,
            "timings": self._timings,
            **done,
        }
        info["counts"]["total"] = len(source)
        logger.info("%s: alias %s → %s %s", info["action"], info["alias"], name, info["counts"])
        return info

    # -- a new encoder ---------------------------------------------------------------------------

    def _build(self, source: Source, live: CollectionInfo | None) -> dict[str, Any]:
        name = collection_name(self._index.alias, source)
        existing = self._find(name)
        if existing is not None and existing.metadata.state == READY:
            counts = self._refill(existing, source)
            audit = self._audited(name, self._index.open(name), source)
        else:
            counts, audit = self._fill(name, source)
        source, behind = self._catch_up(name, source, live)
        reason = "There was no collection yet." if live is None else "The encoder is a new one."
        info = self._info(
            name, source, live,
            action="build", reason=reason, counts=counts, audit=audit.to_json(), behind=behind,
        )  # fmt: skip
        self._journal.promise(info)
        with self._timed("switch_s"):
            built = self._find(name)
            assert built is not None
            self._index.describe(name, built.metadata.but(published_at=now()))
            self._index.switch(name)
        return info

    def _shows(self, collection: CollectionInfo, source: Source) -> bool:
        return shows(collection, source, self._config.index)

    def _compare(self, collection: CollectionInfo, source: Source) -> Changes:
        return changes(self._index, self._workspace, collection, source)

    def _find(self, name: str) -> CollectionInfo | None:
        return next((c for c in self._index.collections() if c.name == name), None)

    def _fill(self, name: str, source: Source) -> tuple[dict[str, int], Audit]:
        with self._index.build(name, describe(source)) as writer:
            with self._timed("upsert_s"):
                written = fill(writer, source, batch_size=self._config.index.batch_size)
            with self._timed("index_s"):
                writer.index()
            audit = self._audited(name, writer, source)
            writer.commit(brought_to(writer.metadata, source))
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
        if self._shows(existing, source):
            return _counts(unchanged=len(source))
        changes = self._compare(existing, source)
        self._apply(existing, source, changes)
        return changes.counts()

    def _catch_up(self, name: str, source: Source, live: CollectionInfo | None) -> tuple[Source, str | None]:
        """Apply what a refresh published since ``source``'s snapshot; say what could not be applied."""
        newer = newer_snapshot(self._workspace, source, live)
        if newer is None:
            return source, None
        embeddings = find_embeddings(self._workspace, newer, source.encoder_ref)
        if embeddings is None:
            logger.warning("%s is behind %s: it was not embedded under %s", name, newer, source.encoder_ref)
            return source, newer
        with self._timed("catch_up_s"):
            latest = Source(self._workspace, newer, embeddings)
            built = self._find(name)
            assert built is not None
            if not self._shows(built, latest):
                self._apply(built, latest, self._compare(built, latest))
        return latest, None

    # -- the same encoder ------------------------------------------------------------------------

    def _update(self, source: Source, live: CollectionInfo) -> dict[str, Any]:
        newer = newer_snapshot(self._workspace, source, live)
        if newer is not None:
            return self._nothing(source, live, f"The live collection already shows {newer}, which is newer.")
        if self._shows(live, source):
            return self._nothing(source, live, "The live collection already shows this.")
        with self._timed("diff_s"):
            changes = self._compare(live, source)
        if changes.is_empty and self._journal.plan is None and has_shape(live, self._config.index):
            self._index.describe(live.name, brought_to(live.metadata, source))
            return self._nothing(source, live, "No product differs.")
        written = "incremental" if len(changes.upsert) or changes.gone else "payload"
        plan = self._journal.intend({"action": written, "counts": changes.counts()})
        reason = "The encoder did not change: only what differs was written."
        info = self._info(live.name, source, live, reason=reason, **plan)

        def promise(audit: Audit) -> None:
            info["audit"] = audit.to_json()
            self._journal.promise(info)

        self._apply(live, source, changes, promise)
        return info

    def _nothing(self, source: Source, live: CollectionInfo, reason: str) -> dict[str, Any]:
        counts = _counts(unchanged=len(source))
        return self._info(live.name, source, live, action="nothing", reason=reason, counts=counts) | {
            "snapshot": live.metadata.snapshot
        }

    def _apply(
        self,
        collection: CollectionInfo,
        source: Source,
        changes: Changes,
        promise: Callable[[Audit], None] = lambda audit: None,
    ) -> None:
        pending = source.embedding_set_ref
        with self._timed("change_s"), self._index.change(collection.name, pending=pending) as writer:
            apply(writer, source, changes)
            writer.index()
            audit = audit_changes(writer, source, changes, self._config.index, seed=self._config.seed)
            audit.require(collection.name)
            promise(audit)
            writer.commit(brought_to(collection.metadata, source))

    # -- housekeeping ----------------------------------------------------------------------------

    def collect(self) -> list[str]:
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


def _counts(*, new: int = 0, unchanged: int = 0) -> dict[str, int]:
    return {"new": new, "vectors": 0, "payload": 0, "gone": 0, "unchanged": unchanged}
