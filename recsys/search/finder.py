"""Answers questions: what is looked for, candidates from the index, their order, the reasons.

A question asks one :class:`~recsys.search.live_index.IndexView` and nothing else, so that no answer mixes two
encoders.

Does not know: HTTP, the database.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsys.config import Config
from recsys.errors import InputError, NotFoundError
from recsys.feedback.rules import Rule, Subject
from recsys.index import Collection
from recsys.index.base import StoredPoint
from recsys.index.filters import AnyOf, Filter
from recsys.index.points import NUMBERS
from recsys.search.candidates import Aim, check_filter, collect
from recsys.search.explain import compose
from recsys.search.live_index import IndexView, LiveIndex
from recsys.search.query import SearchQuery, SearchResult
from recsys.search.query_vector import Float32, aim, usual_weight
from recsys.workspace.embeddings import halves

_FACETS = ("product_type", "brand", "color", "availability", "gender", "material", "size")
_CACHED_FACETS = 64


class Facets(NamedTuple):
    """What products can be narrowed by; columns of which none has a value are left out."""

    counts: dict[str, list[tuple[str, int]]]
    """Values and exact counts per column, most frequent first."""
    ranges: dict[str, tuple[float, float]]
    """Least and greatest value per number column."""


class Finder:
    """Answers questions over what is live. Safe to share between threads."""

    def __init__(self, config: Config, live: LiveIndex) -> None:
        self._config, self.live = config, live
        self._facets: dict[tuple[str, ...], Facets] = {}

    def search(self, query: SearchQuery, rules: Sequence[Rule] = ()) -> SearchResult:
        """Answer one question; ``rules`` are those in force, of which those that apply act.

        Raises :class:`NotFoundError` for a product that is not published, :class:`InputError` for what
        cannot be answered as asked, :class:`TransientError` while a needed encoder is not there.
        """
        started = time.perf_counter()
        view = self.live.view(query.collection)
        check_filter(view.collection, query.filter)
        examples = read_products(view, [*query.like, *query.unlike])
        aimed = self._aim(view, query, examples)
        encoded = time.perf_counter()
        applying = _applying(rules, query, aimed)
        among = self._config.search.candidates
        ranking = collect(view.collection, query, aimed, applying, among=among)
        unruled = None
        if query.explain:
            unruled = collect(view.collection, query, aimed, (), among=among) if applying else ranking
        answer = compose(view, query, aimed, ranking, unruled)
        done = time.perf_counter()
        timings = {"prepare": (encoded - started) * 1e3, "find": (done - encoded) * 1e3}
        return answer.timed(timings)

    def batch(
        self, queries: Sequence[SearchQuery], rules: Sequence[Rule] = ()
    ) -> tuple[IndexView, dict[str, SearchResult | None]]:
        """Answer many questions about one product each, all from one view; ``None``: not published.

        Every query's ``like`` is one id. Returns the view and id → answer, in the order asked.
        """
        view = self.live.view()
        for query in queries[:1]:
            check_filter(view.collection, query.filter)
        wanted = list(dict.fromkeys(q.like[0] for q in queries))
        found = {r.id: r for r in view.collection.retrieve(wanted, with_vectors=True)}
        answers: dict[str, SearchResult | None] = dict.fromkeys(wanted)
        for query in queries:
            record = found.get(query.like[0])
            if record is None:
                continue
            aimed = self._aim(view, query, [record])
            applying = _applying(rules, query, aimed)
            ranking = collect(view.collection, query, aimed, applying, among=self._config.search.candidates)
            answers[record.id] = compose(view, query, aimed, ranking, None)
        return view, answers

    def product(self, id: str, collection: str | None = None) -> tuple[StoredPoint, IndexView]:
        """Return a published product and the view it was read from; raises :class:`NotFoundError`."""
        view = self.live.view(collection)
        return read_products(view, [id])[0], view

    def facets(
        self, columns: Sequence[str] = (), *, limit: int = 20, filter: Filter = ()
    ) -> tuple[IndexView, Facets]:
        """Return what the products that pass ``filter`` can be narrowed by, ``limit`` values a column.

        Without ``columns``: the usual ones, and the attributes that the configuration names.
        """
        view = self.live.view()
        check_filter(view.collection, filter)
        usual = (
            *_FACETS,
            *NUMBERS,
            *(c for c in view.collection.metadata.indexed if c.startswith("attributes.")),
        )
        chosen = tuple(columns) or usual
        wrong = [c for c in chosen if c not in view.collection.metadata.indexed]
        if wrong:
            raise InputError(
                f"Products cannot be narrowed by {', '.join(wrong)}.",
                fix=f"Ask for some of {', '.join(view.collection.metadata.indexed)}.",
            )
        key = (view.generation, str(limit), repr(tuple(filter)), *chosen)
        known = self._facets.get(key)
        if known is None:
            known = _count(view.collection, chosen, limit, filter)
            if len(self._facets) >= _CACHED_FACETS:
                self._facets = {}
            self._facets[key] = known
        return view, known

    def _aim(self, view: IndexView, query: SearchQuery, examples: Sequence[StoredPoint]) -> Aim:
        liked, unliked = examples[: len(query.like)], examples[len(query.like) :]
        seen, words = view.embed(query.text, query.images)
        aimed = aim(_halves(liked, view), _halves(unliked, view), seen=seen, words=words)
        if aimed is None:
            raise InputError(
                "What is liked and what is disliked cancel each other out.",
                fix="Take one of the disliked products out.",
            )
        weight = query.image_weight
        if weight is None:
            weight = usual_weight(
                query.text, query.images, products=query.like, judged=self._config.evaluation.image_weight
            )
        paths = [set(r.payload.get("product_type", ())) for r in liked]
        within = set.intersection(*paths) if paths else set()
        for condition in query.filter:
            if isinstance(condition, AnyOf) and condition.column == "product_type":
                within |= set(condition.values) if len(condition.values) == 1 else set()
        return Aim(
            halves=aimed,
            image_weight=weight,
            liked=tuple(liked),
            without=frozenset(r.id for r in examples),
            subject=Subject.of(query.product_id, within),
        )


def read_products(view: IndexView, ids: Sequence[str]) -> list[StoredPoint]:
    """Return published products with vectors, in order; raises :class:`NotFoundError` for absent ones."""
    records = view.collection.retrieve(ids, with_vectors=True) if ids else []
    if len(records) < len(ids):
        found = {r.id for r in records}
        absent = ", ".join(repr(i) for i in ids if i not in found)
        raise NotFoundError(
            f"There is no product {absent} in what is published.",
            fix="Check the id: a product comes, and goes, with the publication that follows the feed.",
        )
    return records


def _applying(rules: Sequence[Rule], query: SearchQuery, aim: Aim) -> list[Rule]:
    return [r for r in rules if r.applies(aim.subject)] if query.apply_rules else []


def _count(collection: Collection, columns: Sequence[str], limit: int, filter: Filter) -> Facets:
    counts = {c: collection.facet(c, limit=limit, filter=filter) for c in columns if c not in NUMBERS}
    ranges = {c: collection.bounds(c, filter) for c in columns if c in NUMBERS}
    return Facets(
        {c: values for c, values in counts.items() if values},
        {c: ends for c, ends in ranges.items() if ends},
    )


def _halves(records: Sequence[StoredPoint], view: IndexView) -> Float32:
    rows = [r.vector for r in records if r.vector is not None]
    if not rows:
        return np.empty((0, 2, view.collection.metadata.dim), np.float32)
    return halves(np.stack(rows))
