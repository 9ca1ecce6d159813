"""A few published products, each with its most similar ones by exact search.

Q = examples, B = products of a batch
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from recsys.workspace.embeddings import EmbeddingSet
from recsys.workspace.snapshot import Snapshot


def examples(
    snapshot: Snapshot, embeddings: EmbeddingSet, *, count: int, num_neighbours: int, image_weight: float
) -> list[dict[str, Any]]:
    """Return ``count`` products, each ``id`` and ``neighbours``."""
    chosen = choose(snapshot, count)
    found = neighbours(embeddings, chosen, count=num_neighbours, image_weight=image_weight)
    return [{"id": id, "neighbours": found[id]} for id in chosen if id in found]


def choose(snapshot: Snapshot, count: int) -> list[str]:
    """Return ids of ``count`` products, of different categories where there are.

    Those with image and title go before those that lack one. Always the same ones of the same catalog:
    those whose hashes come first.
    """
    best: dict[str | None, tuple[bool, bytes, str]] = {}
    spare: list[tuple[bool, bytes, str]] = []
    for batch in snapshot.batches(["id", "title", "product_type", "images"]):
        for row in batch.to_pylist():
            hashed = hashlib.blake2b(row["id"].encode(), digest_size=8).digest()
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
