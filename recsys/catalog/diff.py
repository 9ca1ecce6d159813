"""What changed between two catalog snapshots, by a merge of their ids: memory does not grow with them."""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pyarrow.parquet as pq

Row = tuple[str, bytes, bytes]
"""``(id, content_hash, payload_hash)``"""


class Change(StrEnum):
    """How a product differs from the earlier snapshot."""

    NEW = "new"
    CHANGED_CONTENT = "changed_content"
    CHANGED_PAYLOAD = "changed_payload"
    GONE = "gone"
    UNCHANGED = "unchanged"


def diff_products(before: Path | None, after: Path) -> dict[str, int]:
    """Return the number of products per :class:`Change` between two ``products.parquet`` files."""
    found = Counter(change for _, change in changes(_hashes(before) if before else iter(()), _hashes(after)))
    return {change.value: found[change] for change in Change}


def changes(before: Iterator[Row], after: Iterator[Row]) -> Iterator[tuple[str, Change]]:
    """Yield each id of either side with its change; both sides and the result ascend by id."""
    old_rows, new_rows = ((id, "old", hashes) for id, *hashes in before), ((id, "new", h) for id, *h in after)
    for id, group in groupby(merge(old_rows, new_rows, key=itemgetter(0)), key=itemgetter(0)):
        hashes = {side: hashes for _, side, hashes in group}
        old, new = hashes.get("old"), hashes.get("new")
        if old is None or new is None:
            yield id, Change.NEW if old is None else Change.GONE
        elif old[0] != new[0]:
            yield id, Change.CHANGED_CONTENT
        else:
            yield id, Change.UNCHANGED if old == new else Change.CHANGED_PAYLOAD


def _hashes(path: Path) -> Iterator[Row]:
    columns = ["id", "content_hash", "payload_hash"]
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        for batch in file.iter_batches(batch_size=2048, columns=columns, use_threads=False):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
