"""The figure that chooses the best epoch: MAP@R or recall@1 of exact retrieval, in chunks.

The evaluation stage has the full set of figures and decides who serves; this one is only fast.

    Q = queries, G = gallery, D = dimensions

Does not know: encoders, products.
"""

from typing import Literal

import torch
from torch import Tensor

_CHUNK = 512


def retrieval(
    queries: Tensor,
    gallery: Tensor,
    query_codes: Tensor,
    gallery_codes: Tensor,
    *,
    metric: Literal["map_at_r", "recall_at_1"],
    same: Tensor | None = None,
) -> float | None:
    """Return the metric over the queries that have something relevant in the gallery, else ``None``.

    ``queries`` ``[Q, D]`` and ``gallery`` ``[G, D]`` are unit vectors, the codes ``[Q]`` and ``[G]`` say
    what is relevant (equal and not negative), ``same`` ``[Q]`` is each query's own position in the
    gallery, which does not count, or -1. MAP@R as in Musgrave, Belongie and Lim 2020, equation 4.
    """
    total, count = 0.0, 0
    for start in range(0, len(queries), _CHUNK):
        part = slice(start, start + _CHUNK)
        scores = queries[part] @ gallery.T
        relevant = (query_codes[part, None] == gallery_codes) & (query_codes[part, None] >= 0)
        if same is not None:
            rows = (same[part] >= 0).nonzero().flatten()
            scores[rows, same[part][rows]] = -torch.inf
            relevant[rows, same[part][rows]] = False
        num = relevant.sum(dim=1)
        scores, relevant, num = scores[num > 0], relevant[num > 0], num[num > 0]
        if not len(num):
            continue
        k = 1 if metric == "recall_at_1" else int(num.max())
        hits = relevant.gather(1, scores.topk(k, dim=1).indices).double()
        count += len(num)
        total += float(hits.sum()) if metric == "recall_at_1" else float(_average_precision(hits, num).sum())
    return total / count if count else None


def _average_precision(hits: Tensor, num: Tensor) -> Tensor:
    """Return AP@R ``[Q]`` from ``hits`` ``[Q, K]`` in rank order and R = ``num`` ``[Q]``."""
    rank = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    precision = hits.cumsum(dim=1) / rank
    within = rank <= num[:, None]
    return (precision * hits * within).sum(dim=1) / num
