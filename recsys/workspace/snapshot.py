"""Reader of a catalog snapshot: the accepted products of one night and where their images are.

A snapshot is an artifact of kind ``snapshots`` with ``products.parquet`` (:data:`product.PRODUCTS`) and
``rejected.parquet`` (:data:`product.REJECTED`). ``manifest.info["image_shards"]`` lists the refs of the
image-store shards it refers to, ``info["counts"]`` what came in.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.workspace.image_store import ImageStore
from recsys.workspace.store import Manifest, Workspace

KIND = "snapshots"
PRODUCTS_FILE = "products.parquet"
REJECTED_FILE = "rejected.parquet"
POINTER = "catalog"
"""Names the snapshot in service, the one before it, and what the last ingest did:
``{"snapshot", "previous", "order", "ingested_at", "counts", "diff", "duration_s", "history"}``; ``order`` has
the ids of the last snapshots, newest first, which says nothing of whether they are kept; ``history`` is
``[[date, number of products], …]`` of the last days, since the guard on losses was last overridden."""
_ORDERED = 100
"""Snapshots that ``order`` has: refreshes of a day, or nights of three months."""


def newest_snapshot(workspace: Workspace) -> str | None:
    """Return the ref of the catalog's newest snapshot, ``None`` before the first ingest."""
    return next(iter(newest_snapshots(workspace)), None)


def newest_snapshots(workspace: Workspace) -> list[str]:
    """Return the refs of the catalog's newest snapshot and of the one before, as far as there are any."""
    record = workspace.read_pointer(POINTER) or {}
    return [str(record[name]) for name in ("snapshot", "previous") if record.get(name)]


def snapshot_order(workspace: Workspace) -> list[str]:
    """Return the refs of the catalog's last snapshots, newest first; earlier ones may be gone.

    A catalog that returns to an earlier state is the same snapshot again, so its age says nothing.
    """
    record = workspace.read_pointer(POINTER) or {}
    return [f"{KIND}/{id}" for id in record.get("order", ())] or newest_snapshots(workspace)


def order_with(workspace: Workspace, ref: str) -> dict[str, Any]:
    """Return the pointer's ``snapshot``, ``previous`` and ``order`` once ``ref`` is the newest."""
    refs = [ref, *(other for other in snapshot_order(workspace) if other != ref)][:_ORDERED]
    ids = [other.partition("/")[2] for other in refs]
    return {"snapshot": ref, "previous": refs[1] if len(refs) > 1 else None, "order": ids}


class Snapshot:
    """One committed catalog snapshot."""

    def __init__(self, workspace: Workspace, manifest: Manifest) -> None:
        self.manifest = manifest
        self._workspace = workspace
        self._folder = workspace.path(manifest)

    @classmethod
    def open(cls, workspace: Workspace, ref: str) -> "Snapshot":
        """Open the snapshot that ``ref`` (``snapshots/<id>``) names."""
        return cls(workspace, workspace.get(ref))

    @property
    def products_path(self) -> Path:
        """Local path of ``products.parquet``."""
        return self._folder / PRODUCTS_FILE

    @property
    def num_products(self) -> int:
        """Number of accepted products."""
        return int(pq.ParquetFile(self.products_path).metadata.num_rows)

    def batches(
        self, columns: Sequence[str] | None = None, *, batch_size: int = 4096
    ) -> Iterator[pa.RecordBatch]:
        """Stream products ascending by ``id``; memory is one batch (plus a Parquet row group's columns)."""
        with pq.ParquetFile(self.products_path, memory_map=True) as file:
            yield from file.iter_batches(
                batch_size=batch_size, columns=list(columns) if columns is not None else None
            )

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read products (or some columns of them) into memory."""
        return pq.read_table(self.products_path, columns=list(columns) if columns is not None else None)

    def rows_at(self, positions: NDArray[np.int64], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows at ascending ``positions``; row groups without any of them are not read."""
        with pq.ParquetFile(self.products_path, memory_map=True) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            starts = np.cumsum([0, *sizes])
            for group in range(file.num_row_groups):
                low, high = np.searchsorted(positions, starts[group : group + 2])
                if low < high:
                    rows = file.read_row_group(group, columns=list(dict.fromkeys(columns)))
                    found = rows.take(positions[low:high] - starts[group])
                    for batch in found.to_batches(max_chunksize=1024):
                        yield from batch.to_pylist()

    def rejected(self) -> pa.Table:
        """Read what was rejected, in feed order."""
        return pq.read_table(self._folder / REJECTED_FILE)

    def images(self) -> ImageStore:
        """Open the image store as this snapshot sees it."""
        return ImageStore.open(self._workspace, self.manifest.info["image_shards"])
