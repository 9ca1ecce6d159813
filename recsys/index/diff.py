"""What changed between what is published and what is to be published.

Does not know: where either comes from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from recsys.index.source import Positions, Row


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Positions in the new source, ascending, and ids that are gone."""

    upsert: Positions
    """New products and products whose vectors changed."""
    payload: Positions
    """Products of which only columns changed."""
    gone: list[str] = field(default_factory=list)
    unchanged: int = 0
    num_new: int = 0

    @property
    def is_empty(self) -> bool:
        """True where nothing has to be written."""
        return not (len(self.upsert) or len(self.payload) or self.gone)

    def counts(self) -> dict[str, int]:
        """Return the number of products of each kind."""
        return {
            "new": self.num_new,
            "vectors": len(self.upsert) - self.num_new,
            "payload": len(self.payload),
            "gone": len(self.gone),
            "unchanged": self.unchanged,
        }


def diff(before: Iterable[Row], after: Iterable[Row], *, all_payloads: bool = False) -> Changes:
    """Compare two streams that ascend by id; memory follows the changes, not the streams.

    ``all_payloads`` counts every payload as changed: the payload's own shape did.
    """
    collected = _Collected(all_payloads)
    older = iter(before)
    old = next(older, None)
    for position, new in enumerate(after):
        while old is not None and old.id < new.id:
            collected.gone.append(old.id)
            old = next(older, None)
        if old is not None and old.id == new.id:
            collected.compare(position, old, new)
            old = next(older, None)
        else:
            collected.add(position)
    while old is not None:
        collected.gone.append(old.id)
        old = next(older, None)
    return collected.changes()


def diff_unordered(before: Mapping[str, Row], after: Iterable[Row], *, all_payloads: bool = False) -> Changes:
    """Compare when what is published was read from the index itself, which has no order by id."""
    collected = _Collected(all_payloads)
    seen = 0
    ids: set[str] = set()
    for position, new in enumerate(after):
        old = before.get(new.id)
        if old is None:
            collected.add(position)
        else:
            seen += 1
            ids.add(new.id)
            collected.compare(position, old, new)
    if seen < len(before):
        collected.gone.extend(sorted(before.keys() - ids))
    return collected.changes()


class _Collected:
    def __init__(self, all_payloads: bool) -> None:
        self._all_payloads = all_payloads
        self._upsert: list[int] = []
        self._payload: list[int] = []
        self._new = 0
        self._unchanged = 0
        self.gone: list[str] = []

    def add(self, position: int) -> None:
        self._new += 1
        self._upsert.append(position)

    def compare(self, position: int, old: Row, new: Row) -> None:
        if old.key != new.key:
            self._upsert.append(position)
        elif self._all_payloads or old.hash != new.hash:
            self._payload.append(position)
        else:
            self._unchanged += 1

    def changes(self) -> Changes:
        return Changes(
            upsert=np.array(self._upsert, np.int64),
            payload=np.array(self._payload, np.int64),
            gone=self.gone,
            unchanged=self._unchanged,
            num_new=self._new,
        )
