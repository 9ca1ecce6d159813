"""Answers a query: resolve it to vectors, collect candidates, rank them, explain the result.

    SearchQuery → query_vector.resolve → candidates.collect (→ rank.rank) → explain.compose → SearchResult

A query reads one :class:`~recsys.search.live_index.IndexView`, so no result mixes two encoders.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from recsys.config import Config
from recsys.errors import InputError, NotFoundError
from recsys.feedback.rules import Rule
from recsys.index.base import StoredPoint
from recsys.index.filters import Filter
from recsys.index.points import NUMBERS
from recsys.search.candidates import check_filter, collect
from recsys.search.explain import compose
from recsys.search.live_index import IndexView, LiveIndex
from recsys.search.query import SearchQuery, SearchResult
from recsys.search.query_vector import ResolvedQuery, resolve

_FACETS = ("product_type", "brand", "color", "availability", "gender", "material", "size")
_CACHED_FACETS = 64


class Facets(NamedTuple):
    """What products can be filtered by; columns in which no product has a value are left out."""

    counts: dict[str, list[tuple[str, int]]]
    """Values and exact counts per column, most frequent first."""
    ranges: dict[str, tuple[float, float]]
    """Least and greatest value per number column."""


class Finder:
    """Searches the live index. Safe to share between threads."""

    def __init__(self, config: Config, live: LiveIndex) -> None:
        self._config, self.live = config, live
        self._facets: dict[tuple[str, ...], Facets] = {}

    def search(self, query: SearchQuery, rules: Sequence[Rule] = ()) -> SearchResult:
        """Return the products that ``query`` asks for; ``rules`` are all active ones.

        Raises :class:`NotFoundError` for a product or collection that is not published,
        :class:`InputError` for a query that cannot be answered, :class:`~recsys.errors.TransientError`
        while the encoder that it needs is not loaded.
        """
        started = time.perf_counter()
        view = self.live.view(query.collection)
        check_filter(view.collection, query.filter)
        resolved = self._resolve(query, view, read_products(view, [*query.like, *query.unlike]))
        resolved_at = time.perf_counter()
        result = self._rank(query, view, resolved, rules)
        done = time.perf_counter()
        timings = {"prepare": (resolved_at - started) * 1e3, "find": (done - resolved_at) * 1e3}
        return replace(result, timings_ms=timings)

    def batch(
        self, queries: Sequence[SearchQuery], rules: Sequence[Rule] = ()
    ) -> tuple[IndexView, dict[str, SearchResult | None]]:
        """Answer many queries, each ``like`` one product and with the same filter, from one view.

        Returns the view and id → result in the order of ``queries``; ``None`` for an unpublished product.
        """
        view = self.live.view()
        for query in queries[:1]:
            check_filter(view.collection, query.filter)
        ids = list(dict.fromkeys(query.like[0] for query in queries))
        found = {point.id: point for point in view.collection.retrieve(ids, with_vectors=True)}
        results: dict[str, SearchResult | None] = dict.fromkeys(ids)
        for query in queries:
            point = found.get(query.like[0])
            if point is not None:
                resolved = self._resolve(query, view, [point])
                results[point.id] = self._rank(query, view, resolved, rules)
        return view, results

    def product(self, id: str, collection: str | None = None) -> tuple[StoredPoint, IndexView]:
        """Return a published product and the view it was read from; raises :class:`NotFoundError`."""
        view = self.live.view(collection)
        return read_products(view, [id])[0], view

    def facets(
        self, columns: Sequence[str] = (), *, limit: int = 20, filter: Filter = ()
    ) -> tuple[IndexView, Facets]:
        """Return what the products that pass ``filter`` can be filtered by, ``limit`` values a column.

        Without ``columns``: the usual ones, and the attributes that the configuration names.
        """
        view = self.live.view()
        check_filter(view.collection, filter)
        indexed = view.collection.metadata.indexed
        attributes = [c for c in indexed if c.startswith("attributes.")]
        chosen = tuple(columns) or (*_FACETS, *NUMBERS, *attributes)
        wrong = [c for c in chosen if c not in indexed]
        if wrong:
            raise InputError(
                f"Products cannot be filtered by {', '.join(wrong)}.",
                fix=f"Ask for some of {', '.join(indexed)}.",
            )
        key = (view.generation, str(limit), repr(tuple(filter)), *chosen)
        known = self._facets.get(key)
        if known is None:
            known = _count(view, chosen, limit, filter)
            if len(self._facets) >= _CACHED_FACETS:
                self._facets = {}
            self._facets[key] = known
        return view, known

    def _resolve(self, query: SearchQuery, view: IndexView, examples: Sequence[StoredPoint]) -> ResolvedQuery:
        return resolve(query, view, examples, default_weight=self._config.evaluation.image_weight)

    def _rank(
        self, query: SearchQuery, view: IndexView, resolved: ResolvedQuery, rules: Sequence[Rule]
    ) -> SearchResult:
        applying = [r for r in rules if r.applies(resolved.subject)] if query.apply_rules else []
        pool = self._config.search.candidates
        ranking = collect(view.collection, query, resolved, applying, diversity_pool=pool)
        without_rules = None
        if query.explain:
            without_rules = ranking
            if applying:
                without_rules = collect(view.collection, query, resolved, (), diversity_pool=pool)
        return compose(query, view, resolved, ranking, without_rules)


def read_products(view: IndexView, ids: Sequence[str]) -> list[StoredPoint]:
    """Return published products with vectors, in order; raises :class:`NotFoundError` for absent ones."""
    points = view.collection.retrieve(ids, with_vectors=True) if ids else []
    if len(points) < len(ids):
        found = {point.id for point in points}
        absent = ", ".join(repr(id) for id in ids if id not in found)
        raise NotFoundError(
            f"There is no product {absent} in what is published.",
            fix="Check the id: a product comes, and goes, with the publication that follows the feed.",
        )
    return points


def _count(view: IndexView, columns: Sequence[str], limit: int, filter: Filter) -> Facets:
    collection = view.collection
    counts = {c: collection.facet(c, limit=limit, filter=filter) for c in columns if c not in NUMBERS}
    ranges = {c: collection.bounds(c, filter) for c in columns if c in NUMBERS}
    return Facets(
        {c: values for c, values in counts.items() if values},
        {c: ends for c, ends in ranges.items() if ends},
    )
