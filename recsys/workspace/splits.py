"""The split of a snapshot into four roles, as training made it and evaluation reads it.

    train        learnt from
    validation   chooses the epoch and the challenger
    holdout      the gate decides on it
    test         the final test: neither training nor the gate reads it, only benchmark records do

An artifact of kind ``splits`` with one file, ``splits.arrow``: one row per product, ascending by id.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recsys.workspace.store import Workspace

KIND = "splits"
FILE = "splits.arrow"
TRAIN, VALIDATION, HOLDOUT, TEST = "train", "validation", "holdout", "test"
UNUSED = "unused"
"""None of the four: its value of the prescribed column is in no list, or it shares an image or item group
with a product of a stricter role, was judged to be the same as one, or an ancestor was trained on it."""
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("component", pa.string(), nullable=False),  # shared by variants and duplicates
        pa.field("split", pa.string(), nullable=False),  # a role, or unused
    ]
)


def write_splits(path: Path, table: pa.Table) -> None:
    """Write ``splits.arrow`` at ``path``; ``table`` has :data:`SCHEMA`."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        writer.write_table(table.cast(SCHEMA))


def read_splits(workspace: Workspace, ref: str) -> pa.Table:
    """Read the assignment that ``ref`` (``splits/<id>``) names."""
    path = workspace.path(workspace.get(ref)) / FILE
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def ids_of(workspace: Workspace, ref: str, role: str) -> set[str]:
    """Return the ids of the products that have ``role`` in the assignment ``ref``."""
    table = read_splits(workspace, ref)
    return set(table.column("id").filter(pc.equal(table.column("split"), role)).to_pylist())
