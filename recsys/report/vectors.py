"""What the report reads of the published vectors: nearest neighbours of a few products, and a map of many.

Q = examples, B = products of a batch, N = products on the map, D = dimensions of one modality
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.workspace.embeddings import EmbeddingSet, product_vectors
from recsys.workspace.snapshot import Snapshot

Array = NDArray[np.float32]
MAX_PRODUCTS = 1500
_PCA_DIM = 40
_FEWEST = 12


def examples(
    snapshot: Snapshot, embeddings: EmbeddingSet, *, count: int, num_neighbours: int, image_weight: float
) -> list[dict[str, Any]]:
    """Return ``count`` products, each ``id`` and ``neighbours``."""
    chosen = choose_examples(snapshot, count)
    found = neighbours(embeddings, chosen, count=num_neighbours, image_weight=image_weight)
    return [{"id": id, "neighbours": found[id]} for id in chosen if id in found]


def choose_examples(snapshot: Snapshot, count: int) -> list[str]:
    """Return ids of ``count`` products, of different categories where there are.

    Those with image and title go before those that lack one. Always the same ones of the same catalog:
    those whose hashes come first.
    """
    best: dict[str | None, tuple[bool, bytes, str]] = {}
    spare: list[tuple[bool, bytes, str]] = []
    for batch in snapshot.batches(["id", "title", "product_type", "images"]):
        for row in batch.to_pylist():
            hashed = _hash(row["id"])
            entry = (not (row["title"] and row["images"]), hashed, row["id"])
            held = best.get(row["product_type"])
            if held is None or entry < held:
                best[row["product_type"]] = entry
            spare = sorted([*spare, entry])[:count]
    varied = sorted(best.values())[:count]
    every = [*varied, *(entry for entry in spare if entry not in varied)]
    every.sort(key=lambda entry: entry[0])
    return [id for _, _, id in every[:count]]


def neighbours(
    embeddings: EmbeddingSet, ids: Sequence[str], *, count: int, image_weight: float
) -> dict[str, list[dict[str, Any]]]:
    """Return, for each of ``ids``, its ``count`` most similar others, the most similar first.

    Each is ``id``, ``score`` = w · ``image_score`` + (1 - w) · ``text_score``. Exact; memory is one batch.
    """
    every = embeddings.ids()
    where = {id: position for position, id in enumerate(every)}
    known = [id for id in ids if id in where]
    if not known:
        return {}
    queries = embeddings.select(np.asarray([where[id] for id in known])).vectors
    found: dict[str, list[tuple[float, float, float, str]]] = {id: [] for id in known}
    for batch in embeddings.batches():
        image, text = queries.image @ batch.vectors.image.T, queries.text @ batch.vectors.text.T  # [Q, B]
        score = image_weight * image + (1 - image_weight) * text
        for q, id in enumerate(known):
            top = np.argsort(-score[q], kind="stable")[: count + 1]
            close = [(float(score[q, i]), float(image[q, i]), float(text[q, i]), batch.ids[i]) for i in top]
            merged = found[id] + [entry for entry in close if entry[3] != id]
            found[id] = sorted(merged, key=lambda entry: (-entry[0], entry[3]))[:count]
    keys = ("score", "image_score", "text_score", "id")
    return {id: [dict(zip(keys, entry, strict=True)) for entry in entries] for id, entries in found.items()}


def map_sample(embeddings: EmbeddingSet, count: int = MAX_PRODUCTS) -> tuple[list[str], Array]:
    """Return ids and product vectors ``[N, 2D]`` of at most ``count`` products: those of the first hashes."""
    batch = embeddings.select(np.sort(np.asarray(first_by_hash(embeddings.ids(), count), np.int64)))
    return batch.ids, product_vectors(batch.vectors.image, batch.vectors.text)


def project_2d(vectors: Array, *, seed: int) -> Array | None:
    """Return positions ``[N, 2]`` in 0 to 1 by PCA and t-SNE (van der Maaten 2008); ``None`` for too few.

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


def first_by_hash(ids: Sequence[str], count: int) -> list[int]:
    """Return the indices of at most ``count`` of ``ids``: those of the first hashes, in their order."""
    return sorted(range(len(ids)), key=lambda i: _hash(ids[i]))[:count]


def _hash(id: str) -> bytes:
    return hashlib.blake2b(id.encode(), digest_size=8).digest()
