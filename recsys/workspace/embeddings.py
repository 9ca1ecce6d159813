"""Embeddings on disk: shards of vectors, and sets that say which row of which shard is which product.

A shard (kind ``embeddings``) belongs to one encoder and is never rewritten; it is the embedding cache.
A set (kind ``embedding-sets``) belongs to one snapshot and one encoder and points into shards, so that
the next night only adds the rows that changed.

    D = dimensions of one modality; the product vector is [image, text] / sqrt(2), so 2 * D
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.errors import ArtifactError
from recsys.workspace.store import Workspace

SHARD_KIND = "embeddings"
SHARD_FILE = "vectors.arrow"
SET_KIND = "embedding-sets"
SET_FILE = "rows.arrow"

Float32 = NDArray[np.float32]

SET_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # ascending, the snapshot's products exactly
        pa.field("key", pa.binary(16), nullable=False),  # of the rendered text and the images
        pa.field("shard", pa.int32(), nullable=False),  # index into manifest.info["shards"]
        pa.field("row", pa.int32(), nullable=False),
    ]
)


def shard_schema(dim: int) -> pa.Schema:
    """Return the schema of ``vectors.arrow`` for ``dim`` dimensions per modality."""
    return pa.schema(
        [
            pa.field("key", pa.binary(16), nullable=False),
            pa.field("image", pa.list_(pa.float32(), dim), nullable=False),  # unit norm
            pa.field("text", pa.list_(pa.float32(), dim), nullable=False),  # unit norm
            pa.field("has_image", pa.bool_(), nullable=False),  # False: `image` is a copy of `text`
            pa.field("has_text", pa.bool_(), nullable=False),  # False: `text` is a copy of `image`
        ]
    )


class Vectors(NamedTuple):
    """Embeddings of B products."""

    image: Float32  # [B, D], unit norm
    text: Float32  # [B, D], unit norm
    has_image: NDArray[np.bool_]  # [B]
    has_text: NDArray[np.bool_]  # [B]


def product_vectors(image: Float32, text: Float32) -> Float32:
    """Return ``[image, text] / sqrt(2)``, ``[B, 2 * D]``, unit norm: what the index stores."""
    return np.concatenate([image, text], axis=1) * np.float32(np.sqrt(0.5))


def halves(stored: Float32) -> Float32:
    """Return the image and the text vector, ``[..., 2, D]``, of stored vectors ``[..., 2 * D]``; all unit."""
    return stored.reshape(*stored.shape[:-1], 2, -1) * np.float32(np.sqrt(2))


def query_vector(image: Float32, text: Float32, image_weight: float) -> Float32:
    """Return the query ``[2 * D]`` whose dot product with a stored vector is w·cos(image) + (1-w)·cos(text).

    ``image`` and ``text`` are unit vectors ``[D]``; ``image_weight`` is w in [0, 1].
    """
    parts = [np.float32(image_weight) * image, np.float32(1 - image_weight) * text]
    return np.concatenate(parts) * np.float32(np.sqrt(2))


class ShardWriter:
    """Writes ``vectors.arrow`` batch by batch; memory is one batch."""

    def __init__(self, path: Path, dim: int) -> None:
        self._schema = shard_schema(dim)
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)
        self._dim = dim
        self.num_rows = 0

    def write(self, keys: list[bytes], vectors: Vectors) -> None:
        """Append one batch: ``keys`` are 16 bytes each, in the order of ``vectors``' rows."""
        columns = [
            pa.array(keys, pa.binary(16)),
            *[
                pa.FixedSizeListArray.from_arrays(
                    pa.array(np.ascontiguousarray(v, np.float32).reshape(-1)), self._dim
                )
                for v in vectors[:2]
            ],
            pa.array(vectors.has_image),
            pa.array(vectors.has_text),
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        self.num_rows += len(keys)

    def close(self) -> None:
        """Finish the file; without it the shard cannot be read."""
        self._writer.close()
        self._file.close()


class Shard:
    """One memory-mapped shard of vectors."""

    def __init__(self, path: Path) -> None:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self._starts = np.cumsum([0, *[len(b) for b in self._batches]])
        self.dim = int(reader.schema.field("image").type.list_size)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def keys(self) -> NDArray[Any]:
        """Return every row's key as numpy ``V16``, ``[len(self)]``."""
        parts = [
            np.frombuffer(b.column("key").buffers()[1], "V16", len(b), b.column("key").offset * 16)
            for b in self._batches
        ]
        return np.concatenate(parts) if parts else np.empty(0, "V16")

    def take(self, rows: NDArray[np.integer[Any]]) -> Vectors:
        """Return the vectors of some rows, in the order given; copies those rows only."""
        found = _empty_vectors(len(rows), self.dim)
        which = np.searchsorted(self._starts, rows, side="right") - 1
        for i in np.unique(which):
            at = np.flatnonzero(which == i)
            for target, name in zip(found, Vectors._fields, strict=True):
                column = self._batches[i].column(name)
                flat = column if pa.types.is_boolean(column.type) else column.flatten()
                values = flat.to_numpy(zero_copy_only=False).reshape(len(column), *target.shape[1:])
                target[at] = values[rows[at] - self._starts[i]]
        return found


def _empty_vectors(count: int, dim: int) -> Vectors:
    image, text = (np.empty((count, dim), np.float32) for _ in range(2))
    has_image, has_text = (np.empty(count, np.bool_) for _ in range(2))
    return Vectors(image, text, has_image, has_text)


@dataclass(frozen=True)
class EmbeddingBatch:
    """Some consecutive products of a set."""

    ids: list[str]
    keys: list[bytes]
    vectors: Vectors


class EmbeddingSet:
    """The vectors of every product of one snapshot under one encoder, memory-mapped."""

    def __init__(self, workspace: Workspace, ref: str) -> None:
        """Open the set that ``ref`` (``embedding-sets/<id>``) names.

        Raises :class:`ArtifactError` for a shard of another encoder, or of other dimensions, than the set's.
        """
        self.manifest = workspace.get(ref)
        self.encoder_ref = self.manifest.inputs["encoder"]
        self.dim = int(self.manifest.info["dim"])
        shards = [workspace.get(shard) for shard in self.manifest.info["shards"]]
        self._shards = [Shard(workspace.path(shard) / SHARD_FILE) for shard in shards]
        for made, shard in zip(shards, self._shards, strict=True):
            found = (made.inputs.get("encoder"), shard.dim)
            if found != (self.encoder_ref, self.dim):
                raise ArtifactError(
                    f"{made.ref} has {shard.dim} dimensions of {made.inputs.get('encoder')}, but {ref} is of "
                    f"{self.encoder_ref} with {self.dim}: vectors of two encoders cannot be compared.",
                    fix=f"Delete {ref} from the workspace and run `recsys embed` again.",
                )
        self.precision = "bf16" if any(s.info.get("precision") == "bf16" for s in shards) else "fp32"
        """What the towers computed in."""
        path = workspace.path(self.manifest) / SET_FILE
        self._rows: pa.Table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    def ids(self) -> list[str]:
        """Return every product id, ascending."""
        ids: list[str] = self._rows.column("id").to_pylist()
        return ids

    def keys(self) -> pa.ChunkedArray:
        """Return every product's content key, ``binary(16)``, in id order."""
        return self._rows.column("key")

    def batches(self, batch_size: int = 4096) -> Iterator[EmbeddingBatch]:
        """Stream the set ascending by id; memory is one batch."""
        for start in range(0, len(self), batch_size):
            yield self._read(self._rows.slice(start, batch_size))

    def shard_refs(self, positions: NDArray[np.integer[Any]]) -> list[str]:
        """Return the ref of the shard of each of the products at these positions."""
        refs = self.manifest.info["shards"]
        return [refs[s] for s in self._rows.column("shard").take(pa.array(positions)).to_pylist()]

    def select(self, positions: NDArray[np.integer[Any]]) -> EmbeddingBatch:
        """Return the products at these positions (0-based, in id order), in the order given."""
        return self._read(self._rows.take(pa.array(positions)))

    def _read(self, rows: pa.Table) -> EmbeddingBatch:
        shard, row = (rows.column(name).to_numpy() for name in ("shard", "row"))
        vectors = _empty_vectors(len(rows), self.dim)
        for s in np.unique(shard):
            at = np.flatnonzero(shard == s)
            for target, part in zip(vectors, self._shards[s].take(row[at]), strict=True):
                target[at] = part
        return EmbeddingBatch(rows.column("id").to_pylist(), rows.column("key").to_pylist(), vectors)
