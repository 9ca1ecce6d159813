"""What every term of the loss is given, and how to add one.

A new kind of term is one class:

    @register("uniformity")
    class Uniformity(Objective):
        def __init__(self, config: ObjectiveConfig, context: ObjectiveContext, *, t: float = 2.0) -> None:
            super().__init__(config)
            self.t = t

        def forward(self, batch: EncodedBatch) -> Tensor | None:
            vectors, has = batch.vectors(self.config.vector)
            if has.sum() < 2:
                return None  # nothing to learn from
            return torch.pdist(vectors[has]).square().mul(-self.t).exp().mean().log()

and its module named in objectives/__init__.py. ``[[training.objectives]] kind = "uniformity"`` with
``params = {t = 2.0}`` then uses it; its keyword arguments are what ``params`` may hold. Parameters of the
class (proxies) are trained with ``optimizer.proxy_lr`` and survive a kill.

    B = batch size, D = dimensions of one modality
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from recsys.config.training import ObjectiveConfig
from recsys.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EncodedBatch:
    """One batch as the encoder sees it; float32 whatever the autocast."""

    image: Tensor  # [B, D] unit; the text's vector where there is no image
    text: Tensor  # [B, D] unit; the image's vector where there is no text
    has_image: Tensor  # [B] bool
    has_text: Tensor  # [B] bool
    products: Tensor  # [B] int64, the product; one product may come several times
    components: Tensor  # [B] int64, duplicate-and-variant component
    text_codes: Tensor  # [B] int64, equal for equal texts, -1 without text
    labels: Mapping[str, Tensor]  # level -> [B] int64, -1 where the product has no label
    judged: Tensor  # [B, B] signed weight of what was judged of two products, 0 where nothing was
    logit_scale: Tensor  # scalar, factor of cosines between image and text
    logit_bias: Tensor | None = None  # scalar, added to them in the sigmoid loss

    def vectors(self, which: str) -> tuple[Tensor, Tensor]:
        """Return the vectors ``[B, D]`` (``product``: ``[B, 2 * D]``) and which rows have them ``[B]``."""
        has = {"image": self.has_image, "text": self.has_text, "product": self.has_image | self.has_text}
        return _select(which, self.image, self.text), has[which]


def _select(which: str, image: Tensor, text: Tensor) -> Tensor:
    """Return one of the two, or the product vector ``[image, text] / sqrt(2)``, ``[B, 2 * D]``, unit norm."""
    if which == "product":
        return torch.cat([image, text], dim=1) * math.sqrt(0.5)
    return image if which == "image" else text


@dataclass(frozen=True, kw_only=True)
class ObjectiveContext:
    """What a term may need to know before the first batch."""

    dim: int  # D
    classes: Mapping[str, Sequence[int]]  # label level -> codes among the training products, ascending
    trained: Mapping[str, nn.Parameter]  # name -> weight of the encoder, those that are trained


class Objective(nn.Module):
    """One term of the loss."""

    def __init__(self, config: ObjectiveConfig) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def reads(cls, config: ObjectiveConfig) -> set[str]:
        """Return which of ``image`` and ``text`` the term needs encoded."""
        return {"image", "text"} if config.vector == "product" else {config.vector}

    @property
    def title(self) -> str:
        """Short name in logs and reports, such as ``metric:SupConLoss:category:image``."""
        config = self.config
        parts = [config.loss.name, config.label, config.vector] if config.loss else []
        return ":".join([config.kind, *parts])

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the term's value (scalar, without its weight); ``None`` where the batch has none."""
        raise NotImplementedError


Kind = TypeVar("Kind", bound=type[Objective])
KINDS: dict[str, type[Objective]] = {}


def register(kind: str) -> Callable[[Kind], Kind]:
    """Make a class known as ``kind``."""

    def add(cls: Kind) -> Kind:
        KINDS[kind] = cls
        return cls

    return add


def check_kind(config: ObjectiveConfig) -> None:
    """Raise :class:`ConfigError` for an unknown kind or for params that it does not take."""
    cls = KINDS.get(config.kind)
    if cls is None:
        raise ConfigError(
            f"training.objectives has kind = {config.kind!r}, which is not registered.",
            fix=f"Use one of {', '.join(sorted(KINDS))}.",
        )
    known = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
    unknown = sorted(set(config.params) - set(known))
    if unknown:
        raise ConfigError(
            f"The {config.kind} objective takes no {', '.join(unknown)}.",
            fix=f"Its params are {', '.join(known) or 'none'}.",
        )


def build(configs: Sequence[ObjectiveConfig], context: ObjectiveContext) -> nn.ModuleList:
    """Make the terms; raises :class:`ConfigError` for an unknown kind or wrong params."""
    for config in configs:
        check_kind(config)
    kinds: list[Callable[..., Objective]] = [KINDS[config.kind] for config in configs]
    return nn.ModuleList(make(c, context, **c.params) for make, c in zip(kinds, configs, strict=True))
