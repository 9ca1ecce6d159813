"""Translates our values into those of qdrant-client: collection settings, filters, points, queries.

Does not know: connections, retries, aliases.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from recsys.config.index import IndexConfig
from recsys.index.base import Float32, Hit, Payload, Point, Query, Record
from recsys.index.filters import AnyOf, Filter, Ids, Not, Range
from recsys.index.points import point_id

INDEX_KINDS = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "float": models.PayloadSchemaType.FLOAT,
}

_BYTES_PER_DIMENSION = {True: 4, False: 12}
"""By gRPC or not: JSON writes a float in about 12 characters."""


def collection_settings(config: IndexConfig, dim: int) -> dict[str, Any]:
    """Return the settings of a new collection; it is not indexed before :func:`indexing` says so."""
    int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    return {
        "vectors_config": models.VectorParams(
            size=2 * dim, distance=models.Distance.DOT, on_disk=config.vectors_on_disk
        ),
        "hnsw_config": models.HnswConfigDiff(
            m=config.hnsw_m,
            ef_construct=config.ef_construct,
            full_scan_threshold=config.indexing_threshold_kb,
            max_indexing_threads=config.max_indexing_threads,
        ),
        "quantization_config": models.ScalarQuantization(scalar=int8) if config.quantize else None,
        "optimizers_config": models.OptimizersConfigDiff(indexing_threshold=0),
        "shard_number": config.shard_number,
        "replication_factor": config.replication_factor,
    }


def indexing(config: IndexConfig) -> models.OptimizersConfigDiff:
    """Return the setting that turns indexing on."""
    return models.OptimizersConfigDiff(indexing_threshold=config.indexing_threshold_kb)


def to_filter(filter: Filter) -> models.Filter | None:
    """Return Qdrant's filter, ``None`` for an empty one."""
    if not filter:
        return None
    must = [_condition(c) for c in filter if not isinstance(c, Not)]
    must_not = [_condition(c.condition) for c in filter if isinstance(c, Not)]
    return models.Filter(must=must or None, must_not=must_not or None)


def _condition(condition: AnyOf | Range | Ids) -> Any:
    if isinstance(condition, Ids):
        return models.HasIdCondition(has_id=[point_id(i) for i in condition.ids])
    if isinstance(condition, Range):
        bounds = models.Range(gte=condition.gte, gt=condition.gt, lte=condition.lte, lt=condition.lt)
        return models.FieldCondition(key=condition.column, range=bounds)
    return models.FieldCondition(key=condition.column, match=models.MatchAny(any=list(condition.values)))


def to_point(point: Point) -> models.PointStruct:
    """Return Qdrant's point; built without validation, which costs more than sending it."""
    return models.PointStruct.model_construct(
        id=point_id(point.id), vector=point.vector.tolist(), payload=point.payload
    )


def to_request(query: Query, config: IndexConfig) -> models.QueryRequest:
    """Return Qdrant's request of a query."""
    if query.exact:
        params = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))
    else:
        rescoring = models.QuantizationSearchParams(rescore=True, oversampling=config.oversampling)
        params = models.SearchParams(
            hnsw_ef=max(config.ef, query.limit + query.offset),
            quantization=rescoring if config.quantize else None,
        )
    return models.QueryRequest(
        query=query.vector.tolist(),
        limit=query.limit,
        offset=query.offset,
        filter=to_filter(query.filter),
        params=params,
        with_payload=selection(query.payload),
        with_vector=query.with_vectors,
    )


def selection(payload: bool | Sequence[str]) -> bool | list[str]:
    """Return which payload columns to fetch; the product id always comes along."""
    if payload is True:
        return True
    return ["id", *(payload or ())]


def to_hit(point: models.ScoredPoint) -> Hit:
    """Read a scored point."""
    payload: Payload = point.payload or {}
    return Hit(payload["id"], point.score, payload, _vector(point.vector))


def to_record(record: models.Record, id: str | None = None) -> Record:
    """Read a record; without ``id`` its payload names the product."""
    payload: Payload = record.payload or {}
    return Record(id or payload["id"], payload, _vector(record.vector))


def _vector(values: Any) -> Float32 | None:
    return None if values is None else np.asarray(values, dtype=np.float32)


def upserts(points: Iterable[Point], config: IndexConfig) -> Iterator[list[models.PointStruct]]:
    """Group points into requests that stay within ``batch_size`` and ``batch_bytes``."""
    batch: list[models.PointStruct] = []
    size = 0
    per_dimension = _BYTES_PER_DIMENSION[config.prefer_grpc]
    for point in points:
        cost = per_dimension * len(point.vector) + len(json.dumps(point.payload)) + 64
        if batch and (len(batch) >= config.batch_size or size + cost > config.batch_bytes):
            yield batch
            batch, size = [], 0
        batch.append(to_point(point))
        size += cost
    if batch:
        yield batch
