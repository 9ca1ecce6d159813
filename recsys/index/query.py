"""What is similar to this? By product id, or by vectors, with a weight between image and text.

    score = image_weight * image_score + (1 - image_weight) * text_score

where both parts are cosines. Each answer shows them, so that a person can see why.

Does not know: engines; how a query in words or pixels becomes a vector (the encoder named in the
collection's metadata does that).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsys.errors import InputError
from recsys.index.base import Float32, Hit, Payload, Query
from recsys.index.engine import Collection
from recsys.index.filters import Filter
from recsys.workspace.embeddings import halves, query_vector


class Neighbour(NamedTuple):
    """One similar product."""

    id: str
    score: float
    image_score: float
    """Cosine of the image vectors, in [-1, 1]; of the text vector where a product has no image."""
    text_score: float
    """Cosine of the text vectors, in [-1, 1]; of the image vector where a product has no text."""
    payload: Payload


def similar(
    collection: Collection,
    product_id: str,
    *,
    limit: int = 10,
    image_weight: float = 0.5,
    filter: Filter = (),
    exact: bool = False,
) -> list[Neighbour]:
    """Return the products most similar to one that is published, best first, itself left out.

    ``image_weight`` is w in [0, 1]. Raises :class:`InputError` where the product is not published.
    """
    found = collection.retrieve([product_id], payload=False, with_vectors=True)
    if not found or found[0].vector is None:
        raise InputError(
            f"There is no product {product_id!r} in {collection.name}.",
            fix="Check the id: a product comes, and goes, with the publication that follows the feed.",
        )
    image, text = halves(found[0].vector)
    neighbours = search(
        collection,
        image=image,
        text=text,
        limit=limit + 1,
        image_weight=image_weight,
        filter=filter,
        exact=exact,
    )
    return [n for n in neighbours if n.id != product_id][:limit]


def search(
    collection: Collection,
    *,
    image: Float32 | None = None,
    text: Float32 | None = None,
    limit: int = 10,
    image_weight: float = 0.5,
    filter: Filter = (),
    exact: bool = False,
) -> list[Neighbour]:
    """Return the products nearest to an image vector, a text vector or both, best first.

    ``image`` and ``text`` are unit vectors ``[D]`` from the encoder that ``collection.metadata`` names.
    One that is absent is replaced by the other, as in products that lack one: words then look for
    matching images as well. Raises :class:`InputError` for vectors of the wrong size or no vector.
    """
    query = _query_vectors(collection, image, text)
    if not 0 <= image_weight <= 1:
        raise InputError(f"The image weight is {image_weight}.", fix="Use a number from 0 to 1.")
    weighted = query_vector(query[0], query[1], image_weight)
    hits = collection.query(
        Query(vector=weighted, limit=limit, filter=filter, exact=exact, with_vectors=True)
    )
    return [
        Neighbour(h.id, h.score, *both, h.payload) for h, both in zip(hits, parts(hits, query), strict=True)
    ]


def parts(hits: Sequence[Hit], query: Float32) -> list[tuple[float, float]]:
    """Return the image and the text part of each hit's score; ``query`` is ``[2, D]``, rows of unit norm.

    The hits were asked for with vectors.
    """
    if not hits:
        return []
    stored = np.stack([h.vector for h in hits if h.vector is not None])  # [len(hits), 2 * D]
    found: list[tuple[float, float]] = np.einsum("nmd,md->nm", halves(stored), query).tolist()
    return found


def _query_vectors(collection: Collection, image: Float32 | None, text: Float32 | None) -> Float32:
    halves = [v for v in (image, text) if v is not None]
    if not halves:
        raise InputError("A search needs something to look for.", fix="Give words, an image or both.")
    query = np.stack([halves[0], halves[-1]]).astype(np.float32, copy=False)
    if query.shape[1] != collection.metadata.dim:
        raise InputError(
            f"The query has {query.shape[1]} dimensions, {collection.name} {collection.metadata.dim}.",
            fix=f"Encode it with {collection.metadata.encoder}.",
        )
    return query
