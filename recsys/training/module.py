"""The Lightning module: encodes a batch, sums the terms of the loss, steps the optimiser by the schedule.

B = batch size, V = images in the batch, T = texts in the batch, D = dimensions of one modality
"""

import math
from collections.abc import Mapping
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from recsys.config.training import TrainingConfig
from recsys.encoder.model import ProductEncoder
from recsys.training.data import Batch
from recsys.training.objectives.base import EncodedBatch, Objective
from recsys.training.schedule import Progress, lr_factor
from recsys.training.weights import parameter_groups, trainable_weights

_MAX_SCALE = 100.0
"""CLIP's bound of the inverse temperature (Radford et al. 2021, section 2.5)."""
_NUM_ENTRIES = 300
"""About how many entries the history of a whole run has."""


class FineTuning(L.LightningModule):
    """Trains an encoder on batches from :mod:`recsys.training.data`."""

    def __init__(
        self, encoder: ProductEncoder, objectives: nn.ModuleList, config: TrainingConfig, *,
        pretrained: frozenset[str], eval_modules: list[nn.Module], seed: int,
    ) -> None:  # fmt: skip
        """``eval_modules`` stay in eval mode. :attr:`progress` must be set before training."""
        super().__init__()
        self.encoder, self.objectives = encoder, objectives
        self._config, self._seed = config, seed
        self.progress: Progress
        self._pretrained = pretrained
        self._eval_modules = eval_modules
        towers = {"text": encoder.config.text.is_frozen, "image": encoder.config.image.is_frozen}
        self._not_saved = tuple(f"encoder.{name}_tower." for name, frozen in towers.items() if frozen)
        self._trained = {f"encoder.{name}" for name in trainable_weights(encoder)}
        self.num_images = 0
        """Images trained on."""
        self.history: list[dict[str, float]] = []
        """Mean losses, learning rate and seconds, at about :data:`_NUM_ENTRIES` steps of the run."""
        self._sums: dict[str, Tensor] = {}
        """Losses since the last entry, summed on the device so that nothing waits for them."""
        self._counts: dict[str, int] = {}

    def configure_optimizers(self) -> Any:
        """Return AdamW over backbone, head and proxies, and its learning-rate schedule."""
        groups = parameter_groups(self.encoder, self.objectives, self._pretrained, self._config.optimizer)
        optimizer = AdamW(groups, betas=self._config.optimizer.betas, fused=True)
        schedule = LambdaLR(
            optimizer, lambda step: lr_factor(self.progress.at(step + 1), self._config.optimizer)
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make whatever draws random numbers (dropout, miners) a function of the batch's number."""
        seed = int(np.random.SeedSequence([self._seed, batch["number"]]).generate_state(1)[0])
        torch.manual_seed(seed)
        np.random.seed(seed)  # pytorch-metric-learning draws from it

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Return the loss of one batch; ``None`` where no term has anything to learn from it."""
        encoded = self.encode_batch(batch)
        self.num_images += len(batch["image_rows"])
        losses: dict[str, Tensor] = {}
        total: Tensor | None = None
        with torch.autocast(self.device.type, enabled=False):
            for term in self.objectives:
                assert isinstance(term, Objective)
                value = term(encoded)
                if value is not None:
                    losses[term.title] = value
                    total = term.config.weight * value + (0 if total is None else total)
        if total is not None:
            losses["loss"] = total
        for name, loss in losses.items():
            self._sums[name] = loss.detach() + (self._sums[name].to(loss.device) if name in self._sums else 0)
            self._counts[name] = self._counts.get(name, 0) + 1
        return total

    def encode_batch(self, batch: Batch) -> EncodedBatch:
        """Encode a batch."""
        image, text, has_image, has_text = encode(self.encoder, batch)
        bias = self.encoder.logit_bias
        same = {name: batch[name] for name in ("products", "components", "text_codes", "labels", "judged")}
        return EncodedBatch(
            image=image, text=text, has_image=has_image, has_text=has_text, **same,
            logit_scale=self.encoder.logit_scale.float().exp(),
            logit_bias=None if bias is None else bias.float(),
        )  # fmt: skip

    def configure_gradient_clipping(self, optimizer: Any, *arguments: Any, **named: Any) -> None:
        """Clip by norm; Lightning's own refuses a fused optimizer under autocast, for the sake of fp16."""
        if self._config.optimizer.clip_grad_norm:
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            torch.nn.utils.clip_grad_norm_(weights, self._config.optimizer.clip_grad_norm)

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Take the step, and add an entry to the history if the run has come far enough since the last."""
        super().optimizer_step(*arguments, **named)
        with torch.no_grad():  # a clamp in the loss would have no gradient beyond the bound
            self.encoder.logit_scale.clamp_(max=math.log(_MAX_SCALE))
        step = self.global_step + 1
        progress = self.progress.at(step)
        last = self.history[-1]["progress"] if self.history else -1.0
        if self._sums and (progress - last >= 1 / _NUM_ENTRIES or progress >= 1):
            means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
            factor = lr_factor(progress, self._config.optimizer)
            seconds = round(self.progress.clock.elapsed(), 3)
            self.history.append(
                {"step": step, "progress": progress, "lr_factor": factor, "seconds": seconds, **means}
            )
            self._sums, self._counts = {}, {}

    def train(self, mode: bool = True) -> "FineTuning":
        """Switch modes; frozen modules stay in eval mode."""
        super().train(mode)
        for module in self._eval_modules:
            module.training = False
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return what training changes: without frozen towers, their late stages aside."""
        state = super().state_dict(*args, **kwargs)
        for name in [n for n in state if n.startswith(self._not_saved) and n not in self._trained]:
            del state[name]
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = False, assign: bool = False
    ) -> Any:
        """Load what :meth:`state_dict` gave, whatever ``strict`` says."""
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history."""
        checkpoint["history"] = self.history, self._sums, self._counts, self.num_images

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with a checkpoint's history."""
        self.history, self._sums, self._counts, self.num_images = checkpoint["history"]


def encode(encoder: ProductEncoder, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return image and text vectors ``[B, D]`` and which products have an image and a text ``[B]``.

    A product that lacks one modality gets the other's vector, as when it is served.
    """
    image, text = None, None
    if len(batch["image_rows"]):
        early = batch.get("early_images")
        image = encoder.encode_image(batch["pixels"]) if early is None else encoder.project_image(early)
    if len(batch["text_rows"]):
        features = batch.get("text_features")
        text = encoder.encode_text(batch["tokens"]) if features is None else encoder.project_text(features)
    empty = torch.zeros(len(batch["products"]), encoder.dim, device=encoder.mean.device)
    image, has_image = _place(image, batch["image_rows"], empty)
    text, has_text = _place(text, batch["text_rows"], empty)
    full_image = torch.where(has_image[:, None], image, text)
    return full_image, torch.where(has_text[:, None], text, full_image), has_image, has_text


def _place(vectors: Tensor | None, rows: Tensor, empty: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``vectors`` at ``rows`` of ``empty`` ``[B, D]``, and which rows those are ``[B]``."""
    has = torch.zeros(len(empty), dtype=torch.bool, device=empty.device)
    if vectors is None:
        return empty, has
    has[rows] = True
    return empty.index_copy(0, rows, vectors), has
