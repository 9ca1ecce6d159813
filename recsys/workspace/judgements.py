"""What people judged of pairs of products, as the night reads it: an artifact of kind ``judgements``.

    pairs.parquet   one row per unordered pair (``left_id`` < ``right_id``), ascending

It is a file of judged pairs like any other (:mod:`recsys.workspace.pairs` reads it). Its id comes from the
pairs, so the same judgements are the same artifact, and none at all are always the same empty one. The
pointer ``judgements`` names the latest.

Does not know: who judged, where judgements are kept, what is learnt from them.
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
        pa.field("weight", pa.float64(), nullable=False),  # in (0, 1]; 1: all who judged agree
        pa.field("num_judges", pa.int32(), nullable=False),
        pa.field("updated_at", pa.timestamp("us", tz="UTC"), nullable=False),  # of the last judgement
    ]
)
_VERSION = 1


def commit(workspace: Workspace, rows: Sequence[dict[str, Any]], info: dict[str, Any]) -> Manifest:
    """Write the pairs (rows of :data:`SCHEMA`) as an artifact, or find it, and point at it.

    When somebody said it does not enter the id: to say the same again is no news.
    """
    ordered = sorted(rows, key=lambda row: (row["left_id"], row["right_id"]))
    said = [[row[n] for n in ("left_id", "right_id", "label", "weight", "num_judges")] for row in ordered]
    id = content_id({"version": _VERSION, "pairs": said})
    manifest = workspace.find(KIND, id)
    if manifest is None:
        with workspace.create(KIND, id) as draft:
            pq.write_table(pa.Table.from_pylist(ordered, schema=SCHEMA), draft.path / FILE)
            draft.info |= {**info, "num_pairs": len(ordered)}
        manifest = draft.committed()
    if (workspace.read_pointer(POINTER) or {}).get("judgements") != manifest.ref:
        workspace.write_pointer(POINTER, {"judgements": manifest.ref})
    return manifest


def latest(workspace: Workspace) -> str | None:
    """Return the ref of what was exported last, or ``None`` where nothing ever was."""
    pointer = workspace.read_pointer(POINTER)
    return str(pointer["judgements"]) if pointer else None


def telling(workspace: Workspace, ref: str | None) -> str | None:
    """Return ``ref`` where it holds pairs; ``None`` where it does not, or is ``None``.

    No judgements and an empty artifact of them are the same night, and give the same ids.
    """
    return ref if ref is not None and workspace.get(ref).info["num_pairs"] else None


def path_of(workspace: Workspace, ref: str) -> Path:
    """Return the local path of the file of pairs."""
    return workspace.path(workspace.get(ref)) / FILE


def read_judgements(workspace: Workspace, ref: str | None) -> list[JudgedPair]:
    """Return the pairs of the artifact ``ref``, ascending; none for ``None``."""
    return [] if ref is None else list(read_pairs(path_of(workspace, ref)))
