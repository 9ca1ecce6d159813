"""The training of the sample tower.

B = images of a batch, F = features
"""

import logging
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from examples.sample_shop.pretraining.losses import contrast_words, supervised_contrastive
from examples.sample_shop.pretraining.training_set import ATTRIBUTES, TrainingSet, batches, views_of
from recsys.config.training import AugmentConfig
from recsys.encoder.towers.small_tower import DEFAULT_SIZE, SmallTower

logger = logging.getLogger(__name__)


class Stage(NamedTuple):
    """One training run from a rising to a falling learning rate."""

    steps: int
    sizes: tuple[tuple[int, float], ...]  # side of a view, and its share of the steps
    augment: AugmentConfig
    weights: dict[str, float]  # of the terms of the loss
    learning_rate: float
    draw: int = 0  # another number, other batches


FIRST = Stage(
    steps=3200,
    sizes=((64, 0.6), (96, 0.25), (DEFAULT_SIZE, 0.15)),
    augment=AugmentConfig(
        crop_scale=(0.55, 1.0), brightness=0.25, contrast=0.25, saturation=0.2, hue=0.01, blur=0.15,
        rotate_degrees=12, erase=0.25,
    ),
    weights={"design": 1.0, "type": 0.5, "words": 0.5, "attributes": 0.2},
    learning_rate=3e-3,
)  # fmt: skip
"""Small views first: they cost a third, and most can be learnt from them."""
SECOND = Stage(
    steps=900,
    sizes=((DEFAULT_SIZE, 1.0),),
    augment=AugmentConfig(
        crop_scale=(0.8, 1.0), brightness=0.15, contrast=0.15, saturation=0.1, rotate_degrees=6
    ),
    weights={"design": 1.0, "type": 0.5, "words": 0.5, "attributes": 0.5},
    learning_rate=1.5e-3,
)
"""Views nearly as a shop shows its products, at the size that is used."""
THIRD = SECOND._replace(
    steps=1500, weights={"design": 2.0, "type": 0.5, "words": 0.25, "attributes": 0.5}, draw=1
)
"""Words and types are found by now; variants are what is left to learn."""
STAGES = {"first": FIRST, "second": SECOND, "third": THIRD}
WEIGHT_DECAY, MAX_NORM = 0.05, 1.0
_LOG_EVERY, _VALIDATE_EVERY = 50, 400


def fit(
    data: TrainingSet,
    stage: Stage,
    tower: SmallTower | None,
    *,
    seed: int,
    validate: Callable[[SmallTower], object],
) -> SmallTower:
    """Return ``tower`` trained, on the CPU, in eval mode; ``None`` begins with a random one.

    The attributes of a product are read off what is before the head by classifiers of their own, which
    teach a random tower soonest. ``validate`` is called now and then; nothing is chosen by it.
    """
    seed += stage.draw
    torch.manual_seed(seed)
    rng = np.random.default_rng((seed, 1))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if tower is None:
        tower = SmallTower(image_size=DEFAULT_SIZE, features=data.texts.shape[1])
    norm, head = tower.head
    classifiers = nn.ModuleDict(
        {name: nn.Linear(tower.model.dim, int(data.labels[name].max()) + 1) for name in ATTRIBUTES}
    )
    module = nn.ModuleDict({"tower": tower, "classifiers": classifiers})
    module.register_parameter("log_scale", nn.Parameter(torch.tensor(math.log(1 / 0.07))))
    module.to(device, memory_format=torch.channels_last)
    module.train()
    optimizer = _optimizer(module, stage.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        stage.learning_rate,
        total_steps=stage.steps,
        pct_start=0.05,
        cycle_momentum=False,
        final_div_factor=100,
    )
    sums, started = dict.fromkeys(stage.weights, 0.0), time.monotonic()
    for step, rows in enumerate(batches(data, stage.steps, seed)):
        pixels = views_of(data.images[rows], size_at(stage, step), stage.augment, rng)
        labels = {name: torch.from_numpy(values[rows]).to(device) for name, values in data.labels.items()}
        texts = torch.from_numpy(data.texts[rows]).to(device)
        pooled = norm(tower.model(pixels.to(device, memory_format=torch.channels_last)))
        vectors = functional.normalize(head(pooled), dim=1)
        losses = {
            "design": supervised_contrastive(vectors, labels["design"]),
            "type": supervised_contrastive(vectors, labels["type"]),
            "words": contrast_words(vectors, texts, labels["product"], module.log_scale),
            "attributes": torch.stack(
                [functional.cross_entropy(classifiers[name](pooled), labels[name]) for name in ATTRIBUTES]
            ).sum(),
        }
        optimizer.zero_grad(set_to_none=True)
        torch.stack([stage.weights[name] * loss for name, loss in losses.items()]).sum().backward()
        nn.utils.clip_grad_norm_(module.parameters(), MAX_NORM)
        optimizer.step()
        schedule.step()
        sums = {name: sums[name] + loss.item() for name, loss in losses.items()}
        if (step + 1) % _LOG_EVERY == 0:
            means = ", ".join(f"{name} {total / _LOG_EVERY:.3f}" for name, total in sums.items())
            seconds = time.monotonic() - started
            logger.info("step %d of %d, %.0f s: %s", step + 1, stage.steps, seconds, means)
            sums = dict.fromkeys(stage.weights, 0.0)
        if (step + 1) % _VALIDATE_EVERY == 0:
            logger.info("held-out shops: %s", validate(tower))
    return tower.cpu().eval()


def size_at(stage: Stage, step: int) -> int:
    """Return the side of the views in this step, in pixels."""
    ends = np.cumsum([share for _, share in stage.sizes])
    found = int(np.searchsorted(ends, step / stage.steps, side="right"))
    return stage.sizes[min(found, len(stage.sizes) - 1)][0]


def _optimizer(module: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    weights = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]  # biases, norms, exponent, temperature
    groups = [{"params": weights, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))
