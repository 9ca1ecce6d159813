"""How far cheap tricks go: what a score must beat before it says anything about an encoder.

    bag_of_words   TF-IDF of the text as the encoder reads it, compared by cosine
    pixels         colour histogram of the first image, compared by the Bhattacharyya coefficient
    image_alone    a fused task by the encoder's image half
    text_alone     the same by its text half

The untouched backbone is a candidate of its own. Also here: how many texts name the label that a task asks
for, which makes its score say little.

P = products embedded (the pool), Q = queries
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from recsys.config import EncoderConfig
from recsys.config.evaluation import TaskConfig
from recsys.encoder.template import ContentReader, names_label
from recsys.evaluation.products import Positions, Products
from recsys.evaluation.scores import MetricValues, PoolVectors, score_queries
from recsys.evaluation.tasks import PreparedTask
from recsys.workspace.embeddings import Vectors
from recsys.workspace.snapshot import Snapshot

_BINS = 4


class Baselines:
    """The cheap vectors of a pool of products."""

    def __init__(self, snapshot: Snapshot, encoder: EncoderConfig, pool: Positions) -> None:
        """Read the text and the first image of every product of ``pool`` ``[P]``."""
        reader, store = ContentReader(encoder), snapshot.images()
        self._pool = pool
        self._texts: list[str] = []
        histograms = np.zeros((len(pool), _BINS**3), np.float32)
        for i, row in enumerate(snapshot.rows_at(pool, ("id", *reader.columns))):
            content = reader.read(row)
            if content.images:
                histograms[i] = histogram(store.jpeg(content.images[0]))
            self._texts.append(content.text or "")
        self.vectors = Vectors(
            image=histograms,
            text=bags_of_words(self._texts),
            has_image=np.asarray(histograms.any(axis=1)),
            has_text=np.array([bool(text) for text in self._texts]),
        )
        """Histograms, and sparse bags of words, in the order of ``pool``."""
        self._vectors = PoolVectors(pool, self.vectors)

    def scores(self, task: PreparedTask, encoder: PoolVectors | None) -> dict[str, MetricValues]:
        """Return baseline → every metric of ``task`` per query ``[Q]``; ``encoder`` gives its halves."""
        kind, modality = task.config.kind, task.config.modality
        if kind != "item":
            return {}
        found = {}
        if modality != "image":
            found["bag_of_words"] = score_queries(_by(task, "text"), self._vectors, 0.0)
        if modality != "text":
            found["pixels"] = score_queries(_by(task, "image"), self._vectors, 1.0)
        if modality == "fused" and encoder is not None:
            found["image_alone"] = score_queries(_by(task, "image"), encoder, 1.0)
            found["text_alone"] = score_queries(_by(task, "text"), encoder, 0.0)
        return found

    def label_in_text(self, config: TaskConfig, products: Products, queries: Positions) -> float | None:
        """Return the share of ``queries`` ``[Q]`` whose text names all that makes a product relevant.

        ``None`` where the task compares no text with text, or asks for no column.
        """
        if config.kind != "item" or config.modality == "image" or not config.relevant or not len(queries):
            return None
        columns = [products.values(name) for name in config.relevant]
        rows = np.searchsorted(self._pool, queries)
        named = [
            all(names_label(self._texts[row], column[position]) for column in columns)
            for row, position in zip(rows.tolist(), queries.tolist(), strict=True)
        ]
        return float(np.mean(named))


def bags_of_words(texts: Sequence[str]) -> Any:
    """Return unit TF-IDF vectors ``[P, words]``, sparse float32; all 0 for a text without words."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, token_pattern=r"\w+")
    try:
        return vectorizer.fit_transform(texts)
    except ValueError:  # no text has a word
        return csr_matrix((len(texts), 1), dtype=np.float32)


def histogram(jpeg: bytes) -> NDArray[np.float32]:
    """Return the square root of a JPEG's RGB histogram, 4 bins a channel: ``[64]``, a unit vector."""
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_COLOR_4)
    counts = cv2.calcHist([pixels], [0, 1, 2], None, [_BINS] * 3, [0, 256] * 3).ravel()
    found: NDArray[np.float32] = np.sqrt(counts / counts.sum()).astype(np.float32)
    return found


def _by(task: PreparedTask, modality: Literal["image", "text"]) -> PreparedTask:
    changed: Mapping[str, Any] = {"modality": modality, "image_weight": None}
    return replace(task, config=task.config.model_copy(update=changed))
