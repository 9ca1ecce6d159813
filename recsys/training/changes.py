"""How many products are new to training, or changed in what it reads, between two catalog snapshots.

N = products of a snapshot, C = products that may have changed
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.config import Config
from recsys.encoder.template import ContentReader
from recsys.workspace.columns import attribute_of
from recsys.workspace.snapshot import Snapshot

_HASHED = ("content_hash", "item_group_id")


def count_changed(
    config: Config, before: Snapshot, after: Snapshot, trained: Collection[str]
) -> tuple[int, int]:
    """Return how many products of ``after`` are new to ``before`` or changed, and of how many.

    Of the products of both only ``trained`` ids count. Changed is what training reads: text, images, labels
    and item group; with another price a product is the same. Memory follows ids and hashes ``[N]``.
    """
    old, new = before.table(("id", *_HASHED)), after.table(("id", *_HASHED))
    at = pc.index_in(new.column("id"), old.column("id").combine_chunks())
    is_new = at.is_null().to_numpy()
    is_trained = pc.is_in(new.column("id"), pa.array(sorted(trained), pa.string())).to_numpy()
    known = np.flatnonzero(is_trained & ~is_new)
    there = at.fill_null(0).to_numpy()[known].astype(np.int64)
    may_differ = np.zeros(len(known), np.bool_)
    for name in _HASHED:
        one, other = (
            np.array(table.column(name).take(pa.array(rows)).to_pylist(), object)
            for table, rows in ((old, there), (new, known))
        )
        may_differ |= one != other
    pairs = zip(
        _learnt(config, before, there[may_differ]), _learnt(config, after, known[may_differ]), strict=True
    )
    num_new = int(is_new.sum())
    return num_new + sum(one != other for one, other in pairs), num_new + len(known)


def _learnt(config: Config, snapshot: Snapshot, positions: NDArray[np.int64]) -> Iterator[tuple[Any, ...]]:
    """Yield what training reads of the products at ascending ``positions`` ``[C]``."""
    reader = ContentReader(config.encoder)
    labels = [name for level in config.training.labels.values() for name in level.columns]
    labels += [links.column for links in config.training.links]
    attributes = [attribute_of(name) for name in labels]
    columns = [n if a is None else "attributes" for n, a in zip(labels, attributes, strict=True)]
    for row in snapshot.rows_at(positions, ("item_group_id", *reader.columns, *columns)):
        own = dict(row.get("attributes") or ())
        values = [row[n] if a is None else own.get(a) for n, a in zip(labels, attributes, strict=True)]
        yield (reader.read(row).key, row["item_group_id"], *values)
