"""Exact search: every score of some queries, in chunks of bounded memory, and the best of each.

    Q = queries, G = gallery, D = dimensions, B = queries of one chunk, K = results kept

:func:`score_chunks` makes the scores with numpy's matrix product, :func:`top_k` selects with ``torch.topk``.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from torch import Tensor

Float32 = NDArray[np.float32]
Ints = NDArray[np.integer[Any]]

CHUNK_BYTES = 64 << 20
_MAX_RESULTS = 2 << 20
_MIN_ROWS, _MAX_ROWS = 16, 512
_GROUP = 8


class Term(NamedTuple):
    """One weighted dot product of a similarity; both sides dense, or both scipy's sparse rows."""

    queries: Any  # float32 [Q, D]
    gallery: Any  # float32 [G, D]
    weight: float = 1.0


def score_chunks(
    terms: Sequence[Term], depths: Ints, *, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[Ints, Float32]]:
    """Yield query rows ``[B]`` and their scores ``[B, G]``: the weighted sum of the terms' dot products.

    ``depths`` ``[Q]`` says how many results each query needs. Queries of similar depth share a chunk, those
    of depth 0 are left out. The scores of a chunk take about ``chunk_bytes`` at most; the next chunk
    overwrites them.
    """
    num_gallery = terms[0].gallery.shape[0]
    order = np.argsort(-depths, kind="stable")[: np.count_nonzero(depths)]
    max_rows = int(np.clip(chunk_bytes // (4 * max(num_gallery, 1)), _MIN_ROWS, _MAX_ROWS))
    buffer = np.empty((min(max_rows, len(order)), num_gallery), np.float32)
    while len(order):
        num_rows = min(max_rows, max(1, _MAX_RESULTS // int(depths[order[0]])))
        rows, order = np.sort(order[:num_rows]), order[num_rows:]
        scores = buffer[: len(rows)]
        for i, (queries, gallery, weight) in enumerate(terms):
            weighted = queries[rows] * np.float32(weight)
            if issparse(gallery):
                product = (weighted @ gallery.T).toarray()
                scores[:] = product if i == 0 else scores + product
            elif i == 0:
                np.matmul(weighted, gallery.T, out=scores)
            else:
                scores += weighted @ gallery.T
        yield rows, scores


def top_k(scores: Float32, k: int) -> NDArray[np.int64]:
    """Return the positions ``[B, min(k, G)]`` of the highest ``scores`` ``[B, G]``, best first.

    A score of -inf is no result: its position is -1. The order of equal scores is torch's: the same on
    every run, otherwise unspecified.
    """
    values, columns = _top_k(torch.from_numpy(scores), min(k, scores.shape[1]))
    positions: NDArray[np.int64] = columns.masked_fill(values.isneginf(), -1).numpy()
    return positions


def _top_k(scores: Tensor, k: int, *, ordered: bool = True) -> tuple[Tensor, Tensor]:
    """Return what ``scores.topk(k)`` does, values and positions ``[B, k]``.

    To select among all costs a third of the product that made the scores. The k best lie in the k groups
    with the highest maxima, or in the few columns that fill no group; those groups are found likewise.
    """
    num_groups = scores.shape[1] // _GROUP
    if 4 * k > num_groups:
        values, columns = scores.topk(k, dim=1, sorted=ordered)
        return values, columns
    maxima = scores[:, : num_groups * _GROUP].view(len(scores), _GROUP, num_groups).amax(dim=1)
    groups = _top_k(maxima, k, ordered=False)[1]
    members = (groups[:, None] + num_groups * torch.arange(_GROUP)[:, None]).flatten(1)
    rest = torch.arange(num_groups * _GROUP, scores.shape[1]).expand(len(scores), -1)
    columns = torch.cat([members, rest], dim=1)
    values, indices = scores.gather(1, columns).topk(k, dim=1, sorted=ordered)
    return values, columns.gather(1, indices)
