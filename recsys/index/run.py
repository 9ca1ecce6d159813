"""Publish: bring the live collection to a snapshot under an encoder, provably and with no gap.

A new encoder is built beside the live collection, audited and switched to in one step; the same encoder is
changed by what differs: vectors that changed, columns that changed, products that went. What is too much for
a change is a build too. Every step can be repeated, so a publication that was killed is finished by running
again.
"""

import logging
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from recsys.config import Config
from recsys.config.index import IndexConfig
from recsys.errors import ArtifactError, GuardError, RecsysError, TransientError
from recsys.index.audit import Audit, Encode, audit_build, audit_changes
from recsys.index.base import BUILDING, FAILED, READY, SCHEMA_VERSION, CollectionInfo, Metadata, Point
from recsys.index.diff import Changes, diff
from recsys.index.engine import Collection, VectorIndex, Writer, batches, open_index
from recsys.index.points import indexed_columns
from recsys.index.service import LOCK, now
from recsys.index.source import Row, Source
from recsys.progress import track
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.embeddings import SET_KIND
from recsys.workspace.holds import hold_sentence, holds, put_on_hold
from recsys.workspace.lease import Lease
from recsys.workspace.snapshot import snapshot_order

logger = logging.getLogger(__name__)

KIND = "publications"
CODE_VERSION = 1


def run(
    config: Config,
    workspace: Workspace,
    snapshot_ref: str,
    embedding_set_ref: str,
    *,
    encode: Encode | None = None,
    may_change_encoder: bool = True,
    idempotency_key: str | None = None,
) -> Manifest:
    """Publish an embedding set and return the manifest of the publication.

    ``encode`` encodes a sample of products anew for the audit; without it, as where vectors come from no
    encoder, the audit only proves that the collection is what the embedding set says.
    Unless it ``may_change_encoder``, an encoder other than the one in service publishes ``nothing``. A build
    catches up with what a refresh published meanwhile; where that was not embedded under its encoder, the
    alias stays and it is a :class:`TransientError`.
    What was published for ``idempotency_key`` before is returned as it is.
    ``info`` says what was done: ``action`` (``build``, ``incremental``, ``payload`` or ``nothing``),
    ``counts``, ``audit``, ``alias``, ``collection``, ``previous``, ``timings``, ``duration_s`` and the
    ``idempotency_key``. Raises :class:`~recsys.errors.AuditError` with the alias left where it was, and
    :class:`GuardError` for an encoder on hold; where that serves all the same, its collection is kept up to
    date.
    """
    started = time.monotonic()
    with workspace.lease(LOCK) as lease, closing(open_index(config, workspace)) as index:
        if (made := find_publication(workspace, idempotency_key)) is not None:
            return made
        source = Source(workspace, snapshot_ref, embedding_set_ref)
        index.fence = lease.check
        index.recover()
        live = index.live()
        what = source.inputs | where(config)
        journal = Journal.read(workspace, what, source.inputs, live, lease).begin()
        if may_change_encoder and (live is None or live.metadata.encoder != source.encoder_ref):
            _require_no_hold(workspace, source.encoder_ref)
        publisher = Publisher(config, workspace, index, journal, lease, encode)
        info = journal.result or publisher.publish(source, may_change_encoder)
        info["collected"] = publisher.drop_old_collections()
        info["duration_s"] = round(time.monotonic() - started, 3)
        return journal.commit(info, idempotency_key)


def find_publication(workspace: Workspace, idempotency_key: str | None) -> Manifest | None:
    """Return the publication that was made for a key, ``None`` if there is none or no key."""
    if idempotency_key is None:
        return None
    made = (m for m in reversed(workspace.list(KIND)) if m.info.get("idempotency_key") == idempotency_key)
    return next(made, None)


def where(config: Config) -> dict[str, Any]:
    """Return what tells publications of the same artifacts apart."""
    return {"alias": config.index.alias, "url": config.index.url, "code": CODE_VERSION}


def _require_no_hold(workspace: Workspace, encoder_ref: str) -> None:
    hold = holds(workspace).get(encoder_ref)
    if hold is not None:
        raise GuardError(
            f"{hold_sentence(encoder_ref, hold)} and is not published.",
            fix=f"Publish under another encoder, or lift the hold: recsys holds --lift {encoder_ref}",
        )


class Publisher:
    """Publishes one source. Every step finds and skips what is done already."""

    def __init__(
        self,
        config: Config,
        workspace: Workspace,
        index: VectorIndex,
        journal: "Journal",
        lease: Lease,
        encode: Encode | None,
    ) -> None:
        self._config = config
        self._workspace = workspace
        self._index = index
        self._journal = journal
        self._lease = lease
        self._timings: dict[str, float] = {}
        self._encode = self._timed("reencode_s")(encode) if encode else None
        self._expected = index.live_name()

    def publish(self, source: Source, may_change_encoder: bool = True) -> dict[str, Any]:
        """Make the alias show ``source``, under another encoder only if it ``may_change_encoder``."""
        live = self._index.live()
        if live is None:
            return self.build(source, live, "There was no collection yet.")
        if live.metadata.encoder == source.encoder_ref:
            return self._update(source, live)
        if may_change_encoder:
            return self.build(source, live, "The encoder is a new one.")
        return self._nothing(source, live, "Another encoder is in service.")

    def roll_back(
        self, target: CollectionInfo, source: Source | None, live: CollectionInfo | None
    ) -> dict[str, Any]:
        """Bring a kept collection to ``source``, audit it and switch; without a source, only switch."""
        done: dict[str, Any]
        if source is None:
            shown, total = inputs_of(target.metadata), target.num_points
            reason, done = "A person went back to it as it was.", {"counts": _counts(unchanged=total)}
        else:
            counts = self._refill(target, source)
            audit = self._audit(target.name, self._index.open(target.name), source, discard=False)
            source = self._catch_up(target.name, source, live)
            shown, total = source.inputs, len(source)
            reason, done = "A person went back to it.", {"counts": counts, "audit": asdict(audit)}
        left = live.metadata.encoder if live and live.metadata.encoder != shown["encoder"] else None
        return self._switch(
            self._info(target.name, shown, total, live, action="rollback", reason=reason, held=left, **done)
        )

    # -- a new collection ------------------------------------------------------------------------

    def build(self, source: Source, live: CollectionInfo | None, reason: str) -> dict[str, Any]:
        """Build a collection beside the live one, which stays what it is, audit it and switch."""
        prefix = collection_prefix(self._index.alias, source)
        begun = [c for c in self._index.collections() if f"{c.name}__".startswith(prefix) and not c.live]
        complete = next((c for c in begun if c.metadata.state == READY), None)
        if complete is not None:
            name = complete.name
            counts = self._refill(complete, source)
            audit = self._audit(name, self._index.open(name), source)
        else:
            name = self._unfinished(begun, source) or f"{prefix}{secrets.token_hex(4)}"
            counts, audit = self._fill(name, source)
        source = self._catch_up(name, source, live)
        info = self._info(
            name, source.inputs, len(source), live,
            action="build", reason=reason, counts=counts, audit=asdict(audit),
        )  # fmt: skip
        return self._switch(info)

    def _switch(self, info: dict[str, Any]) -> dict[str, Any]:
        """Point the alias at the collection that ``info`` tells of."""
        name, left = info["collection"], info.get("held")
        self._journal.record_result(info)
        if left is not None:  # before the switch: a kill in between leaves no rejected encoder without a hold
            reason = f"rolled back to {name}"
            put_on_hold(self._workspace, left, reason, instead_of=info["encoder"], lease=self._lease)
        with self._timed("switch_s"):
            metadata = self._index.open(name).metadata
            sequence = 1 + max(c.metadata.sequence for c in self._index.collections())
            self._lease.check()
            self._index.describe(name, replace(metadata, published_at=now(), sequence=sequence))
            self._lease.check()
            self._index.switch(name, expected=self._expected)
        return info

    def _unfinished(self, begun: list[CollectionInfo], source: Source) -> str | None:
        """Return the build to resume, if there is one, and drop those that cannot be."""
        found = None
        for collection in begun:
            metadata = collection.metadata
            if (metadata.state, metadata.embedding_set) == (BUILDING, source.embedding_set_ref) and not found:
                found = collection.name
            else:
                self._drop(collection.name)
        return found

    def _refill(self, existing: CollectionInfo | Collection, source: Source) -> dict[str, int]:
        """Bring a complete collection up to date: one rolled back from, or one killed before the switch."""
        if is_current(existing, source, self._config.index):
            return _counts(unchanged=len(source))
        changes = compare(self._index, self._workspace, existing, source)
        self._apply(existing, source, changes)
        return changes.counts

    def _fill(self, name: str, source: Source) -> tuple[dict[str, int], Audit]:
        metadata = Metadata(
            encoder=source.encoder_ref,
            snapshot=source.snapshot_ref,
            embedding_set=source.embedding_set_ref,
            dim=source.dim,
            created_at=now(),
        )
        with self._index.build(name, metadata, num_points=len(source)) as writer:
            with self._timed("upsert_s"):
                points = self._lease.guard(missing_points(writer, source, self._config.index.batch_size))
                written = writer.upsert(track(points, total=len(source), label="publish", unit="products"))
            with self._timed("index_s"):
                self._index_points(writer)
            audit = self._audit(name, writer, source)
            self._lease.check()  # who took over may have published it since
            writer.commit(updated(writer.metadata, source))
        return _counts(new=written, unchanged=len(source) - written), audit

    def _audit(self, name: str, collection: Collection, source: Source, *, discard: bool = True) -> Audit:
        """Audit a whole collection; one that fails is built anew next time, if it may be discarded."""
        with self._timed("audit_s"):
            audit = audit_build(
                collection, source, self._config.index, seed=self._config.seed, encode=self._encode
            )
        logger.info("%s: audit %s, recall %s", name, audit.checks, audit.recall)
        if discard and set(audit.checks.values()) != {"ok"}:
            self._lease.check()
            self._index.describe(name, replace(collection.metadata, state=FAILED))
        audit.require(name)
        return audit

    def _catch_up(self, name: str, source: Source, live: CollectionInfo | None) -> Source:
        """Apply what a refresh published since ``source``'s snapshot; return what the collection shows then.

        Raises :class:`TransientError` if that was not embedded: a switch would bring back what is gone.
        """
        newer = newer_snapshots(self._workspace, source, live)
        if not newer:
            return source
        sets = ((ref, find_embeddings(self._workspace, ref, source.encoder_ref)) for ref in newer)
        ref, embeddings = next((found for found in sets if found[1]), (newer[-1], None))
        if embeddings is None:
            raise TransientError(
                f"{ref} was published meanwhile and is not embedded under {source.encoder_ref}; the alias "
                "stays where it is.",
                fix="Run the task or the verb again: it embeds first what is new.",
            )
        with self._timed("catch_up_s"):
            latest = Source(self._workspace, ref, embeddings)
            self._refill(self._index.open(name), latest)
        return latest

    # -- the same encoder ------------------------------------------------------------------------

    def _update(self, source: Source, live: CollectionInfo) -> dict[str, Any]:
        if newer := newer_snapshots(self._workspace, source, live):
            reason = f"The live collection already shows {newer[-1]}, which is newer."
            return self._nothing(source, live, reason)
        if is_current(live, source, self._config.index):
            return self._nothing(source, live, "The live collection already shows this.")
        with self._timed("diff_s"):
            changes = compare(self._index, self._workspace, live, source)
        complete = has_current_schema(live, self._config.index) and not live.metadata.pending
        if not changes and complete:
            self._lease.check()
            self._index.describe(live.name, updated(live.metadata, source))
            return self._nothing(source, live, "No product differs.")
        if not self._index.can_change(len(changes), live.num_points):
            differ = f"{len(changes)} of {live.num_points} products differ"
            return self.build(source, live, f"The encoder did not change, but {differ}.")
        action = "incremental" if len(changes.upsert) or changes.gone else "payload"
        reason = "The encoder did not change: only what differs was written."
        info = self._info(
            live.name, source.inputs, len(source), live, action=action, reason=reason, counts=changes.counts
        )
        self._apply(live, source, changes, info)
        return info

    def _nothing(self, source: Source, live: CollectionInfo, reason: str) -> dict[str, Any]:
        inputs = source.inputs | {"snapshot": live.metadata.snapshot}
        counts = _counts(unchanged=len(source))
        return self._info(
            live.name, inputs, len(source), live, action="nothing", reason=reason, counts=counts
        )

    # -- both ------------------------------------------------------------------------------------

    def _apply(
        self,
        collection: CollectionInfo | Collection,
        source: Source,
        changes: Changes,
        info: dict[str, Any] | None = None,
    ) -> None:
        """Write what changed: vectors first, deletions last; ``info`` goes into the journal before readers
        see the change.
        """
        with self._changing(collection.name, source) as writer:
            points = self._lease.guard(source.points(changes.upsert))
            writer.upsert(track(points, total=len(changes.upsert), label="publish", unit="products"))
            writer.set_payloads(self._lease.guard(source.payloads(changes.payload)))
            writer.delete(self._lease.guard(changes.gone))
            self._index_points(writer)
            audit = audit_changes(
                writer, source, changes, self._config.index, seed=self._config.seed, encode=self._encode
            )
            audit.require(collection.name)
            if info is not None:
                info["audit"] = asdict(audit)
                self._journal.record_result(info)
            self._lease.check()
            writer.commit(updated(collection.metadata, source))

    def _index_points(self, writer: Writer) -> None:
        self._lease.check(for_s=writer.index_blocks_s)
        writer.index()

    @contextmanager
    def _changing(self, name: str, source: Source) -> Iterator[Writer]:
        """Open a collection for a change to ``source``; what a lost lease ends is not put back."""
        self._lease.check()
        with self._timed("change_s"), self._index.change(name, pending=source.embedding_set_ref) as writer:
            try:
                yield writer
            except RecsysError:
                self._lease.check()  # who took over may have written since
                raise

    def _info(
        self, name: str, shown: dict[str, str], total: int, live: CollectionInfo | None, **done: Any
    ) -> dict[str, Any]:
        """Return what is recorded; ``shown`` names what the collection shows, of ``total`` products."""
        info = {
            "alias": self._index.alias,
            "collection": name,
            "encoder": shown["encoder"],
            "snapshot": shown["snapshot"],
            "previous": live.name if live else None,
            "audit": None,
            "timings": self._timings,
            **done,
        }
        info["counts"]["total"] = total
        logger.info("%s: alias %s → %s %s", info["action"], info["alias"], name, info["counts"])
        return info

    def drop_old_collections(self) -> list[str]:
        """Drop builds that nobody finished and collections neither live nor kept.

        Kept are each earlier encoder's last one, for rollback, and what was live until now, for readers that
        still ask it by its name.
        """
        live, *others = self._index.collections()
        kept = {self._journal.before["collection"]}
        encoders = {live.metadata.encoder}
        for collection in others:
            metadata = collection.metadata
            published = metadata.state == READY and metadata.published_at
            if (
                published
                and metadata.encoder not in encoders
                and len(encoders) <= self._config.index.keep_previous
            ):
                encoders.add(metadata.encoder)
                kept.add(collection.name)
        dropped = [c.name for c in others if c.name not in kept]
        for name in dropped:
            logger.info("dropping %s", name)
            self._drop(name)
        return dropped

    def _drop(self, name: str) -> None:
        self._lease.check()
        self._index.drop(name)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        elapsed = time.monotonic() - started
        self._timings[step] = round(self._timings.get(step, 0.0) + elapsed, 3)


def collection_prefix(alias: str, source: Source) -> str:
    """Return what names of collections built from ``source`` begin with; what follows is never used twice."""
    ids = (ref.partition("/")[2] for ref in (source.encoder_ref, source.snapshot_ref))
    return "".join(f"{part}__" for part in (alias, *ids))


def is_current(collection: CollectionInfo | Collection, source: Source, config: IndexConfig) -> bool:
    """Tell whether a collection is complete and shows ``source``, in the current schema."""
    metadata = collection.metadata
    shown = (metadata.snapshot, metadata.embedding_set)
    wanted = (source.snapshot_ref, source.embedding_set_ref)
    return has_current_schema(collection, config) and not metadata.pending and shown == wanted


def has_current_schema(collection: CollectionInfo | Collection, config: IndexConfig) -> bool:
    """Tell whether payloads are of the current version and every filter column has its index."""
    schema = (SCHEMA_VERSION, tuple(indexed_columns(config.attributes)))
    return (collection.metadata.schema_version, collection.metadata.indexed) == schema


def updated(metadata: Metadata, source: Source) -> Metadata:
    """Return a collection's metadata once it shows ``source``."""
    return replace(
        metadata,
        snapshot=source.snapshot_ref,
        embedding_set=source.embedding_set_ref,
        schema_version=SCHEMA_VERSION,
        updated_at=now(),
        pending="",
    )


def newer_snapshots(workspace: Workspace, source: Source, live: CollectionInfo | None) -> list[str]:
    """Return the live snapshot and what was ingested since, newest first, if the live one is newer than
    ``source``'s.
    """
    known = snapshot_order(workspace)
    if live is None or live.metadata.snapshot not in known:
        return []
    newer = known[: known.index(live.metadata.snapshot) + 1]
    return [] if source.snapshot_ref in newer else newer


def find_embeddings(workspace: Workspace, snapshot_ref: str, encoder_ref: str) -> str | None:
    """Return the newest embedding set of a snapshot under an encoder, or ``None``."""
    wanted = (snapshot_ref, encoder_ref)
    for manifest in reversed(workspace.list(SET_KIND)):
        if (manifest.inputs.get("snapshot"), manifest.inputs.get("encoder")) == wanted:
            return manifest.ref
    return None


def compare(
    index: VectorIndex, workspace: Workspace, collection: CollectionInfo | Collection, source: Source
) -> Changes:
    """Return what has to be written to bring a collection to ``source``.

    Compares with the artifacts that the collection was made from, which is quicker; with the collection
    itself if a change was left unfinished or the artifacts are gone.
    """
    metadata = collection.metadata
    all_payloads = metadata.schema_version != SCHEMA_VERSION
    if not metadata.pending:
        try:
            before = Source(workspace, metadata.snapshot, metadata.embedding_set)
            return diff(before.rows(), source.rows(), all_payloads=all_payloads)
        except ArtifactError as error:
            logger.info("comparing with %s itself: %s", collection.name, error.message)
    stored = sorted(map(Row.of, index.open(collection.name).records(("embedding_key", "row_hash"))))
    return diff(stored, source.rows(), all_payloads=all_payloads)


def missing_points(writer: Writer, source: Source, batch_size: int) -> Iterable[Point]:
    """Return the points that a build does not have yet, or not as they should be."""
    there = writer.count()
    if not there:
        yield from source.points()
        return
    logger.info("%s: resuming a build that has %d products", writer.name, there)
    for batch in batches(source.points(), batch_size):
        stored = {r.id: r.payload for r in writer.retrieve([p.id for p in batch])}
        yield from (p for p in batch if stored.get(p.id) != p.payload)


def _counts(*, new: int = 0, unchanged: int = 0) -> dict[str, int]:
    return {"new": new, "vectors": 0, "payload": 0, "gone": 0, "unchanged": unchanged}


@dataclass
class Journal:
    """What a publication did so far: its memory across kills, on any machine.

    What was live when a publication first began decides its id and is *previous* in its manifest. A run that
    was killed after the switch still writes the manifest of what it did, not "nothing changed".
    """

    workspace: Workspace
    inputs: dict[str, str]
    key: str
    before: dict[str, Any]
    """The live collection when it began."""
    lease: Lease
    result: dict[str, Any] | None = None
    """``Manifest.info``, written just before the step that readers see; set if they do see it."""

    @classmethod
    def read(
        cls,
        workspace: Workspace,
        what: dict[str, Any],
        inputs: dict[str, str],
        live: CollectionInfo | None,
        lease: Lease,
    ) -> "Journal":
        """Return the publication of ``inputs`` that was interrupted, or one not yet begun; ``what`` tells it
        from others.
        """
        journal = cls(workspace, inputs, content_id(what), _summary(live), lease)
        saved = workspace.read_pointer(journal._name)
        if saved is not None:
            finished = saved["done"] is not None and _shows(live, saved["done"])
            if finished or saved["before"] == journal.before:
                journal.before = saved["before"]
                journal.result = saved["done"] if finished else None
        return journal

    def begin(self) -> "Journal":
        """Write down that the publication goes on; return the journal."""
        self._write()
        return self

    def record_result(self, info: dict[str, Any]) -> None:
        """Record what will have been done once the next step is: switching, or committing a change."""
        self.result = info
        self._write()

    def commit(self, info: dict[str, Any], idempotency_key: str | None = None) -> Manifest:
        """Write the manifest of the finished publication and delete the journal."""
        done = {"action": info["action"], "collection": info["collection"]}
        id = content_id({"key": self.key, "before": self.before, **done})
        manifest = self.workspace.find(KIND, id)
        if manifest is None:
            with self.workspace.create(KIND, id, inputs=self.inputs) as draft:
                draft.info.update(info, idempotency_key=idempotency_key)
            manifest = draft.committed()
        self.delete()
        return manifest

    def delete(self) -> None:
        """Forget what was begun."""
        self.workspace.remove(f"pointers/{self._name}.json")

    @property
    def _name(self) -> str:
        return f"runs/publication-{self.key}"

    def _write(self) -> None:
        state = {"before": self.before, "done": self.result}
        self.workspace.write_pointer(self._name, state, lease=self.lease)


def inputs_of(metadata: Metadata) -> dict[str, str]:
    """Return role → ref of what a collection was made from."""
    return {
        "snapshot": metadata.snapshot, "embeddings": metadata.embedding_set, "encoder": metadata.encoder
    }  # fmt: skip


def _summary(live: CollectionInfo | None) -> dict[str, Any]:
    if live is None:
        return {"collection": None}
    values = live.metadata.to_json()
    kept = ("encoder", "snapshot", "embedding_set", "published_at")
    return {"collection": live.name} | {name: values[name] for name in kept}


def _shows(live: CollectionInfo | None, result: dict[str, Any]) -> bool:
    """Tell whether readers see the recorded result."""
    if live is None or live.metadata.pending:
        return False
    seen = (live.name, live.metadata.snapshot, live.metadata.encoder)
    return seen == (result["collection"], result["snapshot"], result["encoder"])
