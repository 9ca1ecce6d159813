"""Losses of pytorch-metric-learning that need something of a batch, or lose something, changed where they do.

Each keeps the library's name and arguments, and takes ``(embeddings [R, D], labels [R], indices_tuple)`` as
the others do. A value without a gradient says that the batch holds nothing to learn from.

    R = rows of a batch, C = classes among them, D = dimensions
"""

import math
from typing import Any

import torch
from pytorch_metric_learning import losses, reducers
from pytorch_metric_learning.utils.loss_and_miner_utils import convert_to_triplets
from torch import Tensor


def _group_by_class(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows class by class ``[R]``, where each class starts there and its size ``[C]``."""
    order = labels.argsort(stable=True)
    sizes = torch.unique_consecutive(labels[order], return_counts=True)[1]
    return order, sizes.cumsum(0) - sizes, sizes


class CrossBatchMemory(losses.CrossBatchMemory):  # type: ignore[misc]
    """Cross-batch memory (Wang et al. 2020) whose queue survives a checkpoint.

    Of a batch longer than the queue the first ``memory_size`` rows count. Pairs from outside are refused:
    they would be taken for rows of the queue.
    """

    @classmethod
    def check_loss_support(cls, loss_name: str) -> None:
        """Raise ``ValueError`` for a loss that cannot compare a batch with a queue."""
        if loss_name not in cls.supported_losses():
            raise ValueError(f"its loss can be one of {', '.join(cls.supported_losses())}, not {loss_name}")

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: None = None) -> Tensor:
        """Return the loss of the rows against the queue, which they enter first."""
        assert indices_tuple is None
        value: Tensor = super().forward(embeddings[: self.memory_size], labels[: self.memory_size])
        return value

    def get_extra_state(self) -> Tensor:
        """Return where the queue goes on and whether it is full; its rows are buffers."""
        return torch.tensor([self.queue_idx, int(self.has_been_filled)])

    def set_extra_state(self, state: Tensor) -> None:
        """Go on where the queue was."""
        self.queue_idx, self.has_been_filled = int(state[0]), bool(state[1])


class DynamicSoftMarginLoss(losses.DynamicSoftMarginLoss):  # type: ignore[misc]
    """Dynamic soft margin (Zhang and Rusinkiewicz 2019) whose histogram survives a checkpoint.

    The library's histogram keeps the graph of the batches before, so that a second backward fails, and
    has no bin for the largest differences.
    """

    hist_: Tensor

    def __init__(self, min_val: float = -2.0, num_bins: int = 10, **kwargs: Any) -> None:
        super().__init__(min_val=min_val, num_bins=num_bins, **kwargs)
        del self.hist_
        self.register_buffer("hist_", torch.zeros(self.num_bins + 2))

    def update_histogram(self, data: Tensor) -> None:
        """Add the differences of a batch."""
        super().update_histogram(self._in_range(data))

    def weigh_loss(self, data: Tensor) -> Tensor:
        """Weigh each difference by the share of smaller ones."""
        bins = ((self._in_range(data) - self.min_val) / self.delta).long()
        return self.hist_.cumsum(0)[bins] * data

    def _in_range(self, data: Tensor) -> Tensor:
        return data.detach().clamp(self.min_val, -self.min_val)


class HistogramLoss(losses.HistogramLoss):  # type: ignore[misc]
    """Histogram loss (Ustinova and Lempitsky 2016); equal vectors fall into its last bin, not beyond.

    The library indexes a matrix with lists, which torch deprecates.
    """

    def compute_loss(
        self, embeddings: Tensor, labels: Tensor | None, indices_tuple: Any, ref_emb: Any, ref_labels: Any
    ) -> Any:
        """Return the probability that a negative pair is nearer than a positive one, by histograms."""
        anchor, positive, negative = convert_to_triplets(
            indices_tuple, labels, ref_labels, t_per_anchor="all"
        )
        if not len(anchor):
            return self.zero_losses()
        cosines = self.distance(embeddings, ref_emb)
        density = {}
        for name, other in (("positive", positive), ("negative", negative)):
            left, right = torch.unique(torch.stack([anchor, other]).sort(dim=0).values, dim=1)
            density[name] = self.compute_density(cosines[left, right].clamp(-1, 1 - 1e-5))
        value = (density["negative"] * density["positive"].cumsum(0)).sum()
        return {"loss": {"losses": value, "indices": None, "reduction_type": "already_reduced"}}


class InstanceLoss(losses.InstanceLoss):  # type: ignore[misc]
    """Instance loss (Zheng et al. 2020): each row is classified by its cosine with one row of its class.

    The library takes row c of the batch for class c, so the first row of each class is put there.
    """

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: None = None) -> Tensor:
        """Return the mean cross entropy over all rows."""
        order, starts, _ = _group_by_class(labels)
        first = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
        first[starts] = True
        rows = torch.cat([order[first], order[~first]])
        value: Tensor = super().forward(embeddings[rows], labels[rows])
        return value


class ManifoldLoss(losses.ManifoldLoss):  # type: ignore[misc]
    """Manifold similarity with proxies of meta classes (Aziere and Todorovic 2019).

    The classes are dealt out among the ``K`` proxies in turn, instead of rows at random in every batch; of
    fewer than ``K`` classes each has a proxy of its own.
    """

    def __init__(self, l: int, num_classes: int, K: int = 50, **kwargs: Any) -> None:  # noqa: E741, N803
        super().__init__(l, K=max(2, min(K, num_classes)), **kwargs)

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: None = None) -> Tensor:
        """Return the loss of the rows with the proxies of their classes."""
        value: Tensor = super().forward(embeddings, indices_tuple=labels % self.K)
        return value


class MarginLoss(losses.MarginLoss):  # type: ignore[misc]
    """Margin loss; with ``learn_beta`` there is one for each class (Wu et al. 2017, section 4.2)."""

    def __init__(self, num_classes: int, *, learn_beta: bool = False, **kwargs: Any) -> None:
        super().__init__(num_classes=num_classes if learn_beta else None, learn_beta=learn_beta, **kwargs)


class NCALoss(losses.NCALoss):  # type: ignore[misc]
    """Neighbourhood components (Goldberger et al. 2004); the library's mean of no rows is not a number."""

    def compute_loss(
        self, embeddings: Tensor, labels: Tensor, indices_tuple: Any, ref_emb: Tensor, ref_labels: Tensor
    ) -> Any:
        """Return minus the log of the share of its class in each row's neighbours; zero without positives."""
        positive = labels[:, None] == ref_labels
        if ref_emb is embeddings:
            positive.fill_diagonal_(False)
        if not positive.any():
            return self.zero_losses()
        return super().compute_loss(embeddings, labels, indices_tuple, ref_emb, ref_labels)


class SmoothAPLoss(losses.SmoothAPLoss):  # type: ignore[misc]
    """Smooth AP (Brown et al. 2020), which takes as many rows of every class, class by class.

    Of a batch as many rows are used as equal sizes of at least 2 leave, the first of each class.
    """

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: None = None) -> Tensor:
        """Return one minus the smoothed average precision; zero where no two classes have two rows."""
        order, starts, sizes = _group_by_class(labels)
        by_size = sizes.sort(descending=True).values  # with the size of the k-th largest, k classes stay
        num_kept = by_size * torch.arange(1, len(sizes) + 1, device=sizes.device)
        num_kept = num_kept[1:].masked_fill(by_size[1:] < 2, 0)
        if not num_kept.any():
            return embeddings.new_zeros(())
        size = by_size[1:][num_kept.argmax()]
        place = torch.arange(len(order), device=order.device) - starts.repeat_interleave(sizes)
        rows = order[(place < size) & (sizes >= size).repeat_interleave(sizes)]
        value: Tensor = super().forward(embeddings[rows], labels[rows])
        return value


class TupletMarginLoss(losses.TupletMarginLoss):  # type: ignore[misc]
    """Tuplet margin (Yu and Tao 2019); of equal vectors the arc cosine has no gradient and may not exist."""

    def _compute_loss(self, pos_pairs: Any, neg_pairs: Any, indices_tuple: tuple[Tensor, ...]) -> Any:
        if len(pos_pairs):
            pos_pairs = pos_pairs.clamp(-1 + 1e-6, 1 - 1e-6)
        return super()._compute_loss(pos_pairs, neg_pairs, indices_tuple)


class VICRegLoss(losses.VICRegLoss):  # type: ignore[misc]
    """VICReg (Bardes, Ponce and LeCun 2022) of each row and the next row of its class.

    It asks for a standard deviation of 1 in every dimension, so unit vectors are scaled by sqrt(D).
    """

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: None = None) -> Tensor:
        """Return the loss of the rows that are not alone in their class; zero where there are none."""
        order, starts, sizes = _group_by_class(labels)
        starts, sizes = starts.repeat_interleave(sizes), sizes.repeat_interleave(sizes)
        following = starts + (torch.arange(len(order), device=order.device) - starts + 1) % sizes
        paired = sizes > 1
        if not paired.any():
            return embeddings.new_zeros(())
        scaled = embeddings * math.sqrt(embeddings.shape[1])
        value: Tensor = super().forward(scaled[order[paired]], ref_emb=scaled[order[following[paired]]])
        return value


class ClassWeightedReducer(reducers.ClassWeightedReducer):  # type: ignore[misc]
    """Mean with a weight for each class, from a list in the order of the classes' codes."""

    def __init__(self, weights: list[float], num_classes: int, **kwargs: Any) -> None:
        if len(weights) != num_classes:
            raise ValueError(f"it has {len(weights)} weights, and there are {num_classes} classes")
        super().__init__(weights=torch.tensor(weights, dtype=torch.float32), **kwargs)
