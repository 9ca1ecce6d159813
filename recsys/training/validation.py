"""The score of an epoch, on products that are neither trained on nor held out.

The report shows it; it ends training, or chooses the epoch, where ``training.validation`` says so.

By default it is the mean over the ways to ask that the gate's default tasks ask about: every label level and
the item group, each by image, by text and by both, and words for images.

Vectors are made exactly as they are served: by the encoder's own inference, every image of a product
averaged, at the encoder's own image size.

    N = products of the snapshot, Q = queries, G = gallery, D = dimensions
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.config.embedding import EmbeddingConfig
from recsys.config.training import BUILT_IN_LABELS, ValidationConfig
from recsys.encoder.inference import Images, embed_all
from recsys.encoder.model import ProductEncoder
from recsys.metrics.exact import Term, score_chunks, top_k
from recsys.metrics.retrieval import hit_at_k, map_at_r
from recsys.training.supervision import Int, Supervision
from recsys.workspace.embeddings import Vectors, product_vectors
from recsys.workspace.features import FeatureStore
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import TRAIN, VALIDATION

Float32 = NDArray[np.float32]
Metric = Literal["map_at_r", "recall_at_1"]

_GALLERY_TIMES = 5
_WORDS = "text_to_image"


class ValidationTask(NamedTuple):
    """Which products are searched for among which, by which vectors."""

    queries: Int  # [Q] rows of the snapshot
    gallery: Int  # [G]
    codes: Int  # [N], equal codes are relevant to each other; -1: nothing is
    label: str
    vector: str  # image, text, product, or text_to_image


def choose_tasks(
    splits: Sequence[str], ids: Sequence[str], supervision: Supervision, config: ValidationConfig
) -> list[ValidationTask]:
    """Choose queries, gallery and relevance; empty where no validation product has anything to find.

    Products are sampled by the hash of their id, so the same ones validate every night.
    """
    queries = _sample(ids, splits, VALIDATION, config.max_products)
    gallery = queries
    if config.gallery == "train":
        gallery = _sample(ids, splits, TRAIN, _GALLERY_TIMES * config.max_products)
    words = ValidationTask(queries, queries, np.arange(len(ids)), "id", _WORDS)
    if config.label == _WORDS:
        return [words] if len(queries) else []
    levels = [name for name in supervision.labels if name not in BUILT_IN_LABELS]
    tasks = []
    for name in [*levels, "group"] if config.label == "auto" else [config.label]:
        codes = supervision.labels[name]
        known, counts = np.unique(codes[gallery][codes[gallery] >= 0], return_counts=True)
        findable = known[counts > (1 if gallery is queries else 0)]
        useful = queries[np.isin(codes[queries], findable)]
        vectors = ("image", "text", "product") if config.vector == "auto" else (config.vector,)
        if len(useful):
            tasks += [ValidationTask(useful, gallery, codes, name, vector) for vector in vectors]
    if config.label == config.vector == "auto" and len(queries):
        tasks.append(words)
    return tasks


def _sample(ids: Sequence[str], splits: Sequence[str], split: str, at_most: int) -> Int:
    rows = [i for i, s in enumerate(splits) if s == split]
    if len(rows) > at_most:
        rows = sorted(rows, key=lambda i: hashlib.sha256(ids[i].encode()).digest())[:at_most]
    return np.array(sorted(rows), np.int64)


class Validator:
    """Scores an encoder by the mean of some validation tasks, at least one."""

    def __init__(
        self,
        tasks: Sequence[ValidationTask],
        config: ValidationConfig,
        snapshot: Snapshot,
        encoder: ProductEncoder,
        store: FeatureStore | None = None,
    ) -> None:
        """Read the rows once; ``encoder`` says which columns it reads."""
        self._tasks, self._config = tasks, config
        self._images: Images = snapshot.images()
        self._positions = np.unique(np.concatenate([rows for task in tasks for rows in task[:2]]))
        table = snapshot.table(tuple(dict.fromkeys(encoder.content.columns)))
        self._rows: list[dict[str, Any]] = table.take(pa.array(self._positions)).to_pylist()
        self._store = store

    def __call__(self, encoder: ProductEncoder) -> float | None:
        """Return the score of ``encoder`` in [0, 1]; ``None`` where no query of any task finds anything."""
        modes = [module.training for module in encoder.modules()]
        vectors = self._embed(encoder)
        for module, mode in zip(encoder.modules(), modes, strict=True):
            module.training = mode
        scores = [self._score(task, vectors) for task in self._tasks]
        known = [score for score in scores if score is not None]
        return float(np.mean(known)) if known else None

    def _embed(self, encoder: ProductEncoder) -> Vectors:
        """Return every product's vectors."""
        options = EmbeddingConfig.model_validate({"device": encoder.mean.device.type})
        return embed_all(encoder, self._rows, self._images, options, store=self._store)

    def _score(self, task: ValidationTask, vectors: Vectors) -> float | None:
        """Return the metric of the vectors of the products at ``positions``, in their order."""
        queries = np.searchsorted(self._positions, task.queries)
        gallery = np.searchsorted(self._positions, task.gallery)
        across = task.vector == _WORDS
        left, right = ("text", "image") if across else (task.vector, task.vector)
        has = {"image": vectors.has_image, "text": vectors.has_text}
        if left in has and right in has:
            queries, gallery = queries[has[left][queries]], gallery[has[right][gallery]]
        if not (len(queries) and len(gallery)):
            return None
        codes = task.codes[self._positions]
        place = np.full(len(self._positions), -1, np.int64)
        if not across:
            place[gallery] = np.arange(len(gallery))
        return retrieval_score(
            _select(vectors, left)[queries], _select(vectors, right)[gallery], codes[queries], codes[gallery],
            own=place[queries], metric=self._config.metric,
        )  # fmt: skip


def _select(vectors: Vectors, which: str) -> Float32:
    if which == "product":
        return product_vectors(vectors.image, vectors.text)
    return vectors.image if which == "image" else vectors.text


def retrieval_score(
    queries: Float32, gallery: Float32, query_codes: Int, gallery_codes: Int, *, own: Int, metric: Metric
) -> float | None:
    """Return the mean of :func:`query_scores` over the queries that have anything to find, else ``None``."""
    values = query_scores(queries, gallery, query_codes, gallery_codes, own=own, metric=metric)
    known = np.isfinite(values)
    return float(values[known].mean()) if known.any() else None


def query_scores(
    queries: Float32, gallery: Float32, query_codes: Int, gallery_codes: Int, *, own: Int, metric: Metric
) -> NDArray[np.float64]:
    """Return the metric of every query ``[Q]``, NaN of those that have nothing to find.

    ``queries`` ``[Q, D]`` and ``gallery`` ``[G, D]`` are unit vectors, both dense or both sparse; equal
    codes are relevant, -1 is not. ``own`` ``[Q]`` is each query's own position in the gallery, which does
    not count, or -1.
    """
    known, counts = np.unique(gallery_codes[gallery_codes >= 0], return_counts=True)
    sizes = dict(zip(known.tolist(), counts.tolist(), strict=True))
    num_relevant = np.array([sizes.get(code, 0) for code in query_codes.tolist()], np.int64)
    num_relevant -= (own >= 0) & (query_codes >= 0)
    useful = num_relevant > 0
    depths = useful.astype(np.int64) if metric == "recall_at_1" else num_relevant * useful
    values = np.full(len(query_codes), np.nan)
    for rows, scores in score_chunks([Term(queries, gallery)], depths):
        inside = np.flatnonzero(own[rows] >= 0)
        scores[inside, own[rows][inside]] = -np.inf
        found = top_k(scores, int(depths[rows].max()))
        hits = (gallery_codes[found] == query_codes[rows, None]) & (found >= 0)
        values[rows] = hit_at_k(hits, 1) if metric == "recall_at_1" else map_at_r(hits, num_relevant[rows])
    return values
