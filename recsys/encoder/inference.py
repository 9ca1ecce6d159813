"""Streams products through an encoder: rows in, vectors out, in order, in bounded memory.

Chunks of rows are read ahead; of each chunk, every different image is decoded and encoded once, in
batches filled to the brim whatever the number of images per product, and every different text once,
sorted by length so that little is padded. :mod:`recsys.encoder.stream` says how that is run.

    N = rows, D = dimensions of the shared space, F = features of a tower

Does not know: training, artifacts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.encoder.model import ProductEncoder
from recsys.encoder.stream import Images, InferenceOptions, Stream, TextCache
from recsys.encoder.template import Content
from recsys.workspace.embeddings import Vectors

__all__ = [
    "Images", "InferenceOptions", "TextCache", "embed_all", "embed_products", "embed_texts", "image_features",
    "text_features",
]  # fmt: skip

Float32 = NDArray[np.float32]


def embed_products(
    encoder: ProductEncoder,
    rows: Iterable[Mapping[str, Any]],
    images: Images,
    options: InferenceOptions | None = None,
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
        yield chunk.vectors(encoder)


def embed_all(
    encoder: ProductEncoder,
    rows: Iterable[Mapping[str, Any]],
    images: Images,
    options: InferenceOptions | None = None,
    *,
    text_cache: TextCache | None = None,
) -> Vectors:
    """Return the vectors of ``rows`` in one piece, ``[N, D]`` each."""
    parts = list(embed_products(encoder, rows, images, options, text_cache=text_cache))
    empty = np.empty((0, encoder.dim), np.float32)
    if not parts:
        return Vectors(empty, empty, np.empty(0, np.bool_), np.empty(0, np.bool_))
    return Vectors(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def embed_texts(
    encoder: ProductEncoder,
    texts: Sequence[str],
    options: InferenceOptions | None = None,
    *,
    text_cache: TextCache | None = None,
) -> Float32:
    """Return the unit vectors ``[N, D]`` of some texts: queries in words."""
    stream = Stream(encoder, _NoImages(), options, text_cache)
    parts = [chunk.text_vectors(encoder) for chunk in stream.run(Content(text, ()) for text in texts)]
    return np.concatenate(parts) if parts else np.empty((0, encoder.dim), np.float32)


def image_features(
    encoder: ProductEncoder, sha256s: Iterable[bytes], images: Images, options: InferenceOptions | None = None
) -> Float32:
    """Return the image tower's features ``[N, F]`` of some images, before the projection."""
    contents = (Content(None, (sha,)) for sha in sha256s)
    chunks = Stream(encoder, images, options).run(contents)
    parts = [chunk.images.numpy()[chunk.image_rows()[1]] for chunk in chunks]
    return np.concatenate(parts) if parts else np.empty((0, encoder.image_tower.dim), np.float32)


def text_features(
    encoder: ProductEncoder,
    texts: Sequence[str],
    options: InferenceOptions | None = None,
    *,
    text_cache: TextCache | None = None,
) -> Float32:
    """Return the text tower's features ``[N, F]`` of some texts, before the projection."""
    chunks = Stream(encoder, _NoImages(), options, text_cache).run(Content(text, ()) for text in texts)
    parts = [chunk.texts.numpy()[chunk.text_rows()] for chunk in chunks]
    return np.concatenate(parts) if parts else np.empty((0, encoder.text_tower.dim), np.float32)


class _NoImages:
    def jpeg(self, sha256: bytes, /) -> bytes:
        raise AssertionError("texts have no images")
