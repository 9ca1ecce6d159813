"""Which weights are trained, at which rate, and which modules stand still.

Does not know: losses, batches.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from recsys.config.training import OptimizerConfig
from recsys.encoder.model import ProductEncoder
from recsys.errors import ConfigError

_TOWERS = ("image_tower.", "text_tower.")
_TEMPERATURE = ("logit_scale", "logit_bias")


def freeze(encoder: ProductEncoder, prefixes: tuple[str, ...]) -> list[nn.Module]:
    """Stop the weights under ``prefixes`` from being trained; return the modules that are frozen whole.

    Raises :class:`ConfigError` for a prefix that names nothing.
    """
    names = [name for name, _ in encoder.named_parameters()]
    for prefix in prefixes:
        if not any(_under(name, prefix) for name in names):
            parts = sorted({".".join(name.split(".")[:4]) for name in names})
            raise ConfigError(
                f"optimizer.freeze names {prefix!r}, and no weight of the encoder begins so.",
                fix=f"Use beginnings such as {', '.join(parts[:12])}.",
            )
    for name, weight in encoder.named_parameters():
        if any(_under(name, prefix) for prefix in prefixes):
            weight.requires_grad_(False)
    return [module for name, module in encoder.named_modules() if name in prefixes]


def pretrained_names(encoder: ProductEncoder) -> frozenset[str]:
    """Return the names of the tower weights that came from somewhere rather than from chance."""
    image, text = encoder.config.image, encoder.config.text
    known = {
        "image_tower.": bool(image.pretrained or image.weights) or ":" in image.name,
        "text_tower.": text.kind == "sentence_transformers"
        or bool(text.pretrained or text.weights)
        or ":" in text.name,
    }
    return frozenset(
        n for n, _ in encoder.named_parameters() if any(known[t] for t in _TOWERS if n.startswith(t))
    )


def trainable_weights(encoder: nn.Module) -> dict[str, nn.Parameter]:
    """Return name → weight of everything in ``encoder`` that is trained."""
    return {name: weight for name, weight in encoder.named_parameters() if weight.requires_grad}


def parameter_groups(
    encoder: ProductEncoder, objectives: nn.Module, pretrained: frozenset[str], config: OptimizerConfig
) -> list[dict[str, Any]]:
    """Return AdamW's parameter groups: backbone, head and proxies, each with and without decay.

    Weight decay is for matrices and kernels alone: not for biases and norms (one dimension), nor for
    temperatures and proxies. ``peak_lr`` of a group is what the schedule scales.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, weight in trainable_weights(encoder).items():
        part = "proxy" if name in _TEMPERATURE else "backbone" if name in pretrained else "head"
        groups.setdefault((part, weight.ndim > 1 and part != "proxy"), []).append(weight)
    for weight in objectives.parameters():
        groups.setdefault(("proxy", False), []).append(weight)
    rates = {"backbone": config.backbone_lr, "head": config.head_lr, "proxy": config.proxy_lr}
    return [
        {
            "params": params,
            "name": part,
            "lr": rates[part],
            "peak_lr": rates[part],
            "weight_decay": config.weight_decay * decayed,
        }
        for (part, decayed), params in sorted(groups.items(), key=lambda item: item[0])
    ]


def eval_modules_of(encoder: ProductEncoder, frozen: list[nn.Module], *, batch_norm: str) -> list[nn.Module]:
    """Return the modules that stay in use mode while the rest is trained: no dropout, no new statistics."""
    still = [module for part in frozen for module in part.modules()]
    if batch_norm == "freeze":
        still += [module for module in encoder.modules() if isinstance(module, _BatchNorm)]
    return still


def run_in_bf16(modules: list[nn.Module]) -> None:
    """Make frozen modules compute in bf16 on the CPU while the encoder is trained; float32 comes out."""
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


def floating_state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the trained weights and the floating-point buffers of ``module``, by name."""
    yield from trainable_weights(module).items()
    persistent = module.state_dict(keep_vars=True)
    for name, buffer in module.named_buffers():
        if name in persistent and buffer.is_floating_point():
            yield name, buffer


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")
