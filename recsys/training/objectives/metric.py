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

Does not know: what a label level means.
"""

import inspect
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

    known: Tensor

    def __init__(self, config: ObjectiveConfig, context: ObjectiveContext, *, judged: bool = False) -> None:
        """``judged``: what was judged of two products prevails over their labels (not with proxy losses)."""
        super().__init__(config)
        if config.loss is None:
            raise ConfigError(
                "A metric objective has no loss.",
                fix='Set loss = {name = "SupConLoss"} or another of the library.',
            )
        linked = config.label == LINKS
        given = {} if config.distance is None else {"distance": made(distances, "distance", config.distance)}
        codes = list(() if linked else context.classes[config.label])
        size = context.dim * (2 if config.vector == "product" else 1)
        filled = {"num_classes": len(codes), "embedding_size": size}
        self.loss = made(losses, "loss", config.loss, given, filled)
        self.miner = None if config.miner is None else made(miners, "miner", config.miner, given)
        if linked and (self.miner is not None or any(True for _ in self.loss.parameters())):
            raise ConfigError(
                "A metric objective on links has a miner or a proxy loss, and links have no classes.",
                fix="Use a loss of pairs such as SupConLoss or MultiSimilarityLoss, without a miner.",
            )
        self.judged = judged and not any(True for _ in self.loss.parameters())
        self.register_buffer("known", torch.tensor(codes, dtype=torch.int64), persistent=False)

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the library's value on the products that have a label and the vector."""
        vectors, present = batch.vectors(self.config.vector)
        if self.config.label == LINKS:
            pairs = linked_pairs(batch, present)
            return self._value(vectors, None, pairs) if len(pairs[0]) else None
        rows = (present & (batch.labels[self.config.label] >= 0)).nonzero().flatten()
        if len(rows) < 2:
            return None
        vectors = vectors[rows]
        labels = torch.searchsorted(self.known, batch.labels[self.config.label][rows])
        mined = None if self.miner is None else self.miner(vectors, labels)
        if self.judged and batch.judged.any():
            mined = apply_judgements(batch.judged[rows][:, rows], labels, mined)
        return self._value(vectors, labels, mined)

    def _value(self, vectors: Tensor, labels: Tensor | None, mined: Any) -> Tensor | None:
        value: Tensor = self.loss(vectors, labels, mined)
        return value if value.requires_grad else None  # the library's nought: nothing to learn in this batch


def apply_judgements(judged: Tensor, labels: Tensor, mined: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
    """Return the library's pairs or triplets with those against what was ``judged`` ``[R, R]`` put right.

    ``labels`` is ``[R]``. Without a miner, judged similar are positives and judged not similar negatives,
    whatever their labels; of what a miner chose, what was judged otherwise is left out.
    """
    if mined is None:
        same = labels[:, None] == labels
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = ((same & (judged >= 0)) | (judged > 0)) & ~itself
        return *_indices(positive), *_indices(~positive & ~itself)
    if len(mined) == 3:
        kept = (judged[mined[0], mined[1]] >= 0) & (judged[mined[0], mined[2]] <= 0)
        return tuple(part[kept] for part in mined)
    right, wrong = judged[mined[0], mined[1]] >= 0, judged[mined[2], mined[3]] <= 0
    return mined[0][right], mined[1][right], mined[2][wrong], mined[3][wrong]


def linked_pairs(batch: EncodedBatch, present: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ``(anchor, positive, anchor, negative)`` indices from what was judged of the batch's products.

    Judged similar and the same product are positives; judged not similar and unrelated are negatives;
    variants nobody judged are neither. Only anchors that have a positive take part.
    """
    both = present[:, None] & present
    both.fill_diagonal_(False)
    same = batch.products[:, None] == batch.products
    components = batch.components[:, None] == batch.components
    positive = both & (same | (batch.judged > 0))
    negative = both & ~positive & (~components | (batch.judged < 0))
    anchors = (both & (batch.judged > 0)).any(dim=1, keepdim=True)
    return *_indices(positive & anchors), *_indices(negative & anchors)


def _indices(mask: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = mask.nonzero(as_tuple=True)
    return rows, columns


def made(
    library: Any,
    role: str,
    config: NamedConfig,
    given: dict[str, Any] | None = None,
    filled: dict[str, Any] | None = None,
) -> nn.Module:
    """Build a class of the library by name.

    ``given`` are objects that the config names elsewhere; ``filled`` values for arguments that the class
    requires and nobody gave. Raises :class:`ConfigError` with the known names or the accepted arguments.
    """
    cls = getattr(library, config.name, None)
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        names = [n for n, c in vars(library).items() if inspect.isclass(c) and not n.startswith("Base")]
        raise ConfigError(
            f"There is no {role} named {config.name!r}.", fix=f"Use one of {', '.join(sorted(names))}."
        )
    required = [p.name for p in _parameters(cls) if p.default is p.empty]
    params = {name: _nested(value) for name, value in config.params.items()} | (given or {})
    params |= {
        name: value for name, value in (filled or {}).items() if name in required and name not in params
    }
    try:
        built: nn.Module = cls(**params)
    except (TypeError, ValueError, AssertionError) as error:
        accepted = ", ".join(p.name for p in _parameters(cls))
        raise ConfigError(
            f"The {role} {config.name} cannot be built from {config.params}: {error}.",
            fix=f"It takes {accepted or 'no arguments of its own'}.",
        ) from error
    return built


def _parameters(cls: type) -> list[inspect.Parameter]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p for p in inspect.signature(cls).parameters.values() if p.kind in named]


def _nested(value: Any) -> Any:
    """Build a parameter that is itself an object of the library."""
    if not (isinstance(value, dict) and "name" in value):
        return value
    config = NamedConfig.model_validate(value)
    for library in (reducers, regularizers, distances):
        if hasattr(library, config.name):
            return made(library, "parameter", config)
    raise ConfigError(
        f"There is no reducer, regularizer or distance named {config.name!r}.",
        fix="Take a name from pytorch_metric_learning.reducers, regularizers or distances.",
    )
