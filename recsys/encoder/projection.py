"""The linear maps from a tower's features to the shared space, and how they start.

F = features of a tower, D = dimensions of the shared space, N = sampled products, H = values of a text's own
words
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recsys.config.encoder import ProjectionConfig

_EPSILON = 1e-6


def make_projection(
    config: ProjectionConfig, num_features: int, dim: int, *, num_words: int = 0, share: float = 0.0
) -> nn.Linear:
    """Return the map ``[D, F + H]`` with bias; uses torch's global generator where it needs chance.

    A ``pca`` map starts as the orthogonal one and waits for :func:`fit_pca`. The last H dimensions are the
    ``num_words`` values of a text's own words, which make up ``share`` of its squared norm; the tower's
    features have the others.
    """
    projection = nn.Linear(num_features + num_words, dim)
    own = dim - num_words
    with torch.no_grad():
        projection.bias.zero_()
        projection.weight.zero_()
        projection.weight[own:, num_features:] = torch.eye(num_words) * (share / (1 - share)) ** 0.5
        if config.init == "linear":
            nn.init.normal_(projection.weight[:own, :num_features], std=num_features**-0.5)
        else:
            projection.weight[:own, :num_features] = isometry(num_features, own)
    projection.requires_grad_(config.trained)
    return projection


def isometry(num_features: int, dim: int) -> torch.Tensor:
    """Return ``[D, F]`` with orthonormal columns (D >= F: every cosine is kept) or rows (D < F).

    The identity, padded with zeros, where D >= F: no chance is involved and nothing is stirred.
    """
    if dim >= num_features:
        return torch.eye(dim, num_features)
    weight = torch.empty(dim, num_features)
    nn.init.orthogonal_(weight)
    return weight


def is_identity(projection: nn.Linear) -> bool:
    """Return whether the map leaves features as they are, padded with zeros."""
    weight = projection.weight
    return torch.equal(weight, torch.eye(*weight.shape, device=weight.device)) and not projection.bias.any()


def fit_pca(projection: nn.Linear, features: NDArray[np.float32], *, whiten: float = 0.0) -> None:
    """Set the part of ``projection`` that reads ``features [N, F]`` to their first principal axes, centred.

    They are as many as the D dimensions that are not of a text's own words.

    ``whiten`` is the exponent w in variance ** (-w / 2): 0 keeps, 1 equalises the variances. Axes beyond
    the rank of the data, and output dimensions beyond F, are zero. The scale is set so that the average
    squared norm is 1, which keeps gradients in range and changes no cosine. Signs are fixed (the largest
    entry of every axis is positive), so equal features give an equal map. Where all rows are equal the
    projection stays as it is.
    """
    rows = np.asarray(features, np.float64)
    if len(rows) < 2:
        raise ValueError(f"PCA needs at least two rows of features, found {len(rows)}")
    dim = projection.out_features - (projection.in_features - rows.shape[1])
    mean = rows.mean(0)
    variances, axes = np.linalg.eigh(np.cov(rows, rowvar=False).reshape(rows.shape[1], rows.shape[1]))
    variances, axes = variances[::-1][:dim], axes[:, ::-1].T[:dim]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    kept = variances > _EPSILON * variances[0]
    scales = np.where(kept, np.maximum(variances, _EPSILON * variances[0]) ** (-whiten / 2), 0.0)
    total = float(np.sum(scales**2 * variances * kept))
    if total <= 0:  # all rows are equal: there are no axes
        return
    weight = np.zeros((dim, rows.shape[1]))
    weight[: len(axes)] = axes * scales[:, None] / np.sqrt(total)
    with torch.no_grad():
        projection.weight[:dim, : rows.shape[1]] = torch.from_numpy(weight)
        projection.bias[:dim] = torch.from_numpy(-weight @ mean)
