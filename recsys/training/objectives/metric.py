"""Any loss of pytorch-metric-learning, with its miner and distance, by name.

    [[training.objectives]]
    kind = "metric"
    label = "category"          # a label level, product, group, or links
    vector = "image"
    loss = {name = "MultiSimilarityLoss", params = {alpha = 2, beta = 50}}
    miner = {name = "MultiSimilarityMiner", params = {epsilon = 0.1}}
    distance = {name = "CosineSimilarity"}

Sizes (``num_classes``, ``embedding_size``) are filled in. A parameter that is itself an object (a reducer, a
regularizer, the loss and the miner of a memory) is written as ``{name = ..., params = ...}``:

    loss = {name = "CrossBatchMemory", params = {memory_size = 4096, loss = {name = "ContrastiveLoss"}}}

library.py lists the classes and what each does with pairs.

    R = products of the batch that have a label and the vector
"""

import torch
from torch import Tensor

from recsys.config.training import ObjectiveConfig
from recsys.errors import ConfigError
from recsys.training.objectives.base import EncodedBatch, Objective, ObjectiveContext, register
from recsys.training.objectives.library import LOSSES, Library, Pairs
from recsys.training.supervision import LINKS


@register("metric")
class Metric(Objective):
    """A metric-learning loss on the image, text or product vectors of a batch.

    Duplicates and variants are no negatives whatever their labels, and with ``judged`` what was judged of two
    products prevails over their labels, as far as the loss goes by pairs: ``Pairs.ONLY`` in library.py.
    ``Pairs.AND_LABELS`` may still have them as negatives. ``Pairs.ROWS`` and ``Pairs.NONE`` (proxies, ranks,
    a memory) go by the labels alone, with ``judged`` or without.
    """

    classes: Tensor  # [C], codes of the classes, ascending

    def __init__(self, config: ObjectiveConfig, context: ObjectiveContext, *, judged: bool = False) -> None:
        """``judged``: what was judged of two products prevails over their labels."""
        super().__init__(config)
        if config.loss is None:
            raise ConfigError(
                "A metric objective has no loss.",
                fix='Set loss = {name = "SupConLoss"} or another of pytorch-metric-learning.',
            )
        linked = config.label == LINKS
        classes = [] if linked else list(context.classes[config.label])
        size = context.dim * (2 if config.vector == "product" else 1)
        library = Library(num_classes=len(classes), embedding_size=size)
        distance = None if config.distance is None else library.distance(config.distance)
        self.loss = library.loss(config.loss, distance)
        self.miner = None if config.miner is None else library.miner(config.miner, distance)
        self._judged, self._pairs = judged, LOSSES[config.loss.name].pairs
        if linked and (self.miner is not None or self._pairs is not Pairs.ONLY):
            raise ConfigError(
                f"A metric objective on links has a miner, or {config.loss.name}, and links have no classes.",
                fix="Use a loss of pairs such as SupConLoss or MultiSimilarityLoss, without a miner.",
            )
        if self.miner is not None and self._pairs is Pairs.NONE:
            raise ConfigError(
                f"{config.loss.name} takes no pairs, and the objective has a miner.",
                fix="Leave out the miner; CrossBatchMemory takes one of its own among its params.",
            )
        self.register_buffer("classes", torch.tensor(classes, dtype=torch.int64), persistent=False)

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the library's value on the products that have a label and the vector."""
        vectors, present = batch.vectors(self.config.vector)
        labels: Tensor | None = None
        pairs: tuple[Tensor, ...] | None
        if self.config.label == LINKS:
            pairs = linked_pairs(batch, present)
            if not len(pairs[0]):
                return None
        else:
            codes = batch.labels[self.config.label]
            rows = (present & (codes >= 0)).nonzero().flatten()
            if len(rows) < 2:
                return None
            vectors, labels = vectors[rows], torch.searchsorted(self.classes, codes[rows])
            pairs = None if self.miner is None else self.miner(vectors, labels)
            if self._pairs in (Pairs.ONLY, Pairs.AND_LABELS):
                known = (
                    batch.judged[rows][:, rows] if self._judged else torch.zeros_like(batch.judged[:1, :1])
                )
                pairs = consistent_pairs(known, batch.components[rows], labels, pairs)
        value: Tensor = self.loss(vectors, labels, pairs)
        return value if value.requires_grad else None  # the library's zero: no pair in the batch


def consistent_pairs(
    judged: Tensor, components: Tensor, labels: Tensor, mined: tuple[Tensor, ...] | None
) -> tuple[Tensor, ...] | None:
    """Return pairs or triplets of the library that agree with what is known beside the ``labels`` ``[R]``.

    What was ``judged`` (``[R, R]``, or 0 of any shape that fits) prevails over labels. Variants and
    duplicates, of equal ``components`` ``[R]``, are never negatives of each other, whatever their labels,
    unless they were judged not similar. Returns ``mined`` as it is where nothing is in its way; without a
    miner that is ``None``, and the library takes all pairs.
    """
    equal = labels[:, None] == labels
    related = (components[:, None] == components) & (judged >= 0)
    if not (judged.any() or (related & ~equal).any()):
        return mined
    judged = judged.expand_as(equal)
    if mined is None:
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = ((equal & (judged >= 0)) | (judged > 0)) & ~itself
        negative = ~positive & ~itself & ~related
        return *positive.nonzero(as_tuple=True), *negative.nonzero(as_tuple=True)
    may_attract, may_repel = judged >= 0, (judged <= 0) & ~related
    if len(mined) == 3:
        kept = may_attract[mined[0], mined[1]] & may_repel[mined[0], mined[2]]
        return tuple(part[kept] for part in mined)
    right, wrong = may_attract[mined[0], mined[1]], may_repel[mined[2], mined[3]]
    return mined[0][right], mined[1][right], mined[2][wrong], mined[3][wrong]


def linked_pairs(batch: EncodedBatch, present: Tensor) -> tuple[Tensor, ...]:
    """Return ``(anchor, positive, anchor, negative)`` indices from what was judged of the batch's products.

    Products judged similar and the same product are positives; products judged not similar and unrelated
    ones are negatives; variants that nobody judged are neither. Only anchors that have a judged positive
    take part.
    """
    both = present[:, None] & present
    both.fill_diagonal_(False)
    same = batch.products[:, None] == batch.products
    related = batch.components[:, None] == batch.components
    positive = both & (same | (batch.judged > 0))
    negative = both & ~positive & (~related | (batch.judged < 0))
    anchors = (both & (batch.judged > 0)).any(dim=1, keepdim=True)
    return *(positive & anchors).nonzero(as_tuple=True), *(negative & anchors).nonzero(as_tuple=True)
