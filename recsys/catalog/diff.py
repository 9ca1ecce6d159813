"""What changed between two catalog snapshots, by a merge of their ids: memory does not grow with them."""

from collections import Counter
from collections.abc import Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal, get_args

import pyarrow.parquet as pq

Row = tuple[str, bytes, bytes]
"""``(id, content_hash, payload_hash)``"""


Change = Literal["new", "changed_content", "changed_payload", "gone", "unchanged"]
"""How a product differs from the earlier snapshot."""


def diff_products(before: Path | None, after: Path) -> dict[str, int]:
    """Return the number of products per :data:`Change` between two ``products.parquet`` files."""
    found = Counter(change for _, change in changes(_hashes(before) if before else iter(()), _hashes(after)))
    return {change: found[change] for change in get_args(Change)}


def changes(before: Iterator[Row], after: Iterator[Row]) -> Iterator[tuple[str, Change]]:
    """Yield each id of either side with its change; both sides and the result ascend by id."""
    old_rows, new_rows = ((id, "old", hashes) for id, *hashes in before), ((id, "new", h) for id, *h in after)
    for id, group in groupby(merge(old_rows, new_rows, key=itemgetter(0)), key=itemgetter(0)):
        hashes = {side: hashes for _, side, hashes in group}
        old, new = hashes.get("old"), hashes.get("new")
        if old is None or new is None:
            yield id, "new" if old is None else "gone"
        elif old[0] != new[0]:
            yield id, "changed_content"
        else:
            yield id, "unchanged" if old == new else "changed_payload"


def _hashes(path: Path) -> Iterator[Row]:
    columns = ["id", "content_hash", "payload_hash"]
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        for batch in file.iter_batches(batch_size=2048, columns=columns, use_threads=False):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
