"""Rollback: go back to a kept collection, brought up to today's catalog, audited and recorded.

The encoder that is left is put on hold (:mod:`recsys.workspace.holds`): no night puts it back. One that a
person goes back to is on hold no more.
"""

import time
from contextlib import closing

from recsys.config import Config
from recsys.errors import ArtifactError, InputError
from recsys.index.audit import Encode
from recsys.index.base import READY, CollectionInfo
from recsys.index.engine import VectorIndex, open_index
from recsys.index.run import Journal, Publisher, find_embeddings, find_publication, inputs_of, where
from recsys.index.service import LOCK
from recsys.index.source import Source
from recsys.workspace import Manifest, Workspace
from recsys.workspace.holds import holds, lift_hold
from recsys.workspace.lease import Lease


def choose(config: Config, workspace: Workspace, to: str | None = None) -> CollectionInfo:
    """Return the collection ``to``, or the last one of another encoder, if that is not on hold.

    After a rollback that was killed behind its switch it is the live one, so that a second call finishes
    the first instead of going back further. Raises :class:`InputError` if there is none.
    """
    with workspace.lease(LOCK) as lease, closing(open_index(config, workspace)) as index:
        return _choose(config, workspace, index, to, lease)


def run(
    config: Config,
    workspace: Workspace,
    to: str | None = None,
    *,
    snapshot_ref: str | None,
    encode: Encode | None = None,
    idempotency_key: str | None = None,
) -> Manifest:
    """Point the alias at the collection that :func:`choose` returns; return the publication's manifest.

    Before, the collection is brought to ``snapshot_ref``, which has to be embedded under its encoder, and
    audited as a build is; ``None`` leaves it as it was when it was left. ``info`` is a publication's
    (:func:`recsys.index.run.run`), with the ``action`` ``rollback`` and the encoder that is ``held``. Raises
    :class:`~recsys.errors.AuditError` and :class:`ArtifactError` with the alias left where it was.
    """
    started = time.monotonic()
    with workspace.lease(LOCK) as lease, closing(open_index(config, workspace)) as index:
        if (made := find_publication(workspace, idempotency_key)) is not None:
            return made
        index.fence = lease.check
        index.recover()
        live, target = index.live(), _choose(config, workspace, index, to, lease)
        journal = _journal(config, workspace, target, live, lease).begin()
        publisher = Publisher(config, workspace, index, journal, lease, encode)
        info = journal.result if target.live else None
        if info is None:
            source = _source(workspace, snapshot_ref, target.metadata.encoder) if snapshot_ref else None
            journal.inputs = source.inputs if source else journal.inputs
            info = publisher.roll_back(target, source, live)
        info["collected"] = publisher.drop_old_collections()
        info["duration_s"] = round(time.monotonic() - started, 3)
        return journal.commit(info, idempotency_key)


def lift(workspace: Workspace, encoder: str, *, wait_s: float = 60.0) -> None:
    """Let an encoder serve again, between two publications: both write what is on hold.

    Raises :class:`~recsys.errors.TransientError` where one goes on for longer than ``wait_s``, and
    :class:`InputError` if the encoder is not on hold.
    """
    with workspace.lease(LOCK, timeout_s=wait_s) as lease:
        lift_hold(workspace, encoder, lease=lease)


def _choose(
    config: Config, workspace: Workspace, index: VectorIndex, to: str | None, lease: Lease
) -> CollectionInfo:
    live, held = index.live(), holds(workspace)
    if live and to in (None, live.name) and _journal(config, workspace, live, live, lease).result:
        return live
    kept = [c for c in index.collections() if not c.live and c.metadata.state == READY]
    passed = {live.metadata.encoder, *held} if live else set(held)
    published = [c for c in kept if c.metadata.published_at and c.metadata.encoder not in passed]
    wanted = [c for c in kept if c.name == to] if to else published
    if not wanted:
        names = ", ".join(c.name + (" (on hold)" if c.metadata.encoder in held else "") for c in kept)
        raise InputError(
            f"There is no collection {to!r} to go back to."
            if to
            else "No other encoder was published before that is not on hold.",
            fix=f"Choose one of the kept collections with --to: {names}."
            if names
            else "No earlier collection is kept; one is, once another encoder was published.",
        )
    return wanted[0]


def _source(workspace: Workspace, snapshot_ref: str, encoder_ref: str) -> Source:
    embeddings = find_embeddings(workspace, snapshot_ref, encoder_ref)
    if embeddings is None:
        gone = workspace.find_ref(encoder_ref) is None
        raise ArtifactError(
            f"{snapshot_ref} is not embedded under {encoder_ref}{', which is gone' if gone else ''}.",
            fix="Restore the encoder's folder from a backup."
            if gone
            else f"Embed it: recsys embed --snapshot {snapshot_ref} --encoder {encoder_ref}",
        )
    return Source(workspace, snapshot_ref, embeddings)


def _journal(
    config: Config, workspace: Workspace, target: CollectionInfo, live: CollectionInfo | None, lease: Lease
) -> Journal:
    """Return the one journal of rollbacks: a second call, which knows no target, finds the first one's."""
    return Journal.read(workspace, {"rollback": where(config)}, inputs_of(target.metadata), live, lease)
