"""What is to be published: the rows of a snapshot together with their vectors, streamed."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.errors import ArtifactError
from recsys.index.base import Payload, Point, StoredPoint
from recsys.index.points import COLUMNS, payloads, row_hash
from recsys.workspace import Workspace
from recsys.workspace.embeddings import EmbeddingBatch, EmbeddingSet, product_vectors
from recsys.workspace.snapshot import Snapshot

_BATCH = 4096

Positions = NDArray[np.int64]


class Row(NamedTuple):
    """A product's id and hashes: what decides whether it has to be written again."""

    id: str
    key: str
    """Of its vectors, as the payload's ``embedding_key``."""
    hash: str
    """Of its columns, as the payload's ``row_hash``."""

    @classmethod
    def of(cls, stored: StoredPoint) -> "Row":
        """Return the row of a product that is stored."""
        return cls(stored.id, stored.payload.get("embedding_key", ""), stored.payload.get("row_hash", ""))


class Source:
    """One snapshot under one encoder. Memory is one batch; positions count from 0 in id order."""

    def __init__(self, workspace: Workspace, snapshot_ref: str, embedding_set_ref: str) -> None:
        """Open both; raises :class:`ArtifactError` if they are not of the same products."""
        self.snapshot_ref = snapshot_ref
        self.embedding_set_ref = embedding_set_ref
        self._snapshot = Snapshot.open(workspace, snapshot_ref)
        self.embeddings = EmbeddingSet(workspace, embedding_set_ref)
        self.encoder_ref = self.embeddings.encoder_ref
        self.dim = self.embeddings.dim
        if len(self.embeddings) != self._snapshot.num_products:
            raise self._mismatch()

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def inputs(self) -> dict[str, str]:
        """Role → ref of what is published."""
        return {
            "snapshot": self.snapshot_ref, "embeddings": self.embedding_set_ref, "encoder": self.encoder_ref
        }  # fmt: skip

    def rows(self) -> Iterator[Row]:
        """Stream what identifies each product's content, ascending by id."""
        columns = ("id", "content_hash", "payload_hash")
        for batch, vectors in self._aligned(columns):
            hashes = zip(*(batch.column(name).to_pylist() for name in columns[1:]), strict=True)
            for id, key, pair in zip(vectors.ids, vectors.keys, hashes, strict=True):
                yield Row(id, key.hex(), row_hash(*pair))

    def points(self, positions: Positions | None = None) -> Iterator[Point]:
        """Stream products as they are stored: all of them, or those at ascending ``positions``."""
        for batch, vectors in self._aligned(COLUMNS, positions):
            stored = product_vectors(vectors.vectors.image, vectors.vectors.text)
            for payload, vector in zip(payloads(batch, vectors), stored, strict=True):
                yield Point(payload["id"], vector, payload)

    def payloads(self, positions: Positions | None = None) -> Iterator[tuple[str, Payload]]:
        """Stream ids and payloads: all of them, or those at ascending ``positions``."""
        for batch, vectors in self._aligned(COLUMNS, positions):
            for payload in payloads(batch, vectors):
                yield payload["id"], payload

    def sample(self, count: int, seed: int, *, among: Positions | None = None) -> Positions:
        """Return up to ``count`` positions, of all or ``among`` some, ascending, without replacement."""
        some = np.arange(len(self)) if among is None else among
        chosen = np.random.default_rng(seed).choice(some, min(count, len(some)), replace=False)
        return np.sort(chosen).astype(np.int64)

    def _aligned(
        self, columns: Iterable[str], positions: Positions | None = None
    ) -> Iterator[tuple[pa.RecordBatch, EmbeddingBatch]]:
        start = 0
        for batch in self._snapshot.batches(tuple(columns), batch_size=_BATCH):
            end = start + len(batch)
            if positions is None:
                wanted = np.arange(start, end)
            else:
                low, high = np.searchsorted(positions, (start, end))
                wanted = positions[low:high]
                batch = batch.take(pa.array(wanted - start))
            start = end
            if not len(wanted):
                continue
            vectors = self.embeddings.select(wanted)
            if vectors.ids != batch.column("id").to_pylist():
                raise self._mismatch()
            yield batch, vectors

    def _mismatch(self) -> ArtifactError:
        return ArtifactError(
            f"{self.embedding_set_ref} does not hold the products of {self.snapshot_ref}.",
            fix="Publish a set that was embedded from this snapshot: run `recsys embed` first.",
        )
