"""Drift: how many new products are unlike all that was trained on, by vectors that are there already.

Products held out at the last training came from the catalog that was trained on and were not learnt from:
how far they lie from the nearest training product is how far a product lies when nothing has changed.
Training products themselves would be the wrong measure, because training draws them together. Those of the
final test would be right, but only records read them.

    N = new products, T = training products, H = validation and holdout products,
    D = dimensions of the product vector
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.workspace.embeddings import EmbeddingSet, product_vectors
from recsys.workspace.splits import HOLDOUT, TRAIN, VALIDATION

Float32 = NDArray[np.float32]

EXPECTED = 0.05
"""Share of products that count as unlike when nothing has changed."""
MIN_PRODUCTS = 30
"""Nothing is concluded from fewer new, training or held-out products."""
_MAX_TRAINED, _MAX_COMPARED = 20_000, 2_000
_CHUNK = 512


def count_unlike(vectors: EmbeddingSet, roles: Mapping[str, str]) -> tuple[int, int] | None:
    """Return how many new products are unlike all that was trained on, and of how many.

    ``roles`` maps the products of the last training to their roles; what it does not name is new. ``None``
    where there are too few of any kind. Of many products a sample is compared.
    """
    role = np.array([roles.get(id, "new") for id in vectors.ids()])
    new, trained, held_out = role == "new", role == TRAIN, np.isin(role, (VALIDATION, HOLDOUT))
    if min(new.sum(), trained.sum(), held_out.sum()) < MIN_PRODUCTS:
        return None
    sizes = ((new, _MAX_COMPARED), (trained, _MAX_TRAINED), (held_out, _MAX_COMPARED))
    sampled = [_sample(vectors, chosen, most) for chosen, most in sizes]
    return int(is_unlike(*sampled).sum()), len(sampled[0])


def is_unlike(new: Float32, trained: Float32, held_out: Float32) -> NDArray[np.bool_]:
    """Return which of ``new`` ``[N, D]`` lie unusually far from the nearest of ``trained`` ``[T, D]``.

    Unusual is what :data:`EXPECTED` of ``held_out`` ``[H, D]`` exceed. Rows have unit norm; N, T and H are at
    least 1.
    """
    limit = np.quantile(_nearest(held_out, trained), EXPECTED)
    return np.asarray(_nearest(new, trained) < limit, np.bool_)


def _nearest(queries: Float32, gallery: Float32) -> Float32:
    """Return the cosine of each query with the nearest row of the gallery."""
    parts = [queries[i : i + _CHUNK] @ gallery.T for i in range(0, len(queries), _CHUNK)]
    return np.concatenate([part.max(axis=1) for part in parts])


def _sample(vectors: EmbeddingSet, chosen: NDArray[np.bool_], most: int) -> Float32:
    """Return the product vectors of at most ``most`` of the chosen products."""
    positions = np.random.default_rng(0).permutation(np.flatnonzero(chosen))[:most]
    found = vectors.select(np.sort(positions)).vectors
    return product_vectors(found.image, found.text)
