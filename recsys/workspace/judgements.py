"""The judgements people gave on the page, exported for training and evaluation: kind ``judgements``.

    pairs.parquet   one row per unordered pair (``left_id`` < ``right_id``), ascending

The file is read like any other file of judged pairs (:mod:`recsys.workspace.pairs`). The id comes from the
pairs, so the same judgements are the same artifact. The pointer ``judgements`` names the latest export.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.workspace.pairs import JudgedPair, read_pairs
from recsys.workspace.store import Manifest, Workspace, content_id

KIND = "judgements"
FILE = "pairs.parquet"
POINTER = "judgements"
SCHEMA = pa.schema(
    [
        pa.field("left_id", pa.string(), nullable=False),
        pa.field("right_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),  # similar, not_similar or duplicate
        pa.field("weight", pa.float64(), nullable=False),  # in (0, 1]; 1: all judges agree
        pa.field("num_judges", pa.int32(), nullable=False),
        pa.field("updated_at", pa.timestamp("us", tz="UTC"), nullable=False),  # of the last judgement
    ]
)
_VERSION = 1


def commit(workspace: Workspace, rows: Sequence[dict[str, Any]], info: dict[str, Any]) -> Manifest:
    """Write the pairs (rows of :data:`SCHEMA`), unless the artifact exists, and point at it.

    ``updated_at`` does not enter the id: repeating a judgement changes nothing.
    """
    ordered = sorted(rows, key=lambda row: (row["left_id"], row["right_id"]))
    content = [[row[n] for n in ("left_id", "right_id", "label", "weight", "num_judges")] for row in ordered]
    id = content_id({"version": _VERSION, "pairs": content})
    manifest = workspace.find_intact(KIND, id)
    if manifest is None:
        with workspace.create(KIND, id) as draft:
            pq.write_table(pa.Table.from_pylist(ordered, schema=SCHEMA), draft.path / FILE)
            draft.info |= {**info, "num_pairs": len(ordered)}
        manifest = draft.committed()
    if (workspace.read_pointer(POINTER) or {}).get("judgements") != manifest.ref:
        workspace.write_pointer(POINTER, {"judgements": manifest.ref})
    return manifest


def latest(workspace: Workspace) -> str | None:
    """Return the ref of the latest export, or ``None`` before the first."""
    pointer = workspace.read_pointer(POINTER)
    return str(pointer["judgements"]) if pointer else None


def nonempty(workspace: Workspace, ref: str | None) -> str | None:
    """Return ``ref``, or ``None`` if the artifact has no pairs: empty must give the same ids as none."""
    return ref if ref is not None and workspace.get(ref).info["num_pairs"] else None


def path_of(workspace: Workspace, ref: str) -> Path:
    """Return the local path of the file of pairs."""
    return workspace.path(workspace.get(ref)) / FILE


def read_judgements(workspace: Workspace, ref: str | None) -> list[JudgedPair]:
    """Return the pairs of the artifact ``ref``, ascending; an empty list for ``None``."""
    return [] if ref is None else list(read_pairs(path_of(workspace, ref)))
