"""Which weights are trained, at which rate, and which modules stay in eval mode."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from recsys.config.encoder import EncoderConfig
from recsys.config.training import OptimizerConfig
from recsys.encoder.model import ProductEncoder, build
from recsys.errors import ConfigError
from recsys.training.weights import (
    eval_modules_of,
    freeze,
    parameter_groups,
    pretrained_names,
    run_in_bf16,
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


def test_frozen_parts_get_no_gradient_and_no_statistics(encoder: Callable[..., ProductEncoder]) -> None:
    model = encoder(MOBILE)
    frozen = freeze(
        model, ("image_tower.model.conv_stem", "image_tower.model.bn1", "image_tower.model.blocks.0")
    )
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(
        n.startswith(("image_tower.model.conv_stem", "image_tower.model.blocks.0.")) for n in learning
    )
    assert any(n.startswith("image_tower.model.blocks.1") for n in learning)
    still = eval_modules_of(model, frozen, batch_norm="train")
    model.train()
    for module in still:
        module.training = False
    before = {n: b.clone() for n, b in model.named_buffers()}
    model.encode_image(torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8)).sum().backward()
    moved = {n for n, b in model.named_buffers() if not torch.equal(b, before[n])}
    assert not any(n.startswith(("image_tower.model.bn1", "image_tower.model.blocks.0.")) for n in moved)
    assert any(n.startswith("image_tower.model.blocks.1") for n in moved)
    norms = eval_modules_of(model, [], batch_norm="freeze")
    assert norms
    assert all(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in norms)


def test_a_prefix_is_a_whole_name(encoder: Callable[..., ProductEncoder]) -> None:
    with pytest.raises(ConfigError, match="no module or weight of that name"):
        freeze(encoder(), ("image_tower.model.stag",))


def test_frozen_parts_in_bf16_give_nearly_the_same(encoder: Callable[..., ProductEncoder]) -> None:
    model = encoder(MOBILE)
    pixels = torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8)
    exact = model.encode_image(pixels)
    saved = dict(model.state_dict())
    run_in_bf16(freeze(model, ("image_tower.model.conv_stem", "image_tower.model.blocks.0")))
    rounded = model.encode_image(pixels)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert (rounded * exact).sum(1).min() > 0.99
    rounded.sum().backward()
    assert model.get_parameter("image_tower.model.blocks.2.0.conv_pw.weight").grad is not None
    assert all(torch.equal(saved[n], t) for n, t in model.state_dict().items())
