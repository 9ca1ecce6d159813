"""The figure that chooses the best epoch, on products that are neither trained on nor held out.

Vectors are made exactly as they are served: by the encoder's own inference, every image of a product
averaged, at the encoder's own image size.

    N = products of the snapshot, Q = queries, G = gallery, D = dimensions

The figure that chooses the best epoch: MAP@R or recall@1 of exact retrieval, in chunks.

The evaluation stage has the full set of figures and decides who serves; this one is only fast.

    Q = queries, G = gallery, D = dimensions
"""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.config.training import BUILT_IN_LABELS, ValidationConfig
from recsys.encoder.fusion import fuse, mean_images
from recsys.encoder.inference import (
    Images,
    InferenceOptions,
    TextCache,
    embed_all,
    embed_texts,
    image_features,
)
from recsys.encoder.model import ProductEncoder
from recsys.training.data import rows_at
from recsys.training.supervision import Supervision
from recsys.workspace.embeddings import Vectors, product_vectors
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import TRAIN, VALIDATION

logger = logging.getLogger(__name__)


_CHUNK = 512


def retrieval(
    queries: Tensor,
    gallery: Tensor,
    query_codes: Tensor,
    gallery_codes: Tensor,
    *,
    metric: Literal["map_at_r", "recall_at_1"],
    same: Tensor | None = None,
) -> float | None:
    """Return the metric over the queries that have something relevant in the gallery, else ``None``.

    ``queries`` ``[Q, D]`` and ``gallery`` ``[G, D]`` are unit vectors, the codes ``[Q]`` and ``[G]`` say
    what is relevant (equal and not negative), ``same`` ``[Q]`` is each query's own position in the
    gallery, which does not count, or -1. MAP@R as in Musgrave, Belongie and Lim 2020, equation 4.
    """
    total, count = 0.0, 0
    for start in range(0, len(queries), _CHUNK):
        part = slice(start, start + _CHUNK)
        scores = queries[part] @ gallery.T
        relevant = (query_codes[part, None] == gallery_codes) & (query_codes[part, None] >= 0)
        if same is not None:
            rows = (same[part] >= 0).nonzero().flatten()
            scores[rows, same[part][rows]] = -torch.inf
            relevant[rows, same[part][rows]] = False
        num = relevant.sum(dim=1)
        scores, relevant, num = scores[num > 0], relevant[num > 0], num[num > 0]
        if not len(num):
            continue
        k = 1 if metric == "recall_at_1" else int(num.max())
        hits = relevant.gather(1, scores.topk(k, dim=1).indices).double()
        count += len(num)
        total += float(hits.sum()) if metric == "recall_at_1" else float(_average_precision(hits, num).sum())
    return total / count if count else None


def _average_precision(hits: Tensor, num: Tensor) -> Tensor:
    """Return AP@R ``[Q]`` from ``hits`` ``[Q, K]`` in rank order and R = ``num`` ``[Q]``."""
    rank = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    precision = hits.cumsum(dim=1) / rank
    within = rank <= num[:, None]
    return (precision * hits * within).sum(dim=1) / num


Int = NDArray[np.int64]

_GALLERY_TIMES = 5


class ValidationTask(NamedTuple):
    """Who is looked for among whom."""

    queries: Int  # [Q] rows of the snapshot
    gallery: Int  # [G]
    codes: Int  # [N], what is relevant; -1: nothing is
    label: str


class Validator:
    """Measures an encoder on the validation products."""

    def __init__(
        self, question: ValidationTask, config: ValidationConfig, snapshot: Snapshot, encoder: ProductEncoder
    ) -> None:
        """Read the rows once; ``encoder`` says which columns it reads."""
        self.question, self.config = question, config
        self._images: Images = snapshot.images()
        self._positions = np.unique(np.concatenate([question.queries, question.gallery]))
        self._rows: list[dict[str, Any]] = rows_at(snapshot, encoder.content.columns, self._positions)
        self._texts = TextCache() if encoder.config.text.frozen else None
        self._features: NDArray[np.float32] | None = None

    def __call__(self, encoder: ProductEncoder) -> float | None:
        """Return the metric of ``encoder``; ``None`` where no query has anything relevant."""
        modes = [module.training for module in encoder.modules()]
        vectors = self._vectors(encoder, InferenceOptions(device=str(encoder.mean.device)))
        for module, mode in zip(encoder.modules(), modes, strict=True):
            module.training = mode
        return self.figure(vectors)

    def _vectors(self, encoder: ProductEncoder, options: InferenceOptions) -> Vectors:
        """Return every product's vectors; what frozen towers make of images and words is kept."""
        if not encoder.config.image.frozen:
            return embed_all(encoder, self._rows, self._images, options, text_cache=self._texts)
        contents = [encoder.content.read(row) for row in self._rows]
        hashes = [sha256 for content in contents for sha256 in content.images]
        if self._features is None:
            self._features = image_features(encoder, hashes, self._images, options)
        texts = [content.text or "" for content in contents]
        words = embed_texts(encoder, texts, options, text_cache=self._texts)
        with torch.inference_mode():
            seen = (
                encoder.project_image(torch.from_numpy(self._features).to(encoder.mean.device)).cpu().numpy()
            )
        counts = np.array([len(content.images) for content in contents])
        image = mean_images(seen, np.concatenate([[0], np.cumsum(counts)]), np.arange(len(hashes)))
        return fuse(image, words, counts > 0, np.array([content.text is not None for content in contents]))

    def figure(self, vectors: Vectors) -> float | None:
        """Return the metric of the vectors of the products at ``positions``, in their order."""
        queries = np.searchsorted(self._positions, self.question.queries)
        gallery = np.searchsorted(self._positions, self.question.gallery)
        crossed = self.question.label == "text_to_image"
        left, right = ("text", "image") if crossed else (self.config.vector, self.config.vector)
        if crossed or self.config.vector != "product":
            queries = queries[_has(vectors, left)[queries]]
            gallery = gallery[_has(vectors, right)[gallery]]
        if not len(queries) or not len(gallery):
            return None
        codes = self.question.codes[self._positions]
        place = np.full(len(self._positions), -1, np.int64)
        place[gallery] = np.arange(len(gallery))
        return retrieval(
            torch.from_numpy(_select(vectors, left)[queries]),
            torch.from_numpy(_select(vectors, right)[gallery]),
            torch.from_numpy(codes[queries]),
            torch.from_numpy(codes[gallery]),
            metric=self.config.metric,
            same=None if crossed else torch.from_numpy(place[queries]),
        )


def choose_task(
    splits: Sequence[str],
    ids: Sequence[str],
    supervision: Supervision,
    text_codes: Int,
    config: ValidationConfig,
) -> ValidationTask | None:
    """Choose queries, gallery and relevance; ``None`` where no validation product has anything to find.

    Products are chosen by the hash of their id, so the same ones validate every night.
    """
    queries = _sample(ids, splits, VALIDATION, config.max_products)
    if config.gallery == "train":
        gallery = _sample(ids, splits, TRAIN, _GALLERY_TIMES * config.max_products)
    else:
        gallery = queries
    if config.label == "text_to_image":
        return ValidationTask(queries, gallery, text_codes, config.label) if len(queries) else None
    levels = [name for name in supervision.labels if name not in BUILT_IN_LABELS]
    names = [*levels, "group"] if config.label == "auto" else [config.label]
    for name in names:
        codes = supervision.labels[name]
        known, counts = np.unique(codes[gallery][codes[gallery] >= 0], return_counts=True)
        findable = known[counts > (1 if gallery is queries else 0)]
        useful = queries[np.isin(codes[queries], findable)]
        if len(useful):
            return ValidationTask(useful, gallery, codes, name)
    return None


def _sample(ids: Sequence[str], splits: Sequence[str], split: str, at_most: int) -> Int:
    rows = [i for i, s in enumerate(splits) if s == split]
    if len(rows) > at_most:
        rows = sorted(rows, key=lambda i: hashlib.sha256(ids[i].encode()).digest())[:at_most]
    return np.array(sorted(rows), np.int64)


def _has(vectors: Vectors, which: str) -> NDArray[np.bool_]:
    return {"image": vectors.has_image, "text": vectors.has_text}[which]


def _select(vectors: Vectors, which: str) -> NDArray[np.float32]:
    if which == "product":
        return product_vectors(vectors.image, vectors.text)
    return vectors.image if which == "image" else vectors.text
