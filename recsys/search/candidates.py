"""Candidates of one question: enough of them that the order shown is the order of everything.

The engine answers by similarity alone. Rules move products and variants fold, so more is fetched than shown,
and more again until nothing that was not fetched could stand among what is shown:

    every product shown has a shifted score of at least the last score fetched

Boosted and pinned products are fetched by themselves besides, however far away they are.

Does not know: vectors of examples; what is shown of a product.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.errors import InputError
from recsys.index.base import Collection, Hit, Query, Record
from recsys.index.filters import Condition, Filter, Ids, Not
from recsys.search.aim import Float32
from recsys.search.query import SearchQuery
from recsys.search.rank import Candidate, Ranking, rank
from recsys.search.rules import Rule, Subject
from recsys.workspace.embeddings import query_vector

MAX_POOL = 5000
"""Candidates looked at, at most: beyond that, an answer shows the best of those."""
_SQRT2 = np.float32(np.sqrt(2))


@dataclass(frozen=True, kw_only=True, eq=False)
class Aim:
    """What a question comes down to."""

    halves: Float32
    """``[2, D]``: image and text, unit vectors."""
    image_weight: float
    liked: tuple[Record, ...]
    without: frozenset[str]
    """Ids that are not answered: the examples."""
    subject: Subject


def collect(
    collection: Collection, query: SearchQuery, aim: Aim, rules: Sequence[Rule], *, among: int
) -> Ranking:
    """Return the order of what was looked at; its first ``offset + limit + 1`` products are final.

    ``rules`` are those that apply; ``among`` is how many diversity chooses from.
    """
    need = query.offset + query.limit + 1
    if query.diversity > 0:
        need = max(need, among)
    vector = query_vector(aim.halves[0], aim.halves[1], aim.image_weight)
    blocks = [] if query.explain else [Not(r.condition) for r in rules if r.action == "block"]
    extra = [_ask(vector, size, [*query.filter, condition]) for condition, size in _besides(rules, need)]
    pool = need + len(aim.without) + (need // 2 + 4 if query.fold else 0)
    while True:
        asked = [_ask(vector, pool, [*query.filter, *blocks]), *extra]
        answers = collection.query_batch(asked) if extra else [collection.query(asked[0])]
        main = answers[0]
        hits = {h.id: h for answer in answers for h in answer if h.id not in aim.without}
        ranking = rank(
            candidates_of(list(hits.values()), aim),
            rules,
            fold=query.fold,
            diversity=query.diversity,
            among=among,
            image_weight=aim.image_weight,
        )
        exhausted = len(main) < pool or pool >= MAX_POOL
        if exhausted or _num_certain(ranking, main[-1].score) >= need:
            return ranking
        pool = min(MAX_POOL, 2 * pool)


def candidates_of(hits: Sequence[Hit], aim: Aim) -> list[Candidate]:
    """Return hits with both parts of their score."""
    if not hits:
        return []
    stored = np.stack([h.vector for h in hits if h.vector is not None])  # [len(hits), 2 * D]
    halves = stored.reshape(len(hits), 2, -1) * _SQRT2
    parts = np.einsum("nmd,md->nm", halves, aim.halves).tolist()
    return [
        Candidate(id=h.id, score=h.score, image_score=i, text_score=t, vector=stored[n], payload=h.payload)
        for n, (h, (i, t)) in enumerate(zip(hits, parts, strict=True))
    ]


def check_filter(collection: Collection, filter: Filter) -> None:
    """Raise :class:`InputError` where a filter names a column without an index."""
    indexed = collection.metadata.indexed
    for condition in filter:
        inner = condition.condition if isinstance(condition, Not) else condition
        if not isinstance(inner, Ids) and inner.column not in indexed:
            raise InputError(
                f"Products cannot be filtered by {inner.column!r}.",
                fix=f"Use some of {', '.join(indexed)}; attributes are listed in index.attributes.",
            )


def _besides(rules: Sequence[Rule], need: int) -> Iterable[tuple[Condition, int]]:
    pinned = tuple(dict.fromkeys(r.target_value for r in rules if r.action == "pin"))
    if pinned:
        yield Ids(pinned), len(pinned)
    for rule in rules:
        if rule.action == "boost":
            yield rule.condition, need


def _ask(vector: Float32, limit: int, filter: Filter) -> Query:
    return Query(vector=vector, limit=limit, filter=filter, with_vectors=True)


def _num_certain(ranking: Ranking, cutoff: float) -> int:
    """Count the products that nothing beyond the pool could precede."""
    return sum(r.pin is not None or r.adjusted >= cutoff for r in ranking.order)
