"""The task that people's judgements make: held-out products that somebody judged, against what they said.

A pair with a held-out end judges, and its held-out ends are the queries. One with a validation end, and none
held out, selects: what is held out is no part of that gallery, so that no judgement does both. Pairs of two
training products are training's, and ask nothing here.

Does not know: vectors, how a judgement came about.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from recsys.config.evaluation import TaskConfig
from recsys.evaluation.products import Products, sample
from recsys.evaluation.tasks import Task
from recsys.workspace.pairs import read_pairs
from recsys.workspace.splits import HOLDOUT, VALIDATION

TITLE = "Merchandisers' judgements"
METRICS = ("agreement@10", "agreement@5", "agreement@24")
_NAMES = ("judged", "judgements", "merchandisers")


def judged_task(
    pairs: Path, products: Products, splits: Sequence[str], *, taken: Collection[str], max_queries: int
) -> tuple[Task | None, list[str]]:
    """Return the task of the file ``pairs``, and notes; ``None`` where no judgement is of a held-out product.

    ``taken`` are the names of the other tasks.
    """
    row = {id: i for i, id in enumerate(products.ids)}
    judged = list(read_pairs(pairs))
    ends = [(row[p.left_id], row[p.right_id]) for p in judged if p.left_id in row and p.right_id in row]
    known = np.array(ends, np.int64).reshape(-1, 2)  # [M, 2]
    held = products.in_split(HOLDOUT)
    asked = {split: known[products.in_split(split)[known].any(axis=1)] for split in splits}
    if VALIDATION in asked:
        asked[VALIDATION] = asked[VALIDATION][~held[asked[VALIDATION]].any(axis=1)]
    if not len(asked.get(HOLDOUT, known[:0])):
        return None, [f"{len(judged)} pairs are judged, none of a held-out product: they do not judge yet."]
    queries, notes, required = {}, [], [np.empty(0, np.int64)]
    for split, found in asked.items():
        both = np.unique(found)
        inside = both[products.in_split(split)[both]]
        queries[split] = inside[sample([products.ids[i] for i in inside], max_queries)]
        required.append(both)
        if len(queries[split]) < len(inside):
            notes.append(f"{TITLE}: {len(queries[split])} of {len(inside)} {split} queries, by hash.")
    galleries = {s: np.flatnonzero(~held) if s == VALIDATION else np.arange(len(products)) for s in splits}
    config = TaskConfig(
        name=next(name for name in _NAMES if name not in taken),
        title=TITLE, pairs=str(pairs), metrics=METRICS, gate=True,
    )  # fmt: skip
    required_ends = np.unique(np.concatenate(required))
    return Task(
        config=config, queries=queries, galleries=galleries, judged=True, required=required_ends
    ), notes
