"""The seam: what a vector index can do, whichever engine does it.

An index holds *collections*; one of them is *live*: the one the alias names. A reader opens a
:class:`Collection` and keeps seeing that one, complete, whatever is published meanwhile. A
:class:`Writer` builds a new collection or changes an existing one.

    D = dimensions of one modality; a stored vector has 2 * D: [image, text] / sqrt(2), unit norm

Everything here speaks of product ids; engines translate them by :func:`recsys.index.points.point_id`.

Does not know: any engine, or what an encoder is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

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
    """What a collection says of itself; readers take the encoder's name from here and nowhere else."""

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
    """``building`` until the first commit, then ``ready``; ``failed`` where the audit refused it."""
    pending: str = ""
    """Ref of the embedding set a change is moving to; empty when none is under way."""
    created_at: str = ""
    """UTC, ISO 8601: when the build began."""
    updated_at: str = ""
    """UTC, ISO 8601: when it was last brought to ``snapshot``."""
    published_at: str = ""
    """UTC, ISO 8601: when it last became live; empty if it never was."""
    indexed: tuple[str, ...] = ()
    """Payload fields that have an index."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "indexed": list(self.indexed)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Metadata":
        """Read :meth:`to_json`'s output; keys that a later version added are ignored."""
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        return cls(**{**known, "indexed": tuple(known.get("indexed", ()))})

    def resumes(self, other: "Metadata") -> bool:
        """Tell whether an unfinished build of this description can be continued as ``other``."""
        same = (self.embedding_set, self.dim, self.schema_version)
        return self.state == BUILDING and same == (other.embedding_set, other.dim, other.schema_version)

    def but(self, **changes: Any) -> "Metadata":
        """Return a copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class CollectionInfo:
    """One collection of an index."""

    name: str
    metadata: Metadata
    num_points: int
    live: bool


class Point(NamedTuple):
    """A product as it is stored."""

    id: str
    """Product id."""
    vector: Float32
    """``[2 * D]``, unit norm."""
    payload: Payload


class StoredPoint(NamedTuple):
    """A stored product as it was read."""

    id: str
    payload: Payload
    """Empty where it was not asked for."""
    vector: Float32 | None
    """``[2 * D]``, where vectors were asked for."""


class Hit(NamedTuple):
    """One answer of a query."""

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
    offset: int = 0
    filter: Filter = ()
    exact: bool = False
    """Compare with every vector instead of searching the graph."""
    payload: bool | Sequence[str] = True
    """All of the payload, some columns of it, or (``False``) the id only."""
    with_vectors: bool = False


class Collection(Protocol):
    """A collection opened for reading. Safe to share between threads."""

    @property
    def name(self) -> str:
        """The collection's own name, never the alias."""

    @property
    def metadata(self) -> Metadata:
        """What it says of itself."""

    def count(self, filter: Filter = ()) -> int:
        """Return the exact number of products that pass ``filter``."""

    def records(self, columns: Sequence[str] = (), *, with_vectors: bool = False) -> Iterator[StoredPoint]:
        """Stream every product in the engine's order, with some payload columns; memory is one page."""

    def retrieve(
        self, ids: Sequence[str], *, payload: bool = True, with_vectors: bool = False
    ) -> list[StoredPoint]:
        """Return the products with these ids, in that order; absent ones are left out.

        Without ``payload``, which is empty then, no payload is read: that is most of the time it takes.
        """

    def query(self, query: Query) -> list[Hit]:
        """Return the nearest products, best first."""

    def query_batch(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """Answer several queries in one call."""

    def facet(self, column: str, *, limit: int = 20, filter: Filter = ()) -> list[tuple[str, int]]:
        """Return a column's values and their exact counts, most frequent first. It must be indexed."""

    def bounds(self, column: str, filter: Filter = ()) -> tuple[float, float] | None:
        """Return a number column's least and greatest value, ``None`` without any. It must be indexed."""


class Writer(Collection, Protocol):
    """A collection opened for writing; it reads its own writes.

    Used as a context manager. Leaving the block without :meth:`commit` leaves readers where they were:
    an unfinished build can be resumed, an unfinished change is repeated.
    """

    def __enter__(self) -> Self:
        """Return the writer."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the collection."""

    def upsert(self, points: Iterable[Point]) -> int:
        """Insert or replace products, in batches bounded by count and bytes; return how many."""

    def set_payloads(self, payloads: Iterable[tuple[str, Payload]]) -> int:
        """Replace the payload of products, leaving vectors alone; return how many."""

    def delete(self, ids: Iterable[str]) -> int:
        """Delete products; absent ones are no error. Return how many ids were given."""

    def index(self) -> None:
        """Wait until everything is indexed as far as its size calls for."""

    def commit(self, metadata: Metadata) -> None:
        """Make the collection, as it is now, durable and what readers see under its name."""


class VectorIndex(Protocol):
    """An engine with its collections and its one alias. Safe to share between threads."""

    @property
    def alias(self) -> str:
        """The name that readers use."""

    def collections(self) -> list[CollectionInfo]:
        """Return this alias's collections, the live one first, then the last published first."""

    def live(self) -> CollectionInfo | None:
        """Return the collection the alias names, or ``None`` before the first publication."""

    def open(self, name: str | None = None) -> Collection:
        """Open a collection for reading; without a name, the live one.

        Cheap enough to call for every request: what is open stays open until something newer is
        published. Raises :class:`~recsys.errors.ArtifactError` where there is none.
        """

    def build(self, name: str, metadata: Metadata) -> Writer:
        """Begin a new collection, or resume its unfinished build when ``metadata`` is of the same set."""

    def change(self, name: str, *, pending: str) -> Writer:
        """Open an existing collection for changes; ``pending`` is recorded until they are committed."""

    def describe(self, name: str, metadata: Metadata) -> None:
        """Replace what a collection says of itself, in one step."""

    def switch(self, name: str) -> None:
        """Point the alias at ``name``, in one step."""

    def drop(self, name: str) -> None:
        """Delete a collection that is not live; an absent one is no error."""

    def close(self) -> None:
        """Release every resource."""
