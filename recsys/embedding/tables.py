"""The two Arrow files of this stage: a plan's rows and a set's.

    P = contents to embed, N = products of the snapshot

Does not know: which rows are missing, or where vectors are.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.embedding.rows import Keys
from recsys.workspace.embeddings import SET_SCHEMA
from recsys.workspace.snapshot import Snapshot

PLAN_SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),  # of the row in the snapshot, ascending
        pa.field("key", pa.binary(16), nullable=False),  # of its content, each once
    ]
)
_BATCH = 65_536


def write_plan(path: Path, positions: NDArray[np.int64], keys: Keys) -> None:
    """Write the rows to embed, ``[P]``, in slices that a worker can read without the rest."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, PLAN_SCHEMA) as writer:
        for start in range(0, len(positions), _BATCH):
            some = slice(start, start + _BATCH)
            columns = [pa.array(positions[some]), _binary(keys[some])]
            writer.write_batch(pa.record_batch(columns, schema=PLAN_SCHEMA))


def read_plan(path: Path, start: int, stop: int) -> pa.Table:
    """Return rows ``[start, stop)`` of a plan, memory-mapped."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().slice(start, stop - start)


def write_set(
    path: Path, snapshot: Snapshot, keys: Keys, shard: NDArray[np.integer], row: NDArray[np.integer]
) -> None:
    """Write where each product's vector is, ``[N]`` in snapshot order."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SET_SCHEMA) as writer:
        at = 0
        for batch in snapshot.batches(["id"], batch_size=_BATCH):
            some = slice(at, at + len(batch))
            places = [pa.array(column[some], pa.int32()) for column in (shard, row)]
            columns = [batch.column("id"), _binary(keys[some]), *places]
            writer.write_batch(pa.record_batch(columns, schema=SET_SCHEMA))
            at += len(batch)


def _binary(keys: Keys) -> pa.Array:
    """View ``S16`` keys as Arrow ``binary(16)``."""
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(keys), [None, pa.py_buffer(keys.tobytes())]
    )
