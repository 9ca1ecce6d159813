"""Our filters, queries and points as Qdrant's models, and its results as ours, for both engines.

qdrant-client and Qdrant Edge have the same models under nearly the same names. :class:`Translator` takes the
module with the models; what differs between the two is an argument each.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from recsys.index.base import Float32, Hit, Payload, Point, Query, StoredPoint
from recsys.index.filters import AnyOf, Filter, Ids, Not, Range
from recsys.index.points import point_id


@dataclass(frozen=True, kw_only=True)
class Translator:
    """Builds one engine's models."""

    models: Any
    """The module with ``Filter``, ``FieldCondition``, ``MatchAny``, ``SearchParams``, ``QueryRequest`` …"""
    point: Callable[..., Any]
    """Takes ``id``, ``vector`` and ``payload``."""
    range: Callable[..., Any]
    """Takes ``gte``, ``gt``, ``lte`` and ``lt``."""
    has_id: Callable[[list[str]], Any]
    """The condition that a point id is one of these."""
    nearest: Callable[[list[float]], Any]
    """The query for the points nearest to a vector."""
    directions: tuple[Any, Any]
    """Ascending and descending."""

    def points(self, points: Sequence[Point]) -> list[Any]:
        """Return points to upsert."""
        return [self.point(id=point_id(p.id), vector=p.vector.tolist(), payload=p.payload) for p in points]

    def filter(self, filter: Filter) -> Any:
        """Return a filter, ``None`` for an empty one."""
        if not filter:
            return None
        must = [self._condition(c) for c in filter if not isinstance(c, Not)]
        must_not = [self._condition(c.condition) for c in filter if isinstance(c, Not)]
        return self.models.Filter(must=must or None, must_not=must_not or None)

    def _condition(self, condition: AnyOf | Range | Ids) -> Any:
        if isinstance(condition, Ids):
            return self.has_id([point_id(i) for i in condition.ids])
        if isinstance(condition, Range):
            bounds = self.range(gte=condition.gte, gt=condition.gt, lte=condition.lte, lt=condition.lt)
            return self.models.FieldCondition(key=condition.column, range=bounds)
        match = self.models.MatchAny(any=list(condition.values))
        return self.models.FieldCondition(key=condition.column, match=match)

    def query(self, query: Query, *, ef: int, oversampling: float | None) -> Any:
        """Return a query request.

        ``ef`` is how many candidates the graph search keeps. ``oversampling`` is how many times the limit is
        scored again with the original vectors; ``None`` if the collection is not quantised.
        """
        models = self.models
        rescoring = models.QuantizationSearchParams(rescore=True, oversampling=oversampling)
        params = models.SearchParams(
            hnsw_ef=max(ef, query.limit), quantization=None if oversampling is None else rescoring
        )
        return models.QueryRequest(
            query=self.nearest(query.vector.tolist()),
            limit=query.limit,
            filter=self.filter(query.filter),
            params=params,
            with_payload=query.payload or ["id"],
            with_vector=query.with_vectors,
        )


def to_hit(point: Any) -> Hit:
    """Read an engine's scored point."""
    payload: Payload = point.payload
    return Hit(payload["id"], point.score, payload, _vector(point.vector))


def to_stored_point(record: Any, id: str | None = None) -> StoredPoint:
    """Read an engine's record; without ``id`` its payload names the product."""
    payload: Payload = record.payload or {}
    return StoredPoint(id or payload["id"], payload, _vector(record.vector))


def _vector(values: list[float] | None) -> Float32 | None:
    if values is None:
        return None
    return np.frombuffer(_packer(len(values)).pack(*values), np.float32)  # faster than np.asarray


@cache
def _packer(size: int) -> struct.Struct:
    return struct.Struct(f"{size}f")
