"""Features of pictures under a frozen image tower: read once, projected once per candidate.

The candidates of a night differ in what was trained. Where the image tower was not, they share its
features, which are nearly all of the work; the text tower's are shared by the encoder's ``TextCache``.

    U = different pictures of the pool, F = features of the image tower, N = rows of a chunk

Does not know: candidates, tasks.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from recsys.encoder import fusion
from recsys.encoder.inference import Images, InferenceOptions, TextCache, embed_texts, image_features
from recsys.encoder.model import ProductEncoder
from recsys.encoder.towers.base import state_digest
from recsys.workspace.embeddings import Vectors

Float32 = NDArray[np.float32]

_BLOCK = 4096


class FrozenFeatures:
    """The features of some pictures under one image tower, in a file."""

    def __init__(self, path: Path, sha256s: Iterable[bytes]) -> None:
        """Name the pictures and the ``.npy`` file that holds, or will hold, their features ``[U, F]``."""
        self._path = path
        self._row = {sha: i for i, sha in enumerate(dict.fromkeys(sha256s))}

    def read(self, encoder: ProductEncoder, images: Images, options: InferenceOptions) -> None:
        """Fill the file with ``encoder``'s features, unless it is there."""
        if self._path.exists():
            return
        partial = self._path.with_suffix(".partial")
        shas = list(self._row)
        features = open_memmap(partial, "w+", np.float32, (len(shas), encoder.image_tower.dim))
        for start in range(0, len(shas), _BLOCK):
            some = shas[start : start + _BLOCK]
            features[start : start + len(some)] = image_features(encoder, some, images, options)
        features.flush()
        partial.replace(self._path)

    def embed(
        self,
        encoder: ProductEncoder,
        rows: Iterable[Mapping[str, Any]],
        options: InferenceOptions,
        text_cache: TextCache,
    ) -> Iterator[Vectors]:
        """Yield the vectors of ``rows`` in order, as ``embed_products`` would, from the features."""
        features = np.load(self._path, mmap_mode="r")
        remaining = iter(rows)
        while chunk := list(islice(remaining, options.chunk_size)):
            contents = [encoder.content.read(row) for row in chunk]
            index = np.array([self._row[sha] for c in contents for sha in c.images], np.int64)
            offsets = np.cumsum([0, *(len(c.images) for c in contents)], dtype=np.int64)
            used, at = np.unique(index, return_inverse=True)
            with torch.inference_mode():
                device = encoder.image_projection.weight.device
                pictures = encoder.project_image(torch.from_numpy(features[used]).to(device)).cpu().numpy()
            yield fusion.fuse(
                fusion.mean_images(pictures, offsets, at),
                embed_texts(encoder, [c.text or "" for c in contents], options, text_cache=text_cache),
                np.array([bool(c.images) for c in contents]),
                np.array([c.text is not None for c in contents]),
            )


def image_digest(encoder: ProductEncoder) -> str:
    """Return what decides an image tower's features: a hash of its weights, and how pixels are made."""
    made = {
        "tower": state_digest(encoder.image_tower),
        "described": encoder.image_tower.describe(),
        "mean": encoder.mean.flatten().tolist(),
        "std": encoder.std.flatten().tolist(),
        "pixels": [encoder.preprocess.image_size, encoder.preprocess.resize_mode],
    }
    return json.dumps(made, sort_keys=True, default=str)
