"""Neighbours of a few held-out products under two encoders, for people to look at.

    P = products embedded (the pool), Q = queries of the task that the examples come from

Does not know: files, images, the report.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.products import Positions, Products
from recsys.evaluation.scores import Pool, fused_terms
from recsys.evaluation.tasks import ReadyTask
from recsys.metrics.exact import Pairs, Similarity, top_k

Float64 = NDArray[np.float64]
LOST, GAINED, TYPICAL = "lost most", "gained most", "typical"


def choose(
    ids: Sequence[str], labels: Sequence[str | None], change: Float64 | None, count: int
) -> list[tuple[int, str]]:
    """Return ``count`` of some products as (index, why): the worst and best changed, and a spread.

    ``change`` ``[Q]`` is the challenger's gain on each. A quarter each goes to what lost and what gained
    most, the rest in turns over the categories ``labels`` ``[Q]``; equals are ordered by hash of the id.
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
        turns[labels[i]] = turns.get(labels[i], 0) + 1
        queue.append((turns[labels[i]], hashes[i], i))
    return chosen + [(i, TYPICAL) for _, _, i in sorted(queue)[: count - len(chosen)]]


def neighbours(
    pool: Pool,
    products: Products,
    queries: Positions,
    *,
    image_weight: float,
    count: int,
    relevant: Mapping[int, set[int]],
) -> list[list[dict[str, Any]]]:
    """Return the ``count`` most similar products of the pool per query, with what each half contributes.

    ``relevant`` maps a query's position to the positions of its right answers.
    """
    gallery = pool.positions
    own = np.searchsorted(gallery, queries)

    def itself(rows: NDArray[np.integer[Any]]) -> Pairs:
        return Pairs(np.arange(len(rows)), own[rows])

    _, found = top_k(Similarity(fused_terms(pool, queries, gallery, image_weight)), count, itself)
    lists = []
    for query, rows in zip(queries, found, strict=True):
        there = gallery[rows[rows >= 0]]
        one = np.array([query])
        image = (pool.image(there) @ pool.image(one)[0]).tolist()
        text = (pool.text(there) @ pool.text(one)[0]).tolist()
        lists.append(
            [
                {
                    "id": products.ids[position],
                    "score": image_weight * i + (1 - image_weight) * t,
                    "image_score": i,
                    "text_score": t,
                    "relevant": int(position) in relevant.get(int(query), set()),
                }
                for position, i, t in zip(there, image, text, strict=True)
            ]
        )
    return lists


def right_answers(task: ReadyTask, rows: Sequence[int]) -> dict[int, set[int]]:
    """Return, for some query rows of ``task``, position → positions of its right answers."""
    pairs, marks = task.relevance.marks(np.array(rows, np.int64))
    answers: dict[int, set[int]] = {int(task.queries[r]): set() for r in rows}
    for row, position in zip(pairs.row[marks & 1 == 1], pairs.position[marks & 1 == 1], strict=True):
        answers[int(task.queries[rows[row]])].update(task.members(int(position)).tolist())
    return answers
