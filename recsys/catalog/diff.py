"""What changed between two catalog snapshots, by a merge of their ids: memory does not grow with them.

Does not know: what is done about it.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pyarrow.parquet as pq

Row = tuple[str, bytes, bytes]


class Change(StrEnum):
    """How a product differs from the earlier snapshot."""

    NEW = "new"
    CHANGED_CONTENT = "changed_content"
    CHANGED_PAYLOAD = "changed_payload"
    GONE = "gone"
    UNCHANGED = "unchanged"


def diff_products(before: Path | None, after: Path) -> dict[str, int]:
    """Return the number of products per :class:`Change` between two ``products.parquet`` files."""
    counts = {change.value: 0 for change in Change}
    for _, change in changes(_hashes(before) if before else iter(()), _hashes(after)):
        counts[change.value] += 1
    return counts


def changes(before: Iterator[Row], after: Iterator[Row]) -> Iterator[tuple[str, Change]]:
    """Yield each id of either side with its change, ascending.

    Rows are ``(id, content_hash, payload_hash)``, ascending by id (code points, as UTF-8 bytes sort).
    """
    old, new = next(before, None), next(after, None)
    while old is not None or new is not None:
        if old is None or (new is not None and new[0] < old[0]):
            assert new is not None, "one side has a row left"
            yield new[0], Change.NEW
            new = next(after, None)
        elif new is None or old[0] < new[0]:
            yield old[0], Change.GONE
            old = next(before, None)
        else:
            yield new[0], _change(old, new)
            old, new = next(before, None), next(after, None)


def _change(old: Row, new: Row) -> Change:
    if old[1] != new[1]:
        return Change.CHANGED_CONTENT
    return Change.UNCHANGED if old[2] == new[2] else Change.CHANGED_PAYLOAD


def _hashes(path: Path) -> Iterator[Row]:
    columns = ["id", "content_hash", "payload_hash"]
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        for batch in file.iter_batches(batch_size=2048, columns=columns, use_threads=False):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
