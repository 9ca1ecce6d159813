"""The linear maps from a tower's features to the shared space, and how they start.

F = features of a tower, D = dimensions of the shared space, N = sampled products
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recsys.config.encoder import ProjectionConfig

_EPSILON = 1e-6


def make_projection(config: ProjectionConfig, num_features: int, dim: int) -> nn.Linear:
    """Return the map ``[D, F]`` with bias; uses torch's global generator where it needs chance.

    A ``pca`` map starts as the orthogonal one and waits for :func:`fit_pca`.
    """
    projection = nn.Linear(num_features, dim)
    with torch.no_grad():
        projection.bias.zero_()
        if config.init == "linear":
            nn.init.normal_(projection.weight, std=num_features**-0.5)
        else:
            projection.weight.copy_(isometry(num_features, dim))
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
    """Set ``projection`` to the first D principal axes of ``features [N, F]``, centred.

    ``whiten`` is the exponent w in variance ** (-w / 2): 0 keeps, 1 equalises the variances. Axes beyond
    the rank of the data, and output dimensions beyond F, are zero. The scale is set so that the average
    squared norm is 1, which keeps gradients in range and changes no cosine. Signs are fixed (the largest
    entry of every axis is positive), so equal features give an equal map. Where all rows are equal the
    projection stays as it is.
    """
    rows = np.asarray(features, np.float64)
    if len(rows) < 2:
        raise ValueError(f"PCA needs at least two rows of features, found {len(rows)}")
    dim = projection.out_features
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
        projection.weight.copy_(torch.from_numpy(weight))
        projection.bias.copy_(torch.from_numpy(-weight @ mean))
