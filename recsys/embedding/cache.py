"""What the shards of one encoder already hold: content key → shard and row.

    K = keys in all shards of the encoder

Does not know: snapshots, or how a vector is made.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.embedding.rows import Keys
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import SHARD_FILE, SHARD_KIND, Shard


class Places(NamedTuple):
    """Where some keys are."""

    found: NDArray[np.bool_]
    shard: NDArray[np.int32]
    """Index into :attr:`Cache.shards`; undefined where not found."""
    row: NDArray[np.int32]


class Cache:
    """Every cached key of one encoder, sorted: 24 bytes of memory per key."""

    def __init__(self, workspace: Workspace, encoder_ref: str) -> None:
        shards = workspace.list(SHARD_KIND, prefix=shard_prefix(encoder_ref))
        self.shards: list[Manifest] = shards
        keys, shard_index, rows = [np.empty(0, "S16")], [np.empty(0, np.int32)], [np.empty(0, np.int32)]
        for i, manifest in enumerate(shards):
            found = Shard(workspace.path(manifest) / SHARD_FILE).keys().view("S16")
            keys.append(found)
            shard_index.append(np.full(len(found), i, np.int32))
            rows.append(np.arange(len(found), dtype=np.int32))
        joined = np.concatenate(keys)
        order = np.argsort(
            joined, kind="stable"
        )  # of a key that is there twice, the oldest shard's comes first
        self._keys = joined[order]
        self._shard = np.concatenate(shard_index)[order]
        self._row = np.concatenate(rows)[order]

    def __len__(self) -> int:
        return len(self._keys)

    def locate(self, keys: Keys) -> Places:
        """Return where each of ``keys`` is."""
        if not len(self._keys):
            zeros = np.zeros(len(keys), np.int32)
            return Places(np.zeros(len(keys), np.bool_), zeros, zeros)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return Places(self._keys[at] == keys, self._shard[at], self._row[at])


def shard_prefix(encoder_ref: str) -> str:
    """Return how the ids of an encoder's shards begin, so that they are found without reading the others'."""
    return encoder_ref.partition("/")[2] + "-"
