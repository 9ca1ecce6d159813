"""The steps of a publication: build or change, audit, catch up, switch, collect.

Does not know: manifests and resumption (``journal``), engines (``base``).
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from recsys.config import Config
from recsys.index import compare, writing
from recsys.index.audit import Audit, audit_build, audit_changes
from recsys.index.base import (
    FAILED,
    READY,
    Collection,
    CollectionInfo,
    VectorIndex,
)  # fmt: skip
from recsys.index.diff import Changes
from recsys.index.journal import Journal
from recsys.index.service import now
from recsys.index.source import Source
from recsys.workspace import Workspace

logger = logging.getLogger(__name__)

Embed = Callable[[str, str], str]


class Publisher:
    """Publishes one source. Every step can be repeated; what is done already is found and skipped."""

    def __init__(
        self,
        config: Config,
        workspace: Workspace,
        index: VectorIndex,
        journal: Journal,
        embed: Embed | None = None,
    ) -> None:
        self._config = config
        self._workspace = workspace
        self._index = index
        self._journal = journal
        self._embed = embed
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
        return compare.shows(collection, source, self._config.index)

    def _compare(self, collection: CollectionInfo, source: Source) -> Changes:
        return compare.changes(self._index, self._workspace, collection, source)

    def _embedded(self, snapshot_ref: str, encoder_ref: str) -> str | None:
        if self._embed is not None:
            return self._embed(snapshot_ref, encoder_ref)
        return compare.find_embeddings(self._workspace, snapshot_ref, encoder_ref)

    def _find(self, name: str) -> CollectionInfo | None:
        return next((c for c in self._index.collections() if c.name == name), None)

    def _fill(self, name: str, source: Source) -> tuple[dict[str, int], Audit]:
        with self._index.build(name, writing.describe(source)) as writer:
            with self._timed("upsert_s"):
                written = writing.fill(writer, source, batch_size=self._config.index.batch_size)
            with self._timed("index_s"):
                writer.index()
            audit = self._audited(name, writer, source)
            writer.commit(writing.brought_to(writer.metadata, source))
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
        newer = compare.newer_snapshot(self._workspace, source, live)
        if newer is None:
            return source, None
        embeddings = self._embedded(newer, source.encoder_ref)
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
        newer = compare.newer_snapshot(self._workspace, source, live)
        if newer is not None:
            return self._nothing(source, live, f"The live collection already shows {newer}, which is newer.")
        if self._shows(live, source):
            return self._nothing(source, live, "The live collection already shows this.")
        with self._timed("diff_s"):
            changes = self._compare(live, source)
        if changes.is_empty and self._journal.plan is None and compare.has_shape(live, self._config.index):
            self._index.describe(live.name, writing.brought_to(live.metadata, source))
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
            writing.apply(writer, source, changes)
            writer.index()
            audit = audit_changes(writer, source, changes, self._config.index, seed=self._config.seed)
            audit.require(collection.name)
            promise(audit)
            writer.commit(writing.brought_to(collection.metadata, source))

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
