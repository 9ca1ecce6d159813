"""From a query to the vectors that are looked for.

    image half = unit(liked products' images + given images; the text where there are neither)
    text half  = unit(liked products' texts + given text; the images where there are neither)

Each kind of example counts once, however many there are of it. Then both halves move away from what is
disliked, as in Rocchio's relevance feedback (1971): ``unit(half - 0.5 * unit(mean of the disliked))``.

    D = dimensions of one half, N = examples
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.errors import InputError
from recsys.feedback.rules import Subject
from recsys.index.base import Float32, StoredPoint
from recsys.index.filters import AnyOf
from recsys.search.live_index import IndexView
from recsys.search.query import SearchQuery
from recsys.workspace.embeddings import halves

UNLIKE_WEIGHT = 0.5
ONE_SIDED = 0.2
"""Default weight of the half that a query gives nothing for."""
_TOO_SHORT = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class ResolvedQuery:
    """A query with its products read, its text and images encoded, its weight chosen."""

    vectors: Float32
    """``[2, D]``: image and text, unit norm."""
    image_weight: float
    liked: tuple[StoredPoint, ...]
    excluded: frozenset[str]
    """Ids of the examples, which the result leaves out."""
    subject: Subject


def resolve(
    query: SearchQuery, view: IndexView, examples: Sequence[StoredPoint], *, default_weight: float
) -> ResolvedQuery:
    """Resolve ``query`` against ``view``; ``examples`` are its products, liked ones first, with vectors.

    Raises :class:`InputError` for examples that cancel each other out or an image that cannot be used,
    :class:`~recsys.errors.TransientError` while the encoder is not loaded.
    """
    liked, unliked = examples[: len(query.like)], examples[len(query.like) :]
    images, texts = view.embed(query.text, query.images)
    dim = view.collection.metadata.dim
    weight = query.image_weight
    return ResolvedQuery(
        vectors=combine(_halves(liked, dim), _halves(unliked, dim), images, texts),
        image_weight=default_image_weight(query, default_weight) if weight is None else weight,
        liked=tuple(liked),
        excluded=frozenset(point.id for point in examples),
        subject=Subject.of(query.product_id, _categories(query, liked)),
    )


def combine(liked: Float32, unliked: Float32, images: Float32, texts: Float32) -> Float32:
    """Return the image and the text vector to look for, ``[2, D]``, rows of unit norm.

    ``liked`` and ``unliked`` are ``[N, 2, D]``, ``images`` and ``texts`` ``[N, D]``, N from 0, all of unit
    norm; one of ``liked``, ``images`` and ``texts`` has N > 0. Raises :class:`InputError` where the examples
    cancel each other out.
    """
    rows = []
    for half, given, other in ((0, images, texts), (1, texts, images)):
        kinds = [kind for kind in (given, liked[:, half]) if len(kind)] or [other]
        row = unit(np.sum([unit(kind.mean(axis=0)) for kind in kinds], axis=0))
        if len(unliked):
            row = unit(row - np.float32(UNLIKE_WEIGHT) * unit(unliked[:, half].mean(axis=0)))
        rows.append(row)
    found = np.stack(rows)
    if not found.any(axis=1).all():
        raise InputError(
            "What is liked and what is disliked cancel each other out.",
            fix="Take one of the products or images out.",
        )
    return found


def unit(vector: Float32) -> Float32:
    """Return ``vector`` at unit norm; zeros where it is too short to have a direction."""
    norm = float(np.linalg.norm(vector))
    return np.zeros_like(vector) if norm < _TOO_SHORT else (vector / norm).astype(np.float32)


def default_image_weight(query: SearchQuery, evaluated: float) -> float:
    """Return the image weight for a query that names none.

    With products, or with text and images: ``evaluated``, the weight that encoders are evaluated at. Text
    alone compares best with text, an image with images; the other half counts a little, since an encoder
    that has learnt to match the two gains from it, and one that has not loses next to nothing.
    """
    if query.like or (query.text and query.images):
        return evaluated
    return ONE_SIDED if query.text else 1 - ONE_SIDED


def _halves(points: Sequence[StoredPoint], dim: int) -> Float32:
    rows = [point.vector for point in points if point.vector is not None]
    return halves(np.stack(rows)) if rows else np.empty((0, 2, dim), np.float32)


def _categories(query: SearchQuery, liked: Sequence[StoredPoint]) -> set[str]:
    """Return the categories the query is about: those of every liked product, and the one it filters by."""
    paths = [set(point.payload.get("product_type", ())) for point in liked]
    common = set.intersection(*paths) if paths else set()
    for condition in query.filter:
        if isinstance(condition, AnyOf) and condition.column == "product_type" and len(condition.values) == 1:
            common |= set(condition.values)
    return common
