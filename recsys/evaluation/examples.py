"""Neighbours of a few held-out products under two encoders, for people to look at.

P = products embedded (the pool), Q = queries of the task that the examples come from
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsys.evaluation.products import Positions, Products
from recsys.evaluation.scores import Float64, PoolVectors, fused_terms
from recsys.evaluation.tasks import PreparedTask
from recsys.metrics.exact import score_chunks, top_k

LOST, GAINED, TYPICAL = "lost most", "gained most", "typical"


def choose(
    ids: Sequence[str], categories: Sequence[str | None], change: Float64 | None, count: int
) -> list[tuple[int, str]]:
    """Return ``count`` of some products as (index, why): the worst and best changed, and a spread.

    ``change`` ``[Q]`` is the challenger's gain on each. A quarter each goes to what lost and what gained
    most, the rest in turns over the ``categories`` ``[Q]``; equals are ordered by hash of the id.
    """
    hashes = [hashlib.blake2b(i.encode(), digest_size=8).digest() for i in ids]
    chosen: list[tuple[int, str]] = []
    if change is not None:
        order = sorted(range(len(ids)), key=lambda i: (change[i], hashes[i]))
        quarter = count // 4
        chosen += [(i, LOST) for i in order[:quarter] if change[i] < 0]
        chosen += [(i, GAINED) for i in reversed(order[-quarter:] if quarter else []) if change[i] > 0]
    taken = {i for i, _ in chosen}
    turns: dict[str | None, int] = {}
    queue = []
    for i in sorted(set(range(len(ids))) - taken, key=hashes.__getitem__):
        turns[categories[i]] = turns.get(categories[i], 0) + 1
        queue.append((turns[categories[i]], hashes[i], i))
    return chosen + [(i, TYPICAL) for _, _, i in sorted(queue)[: count - len(chosen)]]


def relevant_to(task: PreparedTask, rows: Sequence[int]) -> dict[int, set[int]]:
    """Return, for some query rows of ``task``, position → positions of the products relevant to it."""
    relevant = task.relevance.chunk(np.array(rows, np.int64)).relevant
    return {
        int(task.queries[row]): {
            int(p) for result in np.flatnonzero(found) for p in task.members(int(result))
        }
        for row, found in zip(rows, relevant, strict=True)
    }


def neighbours(
    pool: PoolVectors,
    products: Products,
    queries: Positions,
    *,
    image_weight: float,
    count: int,
    relevant: Mapping[int, set[int]],
) -> list[list[dict[str, Any]]]:
    """Return the ``count`` most similar products of the pool per query, with what each half contributes.

    ``relevant`` maps a query's position to the positions of the products relevant to it.
    """
    gallery = pool.positions
    itself = np.searchsorted(gallery, queries)
    terms = fused_terms(pool, queries, gallery, image_weight)
    found: dict[int, Positions] = {}
    for rows, scores in score_chunks(terms, np.full(len(queries), count)):
        scores[np.arange(len(rows)), itself[rows]] = -np.inf
        for row, nearest in zip(rows, top_k(scores, count), strict=True):
            found[row] = gallery[nearest[nearest >= 0]]
    lists = []
    for row, query in enumerate(queries):
        one = np.array([query])
        image = (pool.image(found[row]) @ pool.image(one)[0]).tolist()
        text = (pool.text(found[row]) @ pool.text(one)[0]).tolist()
        lists.append(
            [
                {
                    "id": products.ids[position],
                    "score": image_weight * i + (1 - image_weight) * t,
                    "image_score": i,
                    "text_score": t,
                    "relevant": int(position) in relevant.get(int(query), set()),
                }
                for position, i, t in zip(found[row], image, text, strict=True)
            ]
        )
    return lists
