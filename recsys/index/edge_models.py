"""Translates our values into Qdrant Edge's: shard configuration, filters, points, requests.

Does not know: files, generations, aliases.
"""

import struct
from functools import cache
from typing import Any

import numpy as np
import qdrant_edge as edge

from recsys.config.index import IndexConfig
from recsys.index.base import Float32, Hit, Payload, Point, Query, Record
from recsys.index.filters import AnyOf, Filter, Ids, Not, Range
from recsys.index.points import point_id

INDEX_KINDS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "float": edge.PayloadSchemaType.Float,
}


def shard_config(config: IndexConfig, dim: int) -> Any:
    """Return the configuration of a shard for vectors of ``2 * dim``.

    No write-ahead log: it locks the folder to one process, and a writer works on files that nobody
    reads, so what a kill loses is written again.
    """
    memory = edge.Memory.Cold if config.vectors_on_disk else edge.Memory.Cached
    quantization = edge.ScalarQuantizationConfig(
        edge.ScalarType.Int8, quantile=0.99, memory=edge.Memory.Pinned
    )
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(2 * dim, edge.Distance.Dot, memory=memory),
        hnsw_config=edge.HnswIndexConfig(
            config.hnsw_m,
            config.ef_construct,
            config.indexing_threshold_kb,
            max_indexing_threads=config.max_indexing_threads,
        ),
        quantization_config=quantization if config.quantize else None,
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=config.indexing_threshold_kb),
        wal_enabled=False,
    )


def to_filter(filter: Filter) -> Any:
    """Return Edge's filter, ``None`` for an empty one."""
    if not filter:
        return None
    must = [_condition(c) for c in filter if not isinstance(c, Not)]
    must_not = [_condition(c.condition) for c in filter if isinstance(c, Not)]
    return edge.Filter(must=must or None, must_not=must_not or None)


def _condition(condition: AnyOf | Range | Ids) -> Any:
    if isinstance(condition, Ids):
        return edge.HasIdCondition({point_id(i) for i in condition.ids})
    if isinstance(condition, Range):
        bounds = edge.RangeFloat(
            gte=condition.gte, gt=condition.gt, lte=condition.lte, lt=condition.lt
        )  # fmt: skip
        return edge.FieldCondition(condition.column, range=bounds)
    return edge.FieldCondition(condition.column, match=edge.MatchAny(list(condition.values)))


def to_point(point: Point) -> Any:
    """Return Edge's point."""
    return edge.Point(point_id(point.id), point.vector.tolist(), point.payload)


def to_request(query: Query, config: IndexConfig) -> Any:
    """Return Edge's request of a query."""
    if query.exact:
        params = edge.SearchParams(exact=True, quantization=edge.QuantizationSearchParams(ignore=True))
    else:
        rescoring = edge.QuantizationSearchParams(rescore=True, oversampling=config.oversampling)
        params = edge.SearchParams(
            hnsw_ef=max(config.ef, query.limit + query.offset),
            quantization=rescoring if config.quantize else None,
        )
    return edge.QueryRequest(
        query.limit,
        offset=query.offset,
        query=edge.Query.Nearest(query.vector.tolist()),
        filter=to_filter(query.filter),
        params=params,
        with_payload=selection(query.payload),
        with_vector=query.with_vectors,
    )


def selection(payload: bool | object) -> Any:
    """Return which payload columns to fetch; the product id always comes along."""
    if payload is True:
        return True
    columns = list(payload) if isinstance(payload, list | tuple) else []
    return ["id", *columns]


def to_hit(point: Any) -> Hit:
    """Read Edge's scored point."""
    payload: Payload = point.payload
    return Hit(payload["id"], point.score, payload, _vector(point.vector))


def to_record(record: Any, id: str | None = None) -> Record:
    """Read Edge's record; without ``id`` its payload names the product."""
    payload: Payload = record.payload or {}
    return Record(id or payload["id"], payload, _vector(record.vector))


def _vector(values: list[float] | None) -> Float32 | None:
    if values is None:
        return None
    return np.frombuffer(_packer(len(values)).pack(*values), np.float32)  # three times as fast as asarray


@cache
def _packer(size: int) -> struct.Struct:
    return struct.Struct(f"{size}f")
