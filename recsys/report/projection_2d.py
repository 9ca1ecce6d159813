"""The catalog in two dimensions: a sample of the products, PCA and then t-SNE (van der Maaten, 2008).

N = products sampled, D = dimensions of one modality
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from recsys.workspace.embeddings import EmbeddingSet, product_vectors

Array = NDArray[np.float32]
MAX_PRODUCTS = 1500
_PCA_DIM = 40
_FEWEST = 12


def sample(embeddings: EmbeddingSet, count: int = MAX_PRODUCTS) -> tuple[list[str], Array]:
    """Return ids and product vectors ``[N, 2D]`` of at most ``count`` products: those of the first hashes."""
    ids = embeddings.ids()
    hashes = [hashlib.blake2b(id.encode(), digest_size=8).digest() for id in ids]
    order = sorted(range(len(ids)), key=hashes.__getitem__)[:count]
    positions = np.sort(np.asarray(order, np.int64))
    batch = embeddings.select(positions)
    return batch.ids, product_vectors(batch.vectors.image, batch.vectors.text)


def project(vectors: Array, *, seed: int) -> Array | None:
    """Return positions ``[N, 2]`` in 0 to 1, neighbours kept together; ``None`` where there are too few.

    ``vectors`` ``[N, 2D]`` are unit vectors. The same vectors and seed give the same positions.
    """
    if len(vectors) < _FEWEST:
        return None
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if float(np.ptp(vectors, axis=0).max()) == 0:  # all alike: one point
        return np.full((len(vectors), 2), 0.5, np.float32)
    reduced = PCA(min(_PCA_DIM, *vectors.shape), random_state=seed).fit_transform(vectors)
    perplexity = float(min(30, (len(vectors) - 1) / 3))
    with threadpool_limits(1):  # more threads wait for each other 600 times: far slower on a busy machine
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, max_iter=600)
        points = tsne.fit_transform(reduced)
    low, high = points.min(0), points.max(0)
    result: Array = ((points - low) / np.maximum(high - low, 1e-9)).astype(np.float32)
    return result
