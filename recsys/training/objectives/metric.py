"""Any loss of pytorch-metric-learning, with its miner and distance, by name.

    [[training.objectives]]
    kind = "metric"
    label = "category"          # a label level, product, group, or links
    vector = "image"
    loss = {name = "MultiSimilarityLoss", params = {alpha = 2, beta = 50}}
    miner = {name = "MultiSimilarityMiner", params = {epsilon = 0.1}}
    distance = {name = "CosineSimilarity"}

``num_classes`` and ``embedding_size`` of proxy losses are filled in. A parameter that is itself an object
(reducer, regularizer) is written as ``{name = ..., params = ...}``.

    R = products of the batch that have a label and the vector
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers
from torch import Tensor, nn

from recsys.config.training import NamedConfig, ObjectiveConfig
from recsys.errors import ConfigError
from recsys.training.objectives.base import EncodedBatch, Objective, ObjectiveContext, register
from recsys.training.supervision import LINKS


@register("metric")
class Metric(Objective):
    """A metric-learning loss on the image, text or product vectors of a batch."""

    classes: Tensor  # [C], codes of the classes, ascending

    def __init__(self, config: ObjectiveConfig, context: ObjectiveContext, *, judged: bool = False) -> None:
        """``judged``: what was judged of two products prevails over their labels.

        Neither this nor that duplicates are no negatives holds for a loss of proxies: it sees no pairs.
        """
        super().__init__(config)
        if config.loss is None:
            raise ConfigError(
                "A metric objective has no loss.",
                fix='Set loss = {name = "SupConLoss"} or another of pytorch-metric-learning.',
            )
        linked = config.label == LINKS
        classes = [] if linked else list(context.classes[config.label])
        size = context.dim * (2 if config.vector == "product" else 1)
        shared = {}
        if config.distance is not None:
            shared = {"distance": build_named(vars(distances), "distance", config.distance)}
        filled = {"num_classes": len(classes), "embedding_size": size}
        self.loss = build_named(vars(losses), "loss", config.loss, shared, filled)
        self.miner = (
            None if config.miner is None else build_named(vars(miners), "miner", config.miner, shared)
        )
        has_proxies = any(True for _ in self.loss.parameters())
        if linked and (self.miner is not None or has_proxies):
            raise ConfigError(
                "A metric objective on links has a miner or a proxy loss, and links have no classes.",
                fix="Use a loss of pairs such as SupConLoss or MultiSimilarityLoss, without a miner.",
            )
        self._judged, self._has_proxies = judged, has_proxies
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
            if not self._has_proxies:
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


def build_named(
    library: Mapping[str, Any],
    role: str,
    config: NamedConfig,
    shared: dict[str, Any] | None = None,
    filled: dict[str, Any] | None = None,
) -> nn.Module:
    """Build a class of the ``library`` (name → class) by name.

    ``shared`` are arguments that the config gives elsewhere; ``filled`` are values of arguments that the
    class requires and the config leaves out. Raises :class:`ConfigError` with the known names or the
    accepted arguments.
    """
    cls = library.get(config.name)
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        names = [n for n, c in library.items() if inspect.isclass(c) and not n.startswith("Base")]
        raise ConfigError(
            f"There is no {role} named {config.name!r}.", fix=f"Use one of {', '.join(sorted(names))}."
        )
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    accepted = [p for p in inspect.signature(cls).parameters.values() if p.kind not in variadic]
    required = {p.name for p in accepted if p.default is p.empty}
    params = {name: value for name, value in (filled or {}).items() if name in required}
    params |= {name: _nested(value) for name, value in config.params.items()} | (shared or {})
    try:
        built: nn.Module = cls(**params)
    except (TypeError, ValueError, AssertionError) as error:
        names = [p.name for p in accepted]
        raise ConfigError(
            f"The {role} {config.name} cannot be built from {config.params}: {error}.",
            fix=f"It takes {', '.join(names) or 'no arguments of its own'}.",
        ) from error
    return built


def _nested(value: Any) -> Any:
    """Build a parameter that is itself an object of the library."""
    if not (isinstance(value, dict) and "name" in value):
        return value
    library = vars(reducers) | vars(regularizers) | vars(distances)
    return build_named(library, "reducer, regularizer or distance", NamedConfig.model_validate(value))
