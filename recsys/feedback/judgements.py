"""Judgements, and what those of several people on one pair come to.

    similar and duplicate are for, not_similar is against
    weight = |for - against| / (for + against)

A tie says nothing and is left out. A pair is a duplicate if more people say so than say merely similar.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Label = Literal["similar", "not_similar", "duplicate"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one person says of two products. Times are UTC."""

    id: int
    left_id: str
    right_id: str
    """The two ids in the order of text, whichever way round they were given."""
    label: Label
    author: str
    context: Mapping[str, Any] | None
    """What was on the screen: the query, the encoder, the rank; whatever the client sent."""
    created_at: datetime
    changed_at: datetime
    withdrawn_at: datetime | None = None
    replaced: Label | None = None
    """What the author said of the pair before; only :meth:`FeedbackStore.judge` sets it."""


def aggregate(judgements: Iterable[Judgement]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return one row per pair that something is said of, and counts for the record.

    ``judgements`` come by pair. Rows have the columns of :data:`recsys.workspace.judgements.SCHEMA`.
    """
    rows: list[dict[str, Any]] = []
    counts = Counter(judgements=0, pairs=0, similar=0, not_similar=0, duplicate=0, disputed=0, ties=0)
    for (left, right), group in itertools.groupby(judgements, key=lambda j: (j.left_id, j.right_id)):
        said = list(group)
        votes = Counter(j.label for j in said)
        against = votes["not_similar"]
        lead = len(said) - 2 * against
        counts["judgements"] += len(said)
        counts["disputed"] += 0 < against < len(said)
        if not lead:
            counts["ties"] += 1
            continue
        positive = "duplicate" if votes["duplicate"] > votes["similar"] else "similar"
        label = positive if lead > 0 else "not_similar"
        counts["pairs"] += 1
        counts[label] += 1
        rows.append(
            {
                "left_id": left,
                "right_id": right,
                "label": label,
                "weight": abs(lead) / len(said),
                "num_judges": len(said),
                "updated_at": max(j.changed_at for j in said),
            }
        )
    return rows, dict(counts)
