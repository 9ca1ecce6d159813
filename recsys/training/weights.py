"""Which weights are trained, at which rate, and which modules stay in eval mode."""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from recsys.config.training import OptimizerConfig
from recsys.encoder.model import ProductEncoder


def pretrained_names(encoder: ProductEncoder) -> frozenset[str]:
    """Return the names of the tower weights that are pretrained rather than random."""
    image, text = encoder.config.image, encoder.config.text
    known = {"image_tower.": image.is_pretrained, "text_tower.": text.is_pretrained}
    prefixes = tuple(prefix for prefix, pretrained in known.items() if pretrained)
    return frozenset(name for name, _ in encoder.named_parameters() if name.startswith(prefixes))


def trainable_weights(encoder: nn.Module) -> dict[str, nn.Parameter]:
    """Return name → weight of everything in ``encoder`` that is trained."""
    return {name: weight for name, weight in encoder.named_parameters() if weight.requires_grad}


def parameter_groups(
    encoder: ProductEncoder, objectives: nn.Module, pretrained: frozenset[str], config: OptimizerConfig
) -> list[dict[str, Any]]:
    """Return AdamW's parameter groups: backbone, head and proxies, each with and without decay.

    Weight decay is for matrices and kernels alone: not for biases, norms and temperatures (one dimension
    or none), nor for proxies. ``lr`` of a group is its peak, which the schedule scales.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, weight in trainable_weights(encoder).items():
        part = "backbone" if name in pretrained else "head"
        groups.setdefault((part, weight.ndim > 1), []).append(weight)
    for weight in objectives.parameters():
        groups.setdefault(("proxy", False), []).append(weight)
    assert config.backbone_lr is not None, "the recipe leaves nothing open"
    rates = {"backbone": config.backbone_lr, "head": config.head_lr, "proxy": config.proxy_lr}
    return [
        {
            "params": params,
            "name": part,
            "lr": rates[part],
            "weight_decay": config.weight_decay * decayed,
        }
        for (part, decayed), params in sorted(groups.items(), key=lambda item: item[0])
    ]


def eval_modules_of(encoder: ProductEncoder, *, batch_norm: str) -> list[nn.Module]:
    """Return the modules that stay in eval mode while the rest is trained: no dropout, no new statistics."""
    found: list[nn.Module] = []
    image, text = encoder.config.image.is_pretrained, encoder.config.text.is_pretrained
    for tower, pretrained in ((encoder.image_tower, image), (encoder.text_tower, text)):
        if batch_norm == "freeze" or (batch_norm == "auto" and pretrained):
            found += [module for module in tower.modules() if isinstance(module, _BatchNorm)]
    return found
