"""Content keys of a snapshot's products, and some of its rows by position.

    N = products of the snapshot

Does not know: what is cached.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.encoder.template import ContentReader
from recsys.workspace.snapshot import Snapshot

Keys = NDArray[np.bytes_]
"""``S16``: 16 bytes each. numpy pads with NULs and all keys are 16 long, so comparing them is exact."""


def content_keys(snapshot: Snapshot, reader: ContentReader) -> Keys:
    """Return the content key of each product in snapshot order, ``[N]``; 16 bytes of memory per product."""
    keys = np.empty(snapshot.num_products, "S16")
    at = 0
    for batch in snapshot.batches(reader.columns):
        for row in batch.to_pylist():
            keys[at] = reader.read(row).key
            at += 1
    return keys


def rows_at(
    snapshot: Snapshot, positions: NDArray[np.int64], columns: Sequence[str], *, batch_size: int = 1024
) -> Iterator[dict[str, Any]]:
    """Yield the rows at ascending ``positions``; row groups without any of them are not read."""
    with pq.ParquetFile(snapshot.products_path, memory_map=True) as file:
        start = 0
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            low, high = np.searchsorted(positions, (start, stop))
            if low < high:
                wanted = positions[low:high]
                for batch in file.iter_batches(batch_size, row_groups=[group], columns=list(columns)):
                    here = wanted[slice(*np.searchsorted(wanted, (start, start + len(batch))))]
                    yield from batch.take(here - start).to_pylist()
                    start += len(batch)
            start = stop
