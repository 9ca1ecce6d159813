"""Which weights are trained and at which rate, which modules stay in eval mode, the moving average."""

from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from recsys.config.training import OptimizerConfig
from recsys.encoder.model import ProductEncoder
from recsys.errors import ConfigError


def freeze(encoder: ProductEncoder, names: tuple[str, ...]) -> list[nn.Module]:
    """Stop the modules and weights ``names`` from being trained; return the modules.

    Raises :class:`ConfigError` for a name that the encoder does not have.
    """
    parts: dict[str, Any] = dict(encoder.named_modules()) | dict(encoder.named_parameters())
    for name in names:
        if name not in parts:
            known = [part for part in parts if part and part.count(".") < 4]
            raise ConfigError(
                f"optimizer.freeze names {name!r}, and the encoder has no module or weight of that name.",
                fix=f"Use names such as {', '.join(known[:20])}.",
            )
        parts[name].requires_grad_(False)
    return [parts[name] for name in names if isinstance(parts[name], nn.Module)]


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


def eval_modules_of(encoder: ProductEncoder, frozen: list[nn.Module], *, batch_norm: str) -> list[nn.Module]:
    """Return the modules that stay in eval mode while the rest is trained: no dropout, no new statistics."""
    found = [module for part in frozen for module in part.modules()]
    image, text = encoder.config.image.is_pretrained, encoder.config.text.is_pretrained
    for tower, pretrained in ((encoder.image_tower, image), (encoder.text_tower, text)):
        if batch_norm == "freeze" or (batch_norm == "auto" and pretrained):
            found += [module for module in tower.modules() if isinstance(module, _BatchNorm)]
    return found


def run_in_bf16(modules: list[nn.Module]) -> None:
    """Make frozen modules compute in bf16 on the CPU while the encoder is trained; they return float32."""
    for module in modules:
        module.forward = _Bf16(module.forward)


class _Bf16:
    def __init__(self, forward: Any) -> None:
        self._forward = forward

    def __call__(self, *inputs: Any) -> Any:
        if inputs and inputs[0].device.type == "cpu":
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                return self._forward(*inputs).float()
        return self._forward(*inputs)


class EmaWeights(WeightAveraging):
    """Lightning's average of the weights, with an exponential moving average that follows faster early on.

    The decay at step t is min(decay, (1 + t) / (10 + t)), so that a short run is not held at its beginning.
    Integer buffers are copied: :class:`~lightning.pytorch.callbacks.EMAWeightAveraging` would average and
    truncate them.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Any, current: Any, num_averaged: Tensor) -> None:
            """Update the tensors of one dtype in place."""
            step = int(num_averaged) + 1
            if averaged[0].is_floating_point():
                torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + step) / (10 + step)))
            else:
                torch._foreach_copy_(averaged, current)

        device = "cuda" if torch.cuda.is_available() else "cpu"
        super().__init__(device=device, use_buffers=True, multi_avg_fn=average)
