"""Encodes some products of a snapshot anew, past every cache: what their vectors should be.

The audit of a publication compares these with what is in the index. So nothing is read but the encoder, the
snapshot and its images, and little is shared with the way the vectors were made: no plan, no shard, no
feature store, no threads.

    N = products, I = images of theirs, D = dimensions of the shared space
"""

import logging
import time
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.config import Config
from recsys.encoder.inference import device_of, fuse, mean_images
from recsys.encoder.model import ProductEncoder
from recsys.encoder.template import Content
from recsys.workspace import Workspace
from recsys.workspace.embeddings import Vectors
from recsys.workspace.image_store import ImageStore
from recsys.workspace.snapshot import Snapshot

_BATCH = 16

Float32 = NDArray[np.float32]

logger = logging.getLogger(__name__)


def reencode(
    config: Config,
    workspace: Workspace,
    snapshot_ref: str,
    encoder_ref: str,
    precision: str,
    positions: NDArray[np.int64],
) -> Vectors:
    """Return the vectors ``[N, D]`` of the products at ascending ``positions`` of a snapshot.

    The towers compute in ``precision`` (``fp32`` or ``bf16``), on the device of ``config.embedding``. Raises
    :class:`~recsys.errors.ArtifactError` for an encoder or an image that is not there.
    """
    started = time.monotonic()
    snapshot = Snapshot.open(workspace, snapshot_ref)
    encoder = ProductEncoder.load(workspace.path(workspace.get(encoder_ref)))
    encoder = encoder.to(device_of(config.embedding)).eval()
    contents = [encoder.content.read(row) for row in snapshot.rows_at(positions, encoder.content.columns)]
    counts = np.array([len(content.images) for content in contents], np.int64)
    has_text = np.array([content.text is not None for content in contents], np.bool_)
    with torch.inference_mode():
        images = mean_images(_encode_images(encoder, contents, snapshot.images(), precision), counts)
        texts = _encode_texts(encoder, [content.text or "" for content in contents], precision)
    logger.info("encoded %d products anew in %.1f s", len(contents), time.monotonic() - started)
    return fuse(images, texts, counts > 0, has_text)


def _encode_images(
    encoder: ProductEncoder, contents: list[Content], images: ImageStore, precision: str
) -> Float32:
    """Return the vectors ``[I, D]`` of all images, one product's after the other's."""
    parts = [np.empty((0, encoder.dim), np.float32)]
    sha256s = (sha256 for content in contents for sha256 in content.images)
    while some := list(islice(sha256s, _BATCH)):
        pixels = torch.stack([encoder.preprocess(images.jpeg(sha256)) for sha256 in some])
        with _towers(encoder, precision):
            early = encoder.early_image(pixels.to(encoder.mean.device))
        parts.append(encoder.project_image(early).cpu().numpy())
    return np.concatenate(parts)


def _encode_texts(encoder: ProductEncoder, texts: list[str], precision: str) -> Float32:
    """Return the vectors ``[N, D]`` of texts, encoded by length so that little is padded."""
    vectors = np.empty((len(texts), encoder.dim), np.float32)
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(texts), _BATCH):
        some = by_length[start : start + _BATCH]
        batch = [texts[i] for i in some]
        tokens = encoder.text_tower.tokenize(batch)
        with _towers(encoder, precision):
            device = encoder.mean.device
            features = encoder.text_features({name: tensor.to(device) for name, tensor in tokens.items()})
        read = encoder.with_words(features, encoder.lexical(batch))
        vectors[some] = encoder.project_text(read).cpu().numpy()
    return vectors


def _towers(encoder: ProductEncoder, precision: str) -> torch.autocast:
    return torch.autocast(encoder.mean.device.type, torch.bfloat16, enabled=precision == "bf16")
