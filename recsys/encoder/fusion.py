"""Several images averaged into one vector; a missing modality replaced by the other.

    N = products, U = different images, D = dimensions; vectors are float32 of unit norm

Does not know: models. Imports no torch.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.workspace.embeddings import Vectors

Float32 = NDArray[np.float32]

_EPSILON = np.float32(1e-12)


def unit(vectors: Float32) -> Float32:
    """Scale rows ``[N, D]`` to unit norm; a zero row stays zero."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float32))
    scaled: Float32 = vectors / np.maximum(norms, _EPSILON)[:, None]
    return scaled


def mean_images(images: Float32, offsets: NDArray[np.int64], index: NDArray[np.int64]) -> Float32:
    """Average the images of each product and renormalise; ``[N, D]``, zero where a product has none.

    ``images [U, D]`` are unit vectors; product n has the rows ``index[offsets[n]:offsets[n + 1]]``.
    """
    counts = np.diff(offsets)
    sums = np.zeros((len(counts), images.shape[1]), np.float32)
    has = np.flatnonzero(counts)
    if len(has):
        sums[has] = np.add.reduceat(images[index], offsets[:-1][has], axis=0)
    return unit(sums)


def fuse(image: Float32, text: Float32, has_image: NDArray[np.bool_], has_text: NDArray[np.bool_]) -> Vectors:
    """Return both halves with a missing one replaced by the other, so every product has two unit vectors.

    A product with neither keeps what ``text`` holds for it (the encoder gives the vector of an empty
    text) in both halves, and both flags are false.
    """
    image, text = image.copy(), text.copy()
    only_image = has_image & ~has_text
    image[~has_image] = text[~has_image]
    text[only_image] = image[only_image]
    return Vectors(image, text, has_image.copy(), has_text.copy())
