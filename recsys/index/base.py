"""The values of the index: a collection's metadata, stored products, queries and their hits.

    D = dimensions of one modality; a stored vector has 2 * D: [image, text] / sqrt(2), unit norm

Products go by product id here; only :mod:`recsys.index.translate` knows point ids.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.index.filters import Filter

SCHEMA_VERSION = 1
"""Of the payload and of the metadata; it rises when either changes shape."""

BUILDING, READY, FAILED = "building", "ready", "failed"

Float32 = NDArray[np.float32]
Payload = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """A collection's metadata, stored with it; readers take the encoder's name from here and nowhere else."""

    encoder: str
    """Ref of the encoder that made every vector in the collection."""
    snapshot: str
    """Ref of the catalog snapshot the collection shows."""
    embedding_set: str
    """Ref of the vectors it was filled from."""
    dim: int
    """D: dimensions per modality; vectors have ``2 * dim``."""
    schema_version: int = SCHEMA_VERSION
    state: str = BUILDING
    """``building`` until the first commit, then ``ready``; ``failed`` if the audit refused it."""
    pending: str = ""
    """Ref of the embedding set that a change in progress moves to; empty otherwise."""
    created_at: str = ""
    """UTC, ISO 8601: when the build began."""
    updated_at: str = ""
    """UTC, ISO 8601: when it was last brought to ``snapshot``."""
    published_at: str = ""
    """UTC, ISO 8601: when it last became live; empty if it never was."""
    sequence: int = 0
    """Counts, over an alias's collections, how often one became live: the order in which they did."""
    indexed: tuple[str, ...] = ()
    """Payload fields that have an index."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "indexed": list(self.indexed)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Metadata":
        """Read :meth:`to_json`'s output; keys that a later version added are ignored."""
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        return cls(**known | {"indexed": tuple(known.get("indexed", ()))})


@dataclass(frozen=True, kw_only=True)
class CollectionInfo:
    """One collection of an index."""

    name: str
    metadata: Metadata
    num_points: int
    live: bool


class Point(NamedTuple):
    """A product to store."""

    id: str
    vector: Float32
    """``[2 * D]``, unit norm."""
    payload: Payload


class StoredPoint(NamedTuple):
    """A product read from a collection."""

    id: str
    payload: Payload
    """Empty if it was not requested."""
    vector: Float32 | None
    """``[2 * D]``; ``None`` if vectors were not requested."""


class Hit(NamedTuple):
    """One result of a query."""

    id: str
    score: float
    """Dot product of query and stored vector."""
    payload: Payload
    vector: Float32 | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """A nearest-neighbour query."""

    vector: Float32
    """``[2 * D]``, weighted: see :func:`recsys.workspace.embeddings.query_vector`."""
    limit: int = 10
    filter: Filter = ()
    payload: bool = True
    """All of the payload, or the product id only."""
    with_vectors: bool = False
