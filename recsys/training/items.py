"""From a snapshot to what training needs of it: pictures and texts of the products it may look at.

Rows that are held out or unused get neither: nothing later can reach a picture or a word of theirs.

    N = products of the snapshot

Does not know: tensors, batches.
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.encoder.template import ContentReader
from recsys.training.data import Items
from recsys.workspace.snapshot import Snapshot

Int = NDArray[np.int64]


class Material(NamedTuple):
    """Items and the pictures they point at."""

    items: Items
    sha256: list[bytes]  # [V] distinct pictures; `Items.views` are positions in it


def read(
    snapshot: Snapshot,
    reader: ContentReader,
    splits: Sequence[str],
    components: Sequence[str],
    wanted: Collection[str],
) -> Material:
    """Read the content of the products whose split is in ``wanted``.

    ``splits`` and ``components`` are those of the snapshot's rows, ``[N]``; memory is the wanted rows'
    texts and picture hashes.
    """
    starts, codes = [0], []
    views: list[int] = []
    positions: dict[bytes, int] = {}
    texts: dict[str, int] = {}
    rows = (row for batch in snapshot.batches(("id", *reader.columns)) for row in batch.to_pylist())
    for row, split in zip(rows, splits, strict=True):
        if split in wanted:
            content = reader.read(row)
            views.extend(positions.setdefault(sha, len(positions)) for sha in content.images)
            codes.append(-1 if content.text is None else texts.setdefault(content.text, len(texts)))
        else:
            codes.append(-1)
        starts.append(len(views))
    items = Items(
        view_starts=np.array(starts, np.int64),
        views=np.array(views, np.int64),
        text_codes=np.array(codes, np.int64),
        texts=list(texts),
        kin=np.unique(np.array(components), return_inverse=True)[1].astype(np.int64),
    )
    return Material(items, list(positions))


def without_pictures(material: Material) -> Material:
    """Return the same for terms that read texts alone."""
    items = material.items
    none = np.zeros(len(items.view_starts), np.int64)
    return Material(dataclasses.replace(items, view_starts=none, views=np.empty(0, np.int64)), [])


def rows_at(snapshot: Snapshot, columns: Sequence[str], positions: Int) -> list[dict[str, Any]]:
    """Return some rows of the snapshot as dicts, in the order of ``positions``."""
    table = snapshot.table(tuple(dict.fromkeys(columns)))
    rows: list[dict[str, Any]] = table.take(pa.array(positions)).to_pylist()
    return rows
