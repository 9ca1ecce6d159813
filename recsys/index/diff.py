"""What changed between what is published and what is to be published."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from recsys.index.source import Positions, Row


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Positions in the new source, ascending; ids that are gone; counts."""

    upsert: Positions
    """New products and products whose vectors changed."""
    payload: Positions
    """Products of which only columns changed."""
    gone: list[str]
    counts: dict[str, int]
    """How many are ``new``, have other ``vectors`` or ``payload``, are ``gone`` or ``unchanged``."""

    def __len__(self) -> int:
        """Return how many products have to be written or deleted."""
        return len(self.upsert) + len(self.payload) + len(self.gone)


def diff(before: Iterable[Row], after: Iterable[Row], *, all_payloads: bool = False) -> Changes:
    """Compare two streams that ascend by id; memory follows the changes, not the streams.

    ``all_payloads`` counts every payload as changed, because the schema of payloads did.
    """
    upsert, payload, gone = [], [], []
    num_new = unchanged = 0
    older = iter(before)
    old = next(older, None)
    for position, new in enumerate(after):
        while old is not None and old.id < new.id:
            gone.append(old.id)
            old = next(older, None)
        if old is None or old.id != new.id:
            num_new += 1
            upsert.append(position)
            continue
        if old.key != new.key:
            upsert.append(position)
        elif all_payloads or old.hash != new.hash:
            payload.append(position)
        else:
            unchanged += 1
        old = next(older, None)
    if old is not None:
        gone += [old.id, *(row.id for row in older)]
    return Changes(
        upsert=np.array(upsert, np.int64),
        payload=np.array(payload, np.int64),
        gone=gone,
        counts={
            "new": num_new,
            "vectors": len(upsert) - num_new,
            "payload": len(payload),
            "gone": len(gone),
            "unchanged": unchanged,
        },
    )
