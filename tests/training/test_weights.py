"""Which weights are trained, at which rate, and which modules stay in eval mode."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from recsys.config.encoder import EncoderConfig
from recsys.config.training import OptimizerConfig
from recsys.encoder.model import ProductEncoder, build
from recsys.training.weights import (
    eval_modules_of,
    parameter_groups,
    pretrained_names,
)

MOBILE = {"kind": "timm", "name": "mobilenetv2_035", "image_size": 32}


@pytest.fixture(scope="module")
def encoder(text_model: Path) -> Callable[..., ProductEncoder]:
    def make(image: dict[str, object] | None = None, **text: object) -> ProductEncoder:
        config = {"dim": 16, "image": image or {"image_size": 32}, "text": {"name": str(text_model), **text}}
        return build(EncoderConfig.model_validate(config), seed=0)

    return make


def test_every_trained_weight_is_in_one_group_and_only_matrices_decay(
    encoder: Callable[..., ProductEncoder],
) -> None:
    model, proxies = encoder(frozen=False), nn.Linear(4, 3)
    config = OptimizerConfig(backbone_lr=1.0, head_lr=2.0, proxy_lr=3.0, weight_decay=0.5)
    groups = parameter_groups(model, proxies, pretrained_names(model), config)
    of = {id(p): group for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(of)
    for name, weight in model.named_parameters():
        group = of[id(weight)]
        part = "backbone" if name.startswith("text_tower") else "head"
        assert group["name"] == part, (
            name
        )  # the small image tower starts from chance, so it learns like a head
        assert group["lr"] == {"backbone": 1.0, "head": 2.0, "proxy": 3.0}[part]
        assert (group["weight_decay"] > 0) == (weight.ndim > 1)
    assert all(of[id(p)]["name"] == "proxy" and of[id(p)]["weight_decay"] == 0 for p in proxies.parameters())


def test_batch_norms_of_a_frozen_kind_keep_their_statistics(encoder: Callable[..., ProductEncoder]) -> None:
    model = encoder(MOBILE)
    assert eval_modules_of(model, batch_norm="auto") == []  # random weights
    norms = eval_modules_of(model, batch_norm="freeze")
    assert norms
    assert all(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in norms)
    model.train()
    for module in norms:
        module.training = False
    before = {n: b.clone() for n, b in model.named_buffers()}
    model.encode_image(torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8)).sum().backward()
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())
