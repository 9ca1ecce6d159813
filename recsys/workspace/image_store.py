"""The image store: normalised JPEGs in Arrow IPC shards, found by the sha256 of their source bytes.

A shard is an artifact of kind ``images`` with one file, ``images.arrow``. Shards are memory-mapped:
opening a store costs 44 bytes of memory per image, reading one image copies that image only.

Does not know: where images come from or how they are decoded.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.errors import ArtifactError
from recsys.workspace.store import Workspace

KIND = "images"
FILE = "images.arrow"
SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.binary(32), nullable=False),  # of the source bytes
        pa.field("phash", pa.uint64(), nullable=False),  # 64-bit DCT perceptual hash
        pa.field("width", pa.int32(), nullable=False),  # of the normalised image, pixels
        pa.field("height", pa.int32(), nullable=False),
        pa.field("jpeg", pa.binary(), nullable=False),  # sRGB, upright, no alpha
    ]
)


class ImageShardWriter:
    """Writes ``images.arrow`` in record batches of ``batch_rows``; memory is one batch."""

    def __init__(self, path: Path, *, batch_rows: int = 128) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, SCHEMA)
        self._rows: list[dict[str, Any]] = []
        self._batch_rows = batch_rows
        self.num_images = 0

    def add(self, *, sha256: bytes, phash: int, width: int, height: int, jpeg: bytes) -> None:
        """Append one image."""
        self._rows.append({"sha256": sha256, "phash": phash, "width": width, "height": height, "jpeg": jpeg})
        self.num_images += 1
        if len(self._rows) >= self._batch_rows:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=SCHEMA))
            self._rows = []

    def close(self) -> None:
        """Finish the file; without it the shard cannot be read."""
        self._flush()
        self._writer.close()
        self._file.close()


class ImageStore:
    """Random access to the images of some shards. Thread-safe; cheap to pass to forked workers."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open shards given by the paths of their ``images.arrow``."""
        self._batches: list[pa.RecordBatch] = []
        keys, rows = [], []
        for path in paths:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                keys.append(_hash_array(batch.column("sha256")))
                here = np.full(len(batch), len(self._batches))
                rows.append(np.stack([here, np.arange(len(batch))], axis=1).astype(np.int32))
                self._batches.append(batch)
        all_keys = np.concatenate(keys) if keys else np.empty(0, "S32")
        all_rows = np.concatenate(rows) if rows else np.empty((0, 2), np.int32)
        order = np.argsort(all_keys, kind="stable")
        self._keys, self._rows = all_keys[order], all_rows[order]

    @classmethod
    def open(cls, workspace: Workspace, refs: Iterable[str]) -> "ImageStore":
        """Open the shards named by ``refs`` (artifacts of kind ``images``)."""
        return cls([workspace.path(workspace.get(ref)) / FILE for ref in refs])

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, sha256: bytes) -> bool:
        return self._find(sha256) is not None

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the sha256 of every image, ascending."""
        return (bytes(key).ljust(32, b"\0") for key in self._keys)

    def jpeg(self, sha256: bytes) -> bytes:
        """Return the normalised JPEG of the image whose source has this sha256."""
        batch, row = self._locate(sha256)
        value: bytes = batch.column("jpeg")[row].as_py()
        return value

    def phash(self, sha256: bytes) -> int:
        """Return the 64-bit perceptual hash of the image."""
        batch, row = self._locate(sha256)
        return int(batch.column("phash")[row].as_py())

    def size(self, sha256: bytes) -> tuple[int, int]:
        """Return ``(width, height)`` of the normalised image, in pixels."""
        batch, row = self._locate(sha256)
        return batch.column("width")[row].as_py(), batch.column("height")[row].as_py()

    def _find(self, sha256: bytes) -> int | None:
        key = np.bytes_(sha256.rstrip(b"\0"))  # as numpy gives `S` values back
        i = int(np.searchsorted(self._keys, key))
        return i if i < len(self._keys) and self._keys[i] == key else None

    def _locate(self, sha256: bytes) -> tuple[pa.RecordBatch, int]:
        i = self._find(sha256)
        if i is None:
            raise ArtifactError(
                f"The image store has no image {sha256.hex()}.",
                fix="Run ingest again: it stores every image the snapshot refers to.",
            )
        batch, row = self._rows[i]
        return self._batches[batch], int(row)


def _hash_array(column: pa.Array) -> "np.ndarray[Any, np.dtype[np.bytes_]]":
    """View a ``binary(32)`` column as numpy ``S32``.

    numpy strips trailing NULs when it compares ``S`` values: two hashes that differ only there are one
    in 2**248, and both sides of every comparison are stripped alike.
    """
    buffer = column.buffers()[1]
    return np.frombuffer(buffer, dtype="S32", count=len(column), offset=column.offset * 32)
