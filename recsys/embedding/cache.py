"""The embedding cache: which content keys the shards of one encoder hold, and where.

N = products of a snapshot, K = keys in all shards of the encoder
"""

import numpy as np
from numpy.typing import NDArray

from recsys.encoder.template import ContentReader
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import SHARD_FILE, SHARD_KIND, Shard
from recsys.workspace.snapshot import Snapshot

Int32 = NDArray[np.int32]
Keys = NDArray[np.bytes_]
"""``S16``: 16 bytes each. numpy pads with NULs and all keys are 16 long, so comparing them is exact."""


def content_keys(snapshot: Snapshot, reader: ContentReader) -> Keys:
    """Return the content key of each product in snapshot order, ``[N]``; 16 bytes of memory per product."""
    rows = (row for batch in snapshot.batches(reader.columns) for row in batch.to_pylist())
    return np.fromiter((reader.read(row).key for row in rows), "S16", snapshot.num_products)


class Cache:
    """Every cached key of one encoder, sorted: 24 bytes of memory per key."""

    def __init__(self, workspace: Workspace, encoder_ref: str) -> None:
        """Read the keys of the encoder's shards; nothing of another encoder's is opened."""
        self.shards: list[Manifest] = workspace.list_intact(SHARD_KIND, prefix=shard_prefix(encoder_ref))
        parts = [Shard(workspace.path(shard) / SHARD_FILE).keys().view("S16") for shard in self.shards]
        keys = np.concatenate([np.empty(0, "S16"), *parts])
        order = np.argsort(keys, kind="stable")  # of a key that is there twice, the oldest shard's is first
        self._keys = keys[order]
        lengths = [len(part) for part in parts]
        self._shard = np.repeat(np.arange(len(parts), dtype=np.int32), lengths)[order]
        self._row = np.concatenate([np.empty(0, np.int32), *(np.arange(n, dtype=np.int32) for n in lengths)])[
            order
        ]

    @property
    def precision(self) -> str | None:
        """What the encoder's first vectors were computed in; ``None`` where there are none."""
        return next((shard.info["precision"] for shard in self.shards if "precision" in shard.info), None)

    def locate(self, keys: Keys) -> tuple[NDArray[np.bool_], Int32, Int32]:
        """Return whether each of ``keys`` is cached, in which of :attr:`shards`, and in which row of it.

        Shard and row mean nothing where a key is not cached.
        """
        if not len(self._keys):
            nowhere = np.zeros(len(keys), np.int32)
            return np.zeros(len(keys), np.bool_), nowhere, nowhere
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return self._keys[at] == keys, self._shard[at], self._row[at]


def shard_prefix(encoder_ref: str) -> str:
    """Return how the ids of an encoder's shards begin, so that no other encoder's are read."""
    return encoder_ref.partition("/")[2] + "-"
