"""Candidates of a query: enough of them that what is shown is ranked as if everything had been fetched.

The engine finds products by similarity alone. Rules move products and variants collapse, so more is fetched
than shown, and more again until no product that was not fetched could stand among those shown: every one of
them has a shifted score above what any product beyond the pool could have. What boosts and pins name is
fetched by queries of its own, however far away it is.
"""

from collections.abc import Sequence

import numpy as np

from recsys.errors import InputError
from recsys.feedback.rules import Rule
from recsys.index import Collection
from recsys.index.base import Float32, Hit, Query
from recsys.index.filters import Filter, Ids, Not
from recsys.search.query import SearchQuery
from recsys.search.query_vector import ResolvedQuery
from recsys.search.rank import Ranking, ScoredProduct, rank
from recsys.workspace.embeddings import halves, query_vector

MAX_POOL = 5000
"""Most candidates that are fetched; beyond that, the result is the best of those."""
_SLACK = 4
"""Candidates beyond those needed: of equal scores at the edge the engine returns any."""


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


def collect(
    collection: Collection,
    query: SearchQuery,
    resolved: ResolvedQuery,
    rules: Sequence[Rule],
    *,
    diversity_pool: int,
) -> Ranking:
    """Return the ranking of the candidates; its first ``offset + limit + 1`` products are final.

    ``rules`` are those that apply to the query; ``diversity_pool`` is how many products diversity chooses
    from.
    """
    end = query.offset + query.limit + 1
    num_final = max(end, diversity_pool) if query.diversity > 0 else end
    vector = query_vector(resolved.vectors[0], resolved.vectors[1], resolved.image_weight)
    blocks = [] if query.explain else [Not(r.condition) for r in rules if r.action == "block"]
    boosted = [r.condition for r in rules if r.action == "boost"]
    largest_boost = sum(r.shift for r in rules if r.action == "boost")  # of a product not fetched, at most
    pinned = tuple(dict.fromkeys(r.target_value for r in rules if r.action == "pin"))
    pool = num_final + len(resolved.excluded) + (num_final if query.collapse_variants else _SLACK)
    while True:
        requests = [_request(vector, pool, [*query.filter, *blocks])]
        requests += [_request(vector, pool, [*query.filter, condition]) for condition in boosted]
        if pinned:
            requests.append(_request(vector, len(pinned), [*query.filter, Ids(pinned)]))
        responses = collection.query_batch(requests) if len(requests) > 1 else [collection.query(requests[0])]
        hits = {hit.id: hit for hits in responses for hit in hits if hit.id not in resolved.excluded}
        ranking = rank(
            scored_products(list(hits.values()), resolved.vectors),
            rules,
            collapse_variants=query.collapse_variants,
            diversity=query.diversity,
            diversity_pool=diversity_pool,
            count=end,
            image_weight=resolved.image_weight,
        )
        boosts = [0.0] + [largest_boost] * len(boosted)
        beyond = [r[-1].score + b for r, b in zip(responses, boosts, strict=False) if len(r) == pool]
        if not beyond or pool >= MAX_POOL or _num_above(ranking, max(beyond)) >= num_final:
            return ranking
        pool = min(MAX_POOL, 2 * pool)


def scored_products(hits: Sequence[Hit], vectors: Float32) -> list[ScoredProduct]:
    """Return hits with both parts of their score; ``vectors`` ``[2, D]`` is what was looked for.

    The hits were fetched with vectors.
    """
    stored = [hit.vector for hit in hits if hit.vector is not None]
    if not stored:
        return []
    parts = np.einsum("nmd,md->nm", halves(np.stack(stored)), vectors).tolist()
    return [
        ScoredProduct(hit.id, hit.score, image_score, text_score, vector, hit.payload)
        for hit, vector, (image_score, text_score) in zip(hits, stored, parts, strict=True)
    ]


def _request(vector: Float32, limit: int, filter: Filter) -> Query:
    return Query(vector=vector, limit=limit, filter=filter, with_vectors=True)


def _num_above(ranking: Ranking, score: float) -> int:
    """Count the products, pins aside, whose shifted score is above ``score``."""
    return sum(r.pin is None and r.shifted_score > score for r in ranking.order)
