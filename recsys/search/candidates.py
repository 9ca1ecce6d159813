"""Candidates of one question: enough of them that the order shown is the order of everything.

The engine answers by similarity alone. Rules move products and variants collapse, so more is fetched than
shown, and more again until nothing that was not fetched could stand among what is shown:

    every product shown has a shifted score above what any product not fetched could have

Boosted and pinned products are fetched by themselves besides, however far away they are.

Does not know: vectors of examples; what is shown of a product.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recsys.errors import InputError
from recsys.feedback.rules import Rule, Subject
from recsys.index import Collection
from recsys.index.base import Hit, Query, StoredPoint
from recsys.index.filters import Filter, Ids, Not
from recsys.index.query import parts
from recsys.search.query import SearchQuery
from recsys.search.query_vector import Float32
from recsys.search.rank import Ranking, ScoredProduct, rank
from recsys.workspace.embeddings import query_vector

MAX_POOL = 5000
"""Candidates looked at, at most: beyond that, an answer shows the best of those."""
_SLACK = 4
"""Candidates beyond those needed: of equal scores at the edge the engine gives any."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Aim:
    """What a question comes down to."""

    halves: Float32
    """``[2, D]``: image and text, unit vectors."""
    image_weight: float
    liked: tuple[StoredPoint, ...]
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
    besides = [r.condition for r in rules if r.action == "boost"]
    lift = sum(r.shift for r in rules if r.action == "boost")  # of an unseen product, at most
    pinned = tuple(dict.fromkeys(r.target_value for r in rules if r.action == "pin"))
    pool = need + len(aim.without) + (need if query.collapse_variants else _SLACK)
    while True:
        asked = [_ask(vector, pool, [*query.filter, *blocks])]
        asked += [_ask(vector, pool, [*query.filter, condition]) for condition in besides]
        pins = [_ask(vector, len(pinned), [*query.filter, Ids(pinned)])] if pinned else []
        answers = collection.query_batch([*asked, *pins]) if besides or pins else [collection.query(asked[0])]
        hits = {h.id: h for answer in answers for h in answer if h.id not in aim.without}
        ranking = rank(
            candidates_of(list(hits.values()), aim),
            rules,
            collapse_variants=query.collapse_variants,
            diversity=query.diversity,
            among=among,
            count=query.offset + query.limit + 1,
            image_weight=aim.image_weight,
        )
        lifts = [0.0] + [lift] * len(besides)
        unseen = [a[-1].score + up for a, up in zip(answers, lifts, strict=False) if len(a) == pool]
        if not unseen or pool >= MAX_POOL or _num_certain(ranking, max(unseen)) >= need:
            return ranking
        pool = min(MAX_POOL, 2 * pool)


def candidates_of(hits: Sequence[Hit], aim: Aim) -> list[ScoredProduct]:
    """Return hits, which have vectors, with both parts of their score."""
    return [
        ScoredProduct(h.id, h.score, *both, h.vector, h.payload)
        for h, both in zip(hits, parts(hits, aim.halves), strict=True)
        if h.vector is not None
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


def _ask(vector: Float32, limit: int, filter: Filter) -> Query:
    return Query(vector=vector, limit=limit, filter=filter, with_vectors=True)


def _num_certain(ranking: Ranking, cutoff: float) -> int:
    """Count the products, pins aside, that nothing beyond the pool could precede."""
    return sum(r.pin is None and r.adjusted > cutoff for r in ranking.order)
