"""Rows in, vectors out: products, texts and images through an encoder, in order, in bounded memory.

:mod:`recsys.encoder.stream` runs the towers; here features are projected into the shared space, the images
of a product averaged, and a missing modality replaced by the other.

    N = rows, U = different images, D = dimensions of the shared space, F = features of a tower
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.config.embedding import EmbeddingConfig
from recsys.encoder.model import ProductEncoder
from recsys.encoder.stream import Images, Stream, TextCache
from recsys.encoder.template import Content
from recsys.workspace.embeddings import Vectors

__all__ = [
    "Images", "TextCache", "combine", "embed_all", "embed_products", "embed_texts", "image_features",
    "text_features",
]  # fmt: skip

Float32 = NDArray[np.float32]


def embed_products(
    encoder: ProductEncoder,
    rows: Iterable[Mapping[str, Any]],
    images: Images,
    options: EmbeddingConfig | None = None,
    *,
    text_cache: TextCache | None = None,
) -> Iterator[Vectors]:
    """Yield the vectors of ``rows`` in order, ``options.chunk_size`` rows at a time.

    A row maps column names of the product schema to values; at least ``encoder.content.columns`` are there.
    The encoder is moved to the device and switched to use. Raises :class:`~recsys.errors.ArtifactError`
    for an image the store lacks.
    """
    contents = (encoder.content.read(row) for row in rows)
    for chunk in Stream(encoder, images, options, text_cache).run(contents):
        texts = _project_texts(encoder, chunk.text_features, chunk.text_rows())
        yield combine(encoder, chunk.contents, chunk.image_features, chunk.image_rows(), texts)


def embed_all(
    encoder: ProductEncoder,
    rows: Iterable[Mapping[str, Any]],
    images: Images,
    options: EmbeddingConfig | None = None,
    *,
    text_cache: TextCache | None = None,
) -> Vectors:
    """Return the vectors of ``rows`` in one piece, ``[N, D]`` each."""
    empty, none = np.empty((0, encoder.dim), np.float32), np.empty(0, np.bool_)
    parts = embed_products(encoder, rows, images, options, text_cache=text_cache)
    columns = zip(Vectors(empty, empty, none, none), *parts, strict=True)
    return Vectors(*(np.concatenate(column) for column in columns))


def embed_texts(
    encoder: ProductEncoder,
    texts: Sequence[str],
    options: EmbeddingConfig | None = None,
    *,
    text_cache: TextCache | None = None,
) -> Float32:
    """Return the unit vectors ``[N, D]`` of some texts: queries in words."""
    chunks = Stream(encoder, _NoImages(), options, text_cache).run(Content(text, ()) for text in texts)
    parts = [_project_texts(encoder, chunk.text_features, chunk.text_rows()) for chunk in chunks]
    return np.concatenate([np.empty((0, encoder.dim), np.float32), *parts])


def image_features(
    encoder: ProductEncoder, sha256s: Iterable[bytes], images: Images, options: EmbeddingConfig | None = None
) -> Float32:
    """Return the image tower's features ``[N, F]`` of some images, before the projection."""
    chunks = Stream(encoder, images, options).run(Content(None, (sha256,)) for sha256 in sha256s)
    parts = [chunk.image_features.cpu().numpy()[chunk.image_rows()] for chunk in chunks]
    return np.concatenate([np.empty((0, encoder.image_tower.dim), np.float32), *parts])


def text_features(
    encoder: ProductEncoder,
    texts: Sequence[str],
    options: EmbeddingConfig | None = None,
    *,
    text_cache: TextCache | None = None,
) -> Float32:
    """Return the text tower's features ``[N, F]`` of some texts, before the projection."""
    chunks = Stream(encoder, _NoImages(), options, text_cache).run(Content(text, ()) for text in texts)
    parts = [chunk.text_features.cpu().numpy()[chunk.text_rows()] for chunk in chunks]
    return np.concatenate([np.empty((0, encoder.text_tower.dim), np.float32), *parts])


class _NoImages:
    def jpeg(self, sha256: bytes, /) -> bytes:
        raise AssertionError("texts have no images")


@torch.inference_mode()
def _project_texts(encoder: ProductEncoder, features: torch.Tensor, rows: NDArray[np.int64]) -> Float32:
    """Return unit vectors ``[N, D]`` from features ``[T, F]``; zero where a row is -1."""
    vectors = np.zeros((len(rows), encoder.dim), np.float32)
    projected = encoder.project_text(features.to(encoder.mean.device)).cpu().numpy()
    vectors[rows >= 0] = projected[rows[rows >= 0]]
    return vectors


@torch.inference_mode()
def combine(
    encoder: ProductEncoder,
    contents: Sequence[Content],
    image_features: torch.Tensor,
    image_rows: NDArray[np.int64],
    texts: Float32,
) -> Vectors:
    """Return both vectors of each content from features ``[U, F]`` of images and text vectors ``[N, D]``.

    ``image_rows`` are the rows of ``image_features`` of the contents' images, one content after the other.
    """
    images = encoder.project_image(image_features.to(encoder.mean.device)).cpu().numpy()
    counts = np.array([len(content.images) for content in contents], np.int64)
    has_text = np.array([content.text is not None for content in contents], np.bool_)
    return fuse(mean_images(images[image_rows], counts), texts, counts > 0, has_text)


def mean_images(images: Float32, counts: NDArray[np.int64]) -> Float32:
    """Return the mean of each product's images as unit vectors ``[N, D]``; zero where it has none.

    ``images`` are unit vectors ``[sum(counts), D]``, the ``counts[n]`` of product n after those of n - 1.
    """
    sums = np.zeros((len(counts), images.shape[1]), np.float32)
    has = np.flatnonzero(counts)
    if len(has):
        starts = np.cumsum(counts) - counts
        sums[has] = np.add.reduceat(images, starts[has], axis=0)
    return unit(sums)


def unit(vectors: Float32) -> Float32:
    """Scale rows ``[N, D]`` to unit norm; a zero row stays zero."""
    scaled: Float32 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return scaled


def fuse(image: Float32, text: Float32, has_image: NDArray[np.bool_], has_text: NDArray[np.bool_]) -> Vectors:
    """Return both halves ``[N, D]`` with a missing one replaced by the other.

    A product with neither keeps what ``text`` holds for it (the encoder gives the vector of an empty
    text) in both halves, and both flags are false.
    """
    return Vectors(
        np.where(has_image[:, None], image, text),
        np.where((has_image & ~has_text)[:, None], image, text),
        has_image,
        has_text,
    )
