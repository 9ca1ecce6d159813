"""The door of the catalog stage: feed in, catalog snapshot out.

rows       the feed's records, mapped and checked, into the staging database
images     every link checked; new images into image shards, each committed when full
snapshot   products in id order, what was rejected, guards, the change against the snapshot in service
"""

import logging
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recsys.catalog import guards
from recsys.catalog.diff import diff_products
from recsys.catalog.ingest_images import ImageIngest
from recsys.catalog.links import default_base
from recsys.catalog.readers.feed import fingerprint, local_copy, read_feed
from recsys.catalog.rows import RowMapper
from recsys.catalog.snapshot_writer import SnapshotWriter
from recsys.catalog.staging import Staging
from recsys.config import Config
from recsys.errors import DamagedError, GuardError
from recsys.progress import track
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.lease import Lease
from recsys.workspace.normalise import Normalisation
from recsys.workspace.snapshot import (
    KIND,
    POINTER,
    PRODUCTS_FILE,
    REJECTED_FILE,
    newest_snapshots,
    order_with,
)

logger = logging.getLogger(__name__)


CODE_VERSION = 3
"""Raise it when the same feed would give another snapshot."""

_FETCH_SETTINGS = {
    "shard_size", "concurrency", "decode_workers", "decode_timeout_s", "timeout_s", "retries", "backoff_s",
    "max_backoff_s", "max_redirects", "host_failures", "user_agent",
}  # fmt: skip
"""Settings of how images are fetched: they do not change what an image is."""

LOCK = "catalog"
_LEASE_TIMEOUT_S = 600.0
_STAGING_LIFE_S = 24 * 3600.0


def run(config: Config, workspace: Workspace) -> Manifest:
    """Ingest the feed; return the manifest of the catalog snapshot (kind ``snapshots``).

    The id comes from the content, so an unchanged feed with unchanged images gives the same snapshot.
    The returned manifest's ``info`` is of this run, also if the snapshot existed before: its ``diff`` is
    the change to the catalog in service. A run after a kill goes on where the killed one stopped.

    Raises :class:`~recsys.errors.InputError` for a feed that cannot be read,
    :class:`~recsys.errors.GuardError` if a guard stops the run, and
    :class:`~recsys.errors.TransientError` if a later try can help.
    """
    with workspace.lease(LOCK, timeout_s=_LEASE_TIMEOUT_S) as lease:
        return _Ingest(config, workspace, lease).run()


class _Ingest:
    """One ingest, under the lease of the workspace's catalog."""

    def __init__(self, config: Config, workspace: Workspace, lease: Lease) -> None:
        self._catalog, self._workspace, self._lease = config.catalog, workspace, lease
        self._feed = config.resolve(self._catalog.feed)
        base = self._catalog.images.base
        self._base = config.resolve(base) if base else default_base(self._feed)
        self._started = time.monotonic()

    def run(self) -> Manifest:
        inbox = self._workspace.scratch("catalog", "feed")
        path = local_copy(self._feed, inbox, max_bytes=self._catalog.max_feed_bytes)
        # A changed guard or fetch setting leaves the id, so a stopped run goes on under it.
        settings = self._catalog.model_dump(
            mode="json", exclude={"guards": True, "feed": True, "images": _FETCH_SETTINGS}
        )
        inputs = {"feed": fingerprint(path), "base": self._base, "catalog": settings, "code": CODE_VERSION}
        run_id = content_id(inputs)
        folder = self._workspace.scratch(KIND, run_id)
        for other in folder.parent.iterdir():  # abandoned attempts at other feeds
            if other != folder and time.time() - other.stat().st_mtime > _STAGING_LIFE_S:
                shutil.rmtree(other, ignore_errors=True)
        staging = Staging(folder / "staging.sqlite")
        try:
            num_rows = self._stage_rows(path, staging, folder)
            image_work, shards = self._check_images(staging)
            manifest = self._write_snapshot(staging, folder, num_rows, image_work, shards)
        finally:
            staging.close()
        self._workspace.drop_scratch(KIND, run_id)
        self._workspace.drop_scratch("catalog", "feed")
        return manifest

    def _stage_rows(self, path: Path, staging: Staging, folder: Path) -> int:
        """Fill the staging database, unless an earlier attempt that was killed has filled it."""
        started, now = staging.meta("started"), time.time()
        is_recent = started is not None and now - started <= _STAGING_LIFE_S
        if is_recent and (num_rows := staging.meta("num_rows")) is not None:
            logger.info("going on with %d rows of an earlier attempt", num_rows)
            return int(num_rows)
        if not is_recent:
            staging.forget_outcomes()
            staging.set_meta("started", now)
        staging.clear_rows()
        mapper = RowMapper(self._catalog)
        rows = (mapper.map(record) for record in read_feed(path, self._catalog, folder))
        num_rows = staging.add_rows(
            track(rows, label="feed", unit="rows"), max_images=self._catalog.images.max_per_product
        )
        if unseen := mapper.columns.unseen():
            logger.warning("the configuration names columns the feed does not have: %s", ", ".join(unseen))
        staging.set_meta("unseen_columns", unseen)
        staging.set_meta("num_rows", num_rows)
        staging.commit()
        logger.info("feed: %d rows", num_rows)
        return num_rows

    def _check_images(self, staging: Staging) -> tuple[dict[str, int], list[str]]:
        """Give every image an outcome; return what was done and the shards that hold them."""
        ingest = ImageIngest(self._workspace, self._catalog.images, staging, base=self._base)
        try:
            return ingest.run(), ingest.state.shard_refs(staging.stored_images())
        finally:
            ingest.close()

    def _write_snapshot(
        self, staging: Staging, folder: Path, num_rows: int, image_work: dict[str, int], shards: list[str]
    ) -> Manifest:
        products, rejected = folder / PRODUCTS_FILE, folder / REJECTED_FILE
        writer = SnapshotWriter(staging, max_images=self._catalog.images.max_per_product)
        digest, written = writer.write(products, rejected)
        staging.commit()
        diff = diff_products(self._in_service(), products)
        reasons = staging.reasons()
        num_rejected = {scope: sum(counts.values()) for scope, counts in reasons.items()}
        counts: dict[str, Any] = {
            "rows": num_rows,
            **written,
            "images": sum(1 for _ in staging.stored_images()),
            **{f"rejected_{scope}s": num_rejected.get(scope, 0) for scope in ("product", "image", "value")},
            "reasons": reasons,
            "image_work": image_work,
        }
        self._check_guards(counts, diff, rejected, staging)
        info: dict[str, Any] = {
            "counts": counts,
            "image_shards": shards,
            "normalisation": Normalisation.of(self._catalog.images).id,
            "diff": diff,
            "feed": self._catalog.feed,
            "unseen_columns": staging.meta("unseen_columns"),
            "duration_s": round(time.monotonic() - self._started, 3),
        }
        id = content_id({"content": digest, "normalisation": info["normalisation"], "code": CODE_VERSION})
        manifest = self._existing(id)
        if manifest is None:
            with self._workspace.create(KIND, id) as draft:
                products.replace(draft.path / PRODUCTS_FILE)
                rejected.replace(draft.path / REJECTED_FILE)
                draft.info |= info
            manifest = draft.committed()
        self._point_to(manifest, info)
        logger.info("%s: %s", manifest.ref, counts)
        return replace(manifest, info=info | {"image_shards": manifest.info["image_shards"]})

    def _in_service(self) -> Path | None:
        """Return the products of the snapshot in service, or of the one before where it is damaged.

        ``None`` if there was none, or it is gone; raises :class:`DamagedError` if none can be read: without
        one the guards would not see how much of the catalog is gone.
        """
        damage: DamagedError | None = None
        for ref in newest_snapshots(self._workspace):
            try:
                manifest = self._workspace.find_ref(ref)
                if manifest is not None:
                    return self._workspace.path(manifest) / PRODUCTS_FILE
            except DamagedError as error:
                logger.warning("compared with the snapshot before it: %s", error)
                damage = damage or error
            else:
                break
        if damage is not None:
            raise damage
        return None

    def _check_guards(
        self, counts: dict[str, Any], diff: dict[str, int], rejected: Path, staging: Staging
    ) -> None:
        """Check the guards; a run that is stopped leaves what it rejected where a person can look at it."""
        try:
            guards.check_feed(
                self._catalog.guards,
                num_rows=counts["rows"],
                num_links=counts["image_links"],
                num_products=counts["products"],
                reasons=counts["reasons"],
            )
            guards.check_gone(self._catalog.guards, diff)
            history = [count for _, count in self._history(datetime.now(UTC))]
            guards.check_losses(self._catalog.guards, num_products=counts["products"], history=history)
        except GuardError as error:
            staging.forget_rejected()
            staging.commit()
            kept = self._workspace.state("rejected.parquet")
            shutil.copyfile(rejected, kept)
            raise GuardError(error.message, fix=f"{error.fix} Each rejection is in {kept}.") from None

    def _existing(self, id: str) -> Manifest | None:
        """Return the snapshot of this id; a damaged one, or one that has lost image shards, is removed, to be
        made again.
        """
        manifest = self._workspace.find_intact(KIND, id)
        if manifest is None or all(self._workspace.find_ref(ref) for ref in manifest.info["image_shards"]):
            return manifest
        logger.warning("%s refers to image shards that are gone and is made again", manifest.ref)
        self._workspace.delete(manifest)
        return None

    def _history(self, now: datetime) -> list[tuple[str, int]]:
        """Return the days of the last nights and the largest number of products that each put in service."""
        record = self._workspace.read_pointer(POINTER) or {}
        since = (now - timedelta(days=self._catalog.guards.nights)).date().isoformat()
        return [(day, count) for day, count in record.get("history", ()) if day > since]

    def _point_to(self, manifest: Manifest, info: dict[str, Any]) -> None:
        now, num_products = datetime.now(UTC), info["counts"]["products"]
        today = now.date().isoformat()
        days = dict([] if self._catalog.guards.allow_gone else self._history(now))
        days[today] = max(num_products, days.get(today, 0))
        pointer = {
            **order_with(self._workspace, manifest.ref),
            "ingested_at": now.isoformat(),
            "history": sorted(days.items()),
            **{name: info[name] for name in ("counts", "diff", "duration_s")},
        }
        self._workspace.write_pointer(POINTER, pointer, lease=self._lease)
