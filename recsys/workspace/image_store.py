"""The image store: normalised JPEGs in Arrow IPC shards, found by the sha256 of their source bytes.

A shard is an artifact of kind ``images`` with one file, ``images.arrow``. Shards are memory-mapped:
opening a store costs 40 bytes of memory per image, reading one image copies that image only.
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

    def add(self, *, sha256: bytes, phash: int, width: int, height: int, jpeg: bytes) -> None:
        """Append one image."""
        self._rows.append({"sha256": sha256, "phash": phash, "width": width, "height": height, "jpeg": jpeg})
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


def read_shard(workspace: Workspace, ref: str) -> Iterator[dict[str, Any]]:
    """Yield the images of a shard as they were added to it; memory is one record batch."""
    with pa.memory_map(str(workspace.path(workspace.get(ref)) / FILE)) as file:
        shard = pa.ipc.open_file(file)
        for number in range(shard.num_record_batches):
            yield from shard.get_batch(number).to_pylist()


class ImageStore:
    """Random access to the images of some shards. Thread-safe; cheap to pass to forked workers."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open shards given by the paths of their ``images.arrow``."""
        tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths]
        self._table: pa.Table = pa.concat_tables([SCHEMA.empty_table(), *tables])
        # numpy strips trailing NULs when it compares `S32`: two hashes that differ only there are one in
        # 2**248, and both sides of every comparison are stripped alike.
        hashes = [
            np.frombuffer(column.buffers()[1], dtype="S32", count=len(column), offset=column.offset * 32)
            for column in self._table.column("sha256").chunks
        ]
        keys = np.concatenate([np.empty(0, "S32"), *hashes])
        self._rows = np.argsort(keys, kind="stable")
        self._keys = keys[self._rows]

    @classmethod
    def open(cls, workspace: Workspace, refs: Iterable[str]) -> "ImageStore":
        """Open the shards named by ``refs`` (artifacts of kind ``images``)."""
        return cls([workspace.path(workspace.get(ref)) / FILE for ref in refs])

    def __contains__(self, sha256: bytes) -> bool:
        return self._find(sha256) is not None

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the sha256 of every image, ascending."""
        return (bytes(key).ljust(32, b"\0") for key in self._keys)

    def jpeg(self, sha256: bytes) -> bytes:
        """Return the normalised JPEG of the image whose source has this sha256."""
        value: bytes = self._value("jpeg", sha256)
        return value

    def phash(self, sha256: bytes) -> int:
        """Return the 64-bit perceptual hash of the image."""
        return int(self._value("phash", sha256))

    def _value(self, column: str, sha256: bytes) -> Any:
        row = self._find(sha256)
        if row is None:
            raise ArtifactError(
                f"The image store has no image {sha256.hex()}.",
                fix="Run ingest again: it stores every image the snapshot refers to.",
            )
        return self._table.column(column)[row].as_py()

    def _find(self, sha256: bytes) -> int | None:
        key = np.bytes_(sha256.rstrip(b"\0"))  # as numpy gives `S` values back
        i = int(np.searchsorted(self._keys, key))
        return int(self._rows[i]) if i < len(self._keys) and self._keys[i] == key else None
