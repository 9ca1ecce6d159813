"""What several people said of a pair, put together.

    similar and duplicate are for, not_similar is against
    weight = |for - against| / (for + against)

A tie says nothing and is left out. A pair is a duplicate where more say so than say merely similar.

Does not know: databases, files.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

from recsys.feedback.records import Judgement


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
