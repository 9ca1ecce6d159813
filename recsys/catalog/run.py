"""The door of the catalog stage: feed in, catalog snapshot out.

    rows       the feed's records, mapped and checked, into a spool (SQLite)
    images   every link looked at; new images into image shards, each committed when full
    snapshot   products in id order, what was rejected, guards, the change against the snapshot in service

Does not know: what is done with a snapshot.
"""

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.catalog import guards
from recsys.catalog.diff import diff_products
from recsys.catalog.ingest_images import ImageIngest
from recsys.catalog.links import default_base
from recsys.catalog.readers.feed import fingerprint, local_copy, read_feed
from recsys.catalog.rows import ProductRow, Rejection, RowMapper
from recsys.catalog.snapshot_writer import SnapshotWriter, Written
from recsys.catalog.staging import Spool
from recsys.config import CatalogConfig, Config
from recsys.errors import GuardError, TransientError
from recsys.progress import track
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.normalise import Normalisation
from recsys.workspace.snapshot import KIND, PRODUCTS_FILE, REJECTED_FILE

logger = logging.getLogger(__name__)

POINTER = "catalog"
"""Names the snapshot in service, the one before it, and what the last ingest did:
``{"snapshot", "previous", "ingested_at", "counts", "diff", "duration_s"}``."""

CODE_VERSION = 2
"""Raise it when the same feed would give another snapshot."""

_MANNERS = {
    "shard_size", "concurrency", "decode_workers", "timeout_s", "retries", "backoff_s", "max_backoff_s",
    "max_redirects", "host_failures", "user_agent",
}  # fmt: skip
"""Settings of how images are fetched: they do not change what an image is."""

_LOCK_TIMEOUT_S = 600.0
_SPOOL_LIFE_S = 24 * 3600.0


def run(config: Config, workspace: Workspace) -> Manifest:
    """Ingest the feed; return the manifest of the catalog snapshot (kind ``snapshots``).

    The id comes from the content, so an unchanged feed with unchanged images gives the same snapshot.
    The returned manifest's ``info`` is of this run, also where the snapshot existed before: its ``diff`` is
    the change to the catalog in service. A run that was killed goes on where it was.

    Raises :class:`~recsys.errors.InputError` for a feed that cannot be read,
    :class:`~recsys.errors.GuardError` where a guard stops the run, and
    :class:`~recsys.errors.TransientError` where a later try can help.
    """
    lock = workspace.lock("catalog", timeout_s=_LOCK_TIMEOUT_S)
    try:
        held = lock.acquire()
    except TimeoutError:
        raise TransientError(
            f"Another ingest has held this workspace for {_LOCK_TIMEOUT_S:.0f} s.",
            fix="Try again when it is done.",
        ) from None
    with held:
        return _Ingest(config, workspace).run()


class _Ingest:
    """One ingest, under the workspace's catalog lock."""

    def __init__(self, config: Config, workspace: Workspace) -> None:
        self._config, self._catalog, self._workspace = config, config.catalog, workspace
        self._feed = config.resolve(self._catalog.feed)
        base = self._catalog.images.base
        self._base = config.resolve(base) if base else default_base(self._feed)
        self._started = time.monotonic()

    def run(self) -> Manifest:
        inbox = self._workspace.scratch("catalog", "feed")
        path = local_copy(self._feed, inbox, max_bytes=self._catalog.max_feed_bytes)
        inputs = {"feed": fingerprint(path), "base": self._base, "catalog": _what_counts(self._catalog)}
        run_id = content_id(inputs | {"code": CODE_VERSION})
        folder = self._workspace.scratch(KIND, run_id)
        _drop_old(folder)
        spool = Spool(folder / "spool.sqlite")
        try:
            num_rows = self._read_rows(path, spool, folder)
            images, shards = self._look_at_images(spool)
            manifest = self._write_snapshot(spool, folder, num_rows, images, shards)
        finally:
            spool.close()
        self._workspace.drop_scratch(KIND, run_id)
        self._workspace.drop_scratch("catalog", "feed")
        return manifest

    def _read_rows(self, path: Path, spool: Spool, folder: Path) -> int:
        """Fill the spool; skipped where a run that was killed had filled it from this very feed."""
        started, now = spool.note("started"), time.time()
        if started is None or now - started > _SPOOL_LIFE_S:
            spool.forget_outcomes()
            spool.leave_note("started", now)
        elif (num_rows := spool.note("num_rows")) is not None:
            logger.info("going on with %d rows of an earlier attempt", num_rows)
            return int(num_rows)
        spool.clear_rows()
        mapper = RowMapper(self._catalog)
        rows = self._mapped(mapper, path, folder)
        num_rows = spool.add_rows(track(rows, label="feed", unit="rows"))
        if unseen := mapper.columns.unseen():
            logger.warning("the configuration names columns the feed does not have: %s", ", ".join(unseen))
        spool.leave_note("unseen_columns", unseen)
        spool.leave_note("num_rows", num_rows)
        spool.commit()
        logger.info("feed: %d rows", num_rows)
        return num_rows

    def _mapped(
        self, mapper: RowMapper, path: Path, folder: Path
    ) -> Iterator[tuple[ProductRow | None, list[Rejection]]]:
        for record in read_feed(path, self._catalog, folder):
            yield mapper.map(record)

    def _look_at_images(self, spool: Spool) -> tuple[dict[str, int], list[str]]:
        """Give every image an outcome; return what was done and the shards that hold them."""
        ingest = ImageIngest(self._workspace, self._catalog.images, spool, base=self._base)
        try:
            done = ingest.run()
            shards = ingest.state.shard_refs(set(ingest.state.shard_numbers(spool.stored_images())))
        finally:
            ingest.close()
        return done, shards

    def _write_snapshot(
        self, spool: Spool, folder: Path, num_rows: int, images: dict[str, int], shards: list[str]
    ) -> Manifest:
        products, rejected = folder / PRODUCTS_FILE, folder / REJECTED_FILE
        writer = SnapshotWriter(spool, max_images=self._catalog.images.max_per_product)
        written = writer.write(products, rejected)
        spool.commit()
        previous = (self._workspace.read_pointer(POINTER) or {}).get("snapshot")
        diff = diff_products(self._products_of(previous), products)
        reasons = spool.reasons()
        self._guard(written, reasons, num_rows, diff, rejected)
        info: dict[str, Any] = {
            "counts": _counts(written, reasons, num_rows, images, sum(1 for _ in spool.stored_images())),
            "image_shards": shards,
            "normalisation": Normalisation.of(self._catalog.images).id,
            "diff": diff,
            "feed": self._catalog.feed,
            "unseen_columns": spool.note("unseen_columns") or [],
            "duration_s": round(time.monotonic() - self._started, 3),
        }
        id = content_id(
            {"content": written.digest, "normalisation": info["normalisation"], "code": CODE_VERSION}
        )
        manifest = self._whole(id)
        if manifest is None:
            with self._workspace.create(KIND, id) as draft:
                products.replace(draft.path / PRODUCTS_FILE)
                rejected.replace(draft.path / REJECTED_FILE)
                draft.info |= info
            manifest = draft.committed()
        self._point_to(manifest, previous, info)
        logger.info("%s: %s", manifest.ref, info["counts"])
        return replace(manifest, info=info | {"image_shards": manifest.info["image_shards"]})

    def _guard(
        self, written: Written, reasons: guards.Reasons, num_rows: int, diff: dict[str, int], rejected: Path
    ) -> None:
        """Check the guards; what was rejected stays where a person can look at it."""
        settings, counts = self._catalog.guards, written.counts
        try:
            guards.check_feed(
                settings,
                num_rows=num_rows,
                num_links=counts["image_links"],
                num_products=counts["products"],
                reasons=reasons,
            )
            guards.check_gone(settings, diff)
        except GuardError as error:
            kept = self._workspace.state("rejected.parquet")
            shutil.copyfile(rejected, kept)
            raise GuardError(error.message, fix=f"{error.fix} Each rejection is in {kept}.") from None

    def _whole(self, id: str) -> Manifest | None:
        """Return the snapshot of this id; one whose image shards are gone is removed, to be made again."""
        manifest = self._workspace.find(KIND, id)
        refs = [ref.partition("/") for ref in manifest.info["image_shards"]] if manifest else []
        if manifest and any(self._workspace.find(kind, shard) is None for kind, _, shard in refs):
            logger.warning("%s refers to image shards that are gone and is made again", manifest.ref)
            self._workspace.delete(manifest)
            return None
        return manifest

    def _products_of(self, ref: str | None) -> Path | None:
        """Return the products of the snapshot in service, where it still exists."""
        kind, _, id = (ref or "").partition("/")
        manifest = self._workspace.find(kind, id) if id else None
        return self._workspace.path(manifest) / PRODUCTS_FILE if manifest else None

    def _point_to(self, manifest: Manifest, previous: str | None, info: dict[str, Any]) -> None:
        record = self._workspace.read_pointer(POINTER) or {}
        before = record.get("previous") if previous == manifest.ref else previous
        said = {name: info[name] for name in ("counts", "diff", "duration_s")}
        now = datetime.now(UTC).isoformat()
        pointer = {"snapshot": manifest.ref, "previous": before, "ingested_at": now, **said}
        self._workspace.write_pointer(POINTER, pointer)


def _drop_old(folder: Path) -> None:
    """Remove what attempts at other feeds left behind and nobody went on with."""
    for other in folder.parent.iterdir():
        if other != folder and time.time() - other.stat().st_mtime > _SPOOL_LIFE_S:
            shutil.rmtree(other, ignore_errors=True)


def _what_counts(catalog: CatalogConfig) -> dict[str, Any]:
    """Return the settings that the outcome depends on.

    The others may be changed, and a guard overridden, without beginning a stopped run anew.
    """
    return catalog.model_dump(mode="json", exclude={"guards": True, "feed": True, "images": _MANNERS})


def _counts(
    written: Written, reasons: guards.Reasons, num_rows: int, images: dict[str, int], num_images: int
) -> dict[str, Any]:
    rejected = {scope: sum(found.values()) for scope, found in reasons.items()}
    return {
        "rows": num_rows,
        **written.counts,
        "images": num_images,
        "rejected_products": rejected.get("product", 0),
        "rejected_images": rejected.get("image", 0),
        "rejected_values": rejected.get("value", 0),
        "reasons": {scope: dict(found) for scope, found in reasons.items()},
        "image_work": images,
    }
