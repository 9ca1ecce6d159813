"""The Lightning module: one batch in, the weighted sum of the terms out; rates follow the schedule.

    B = batch size, V = images in the batch, T = texts in the batch, D = dimensions of one modality

Does not know: where batches come from, when training stops, what is kept.
"""

from dataclasses import dataclass, field
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from recsys.config.training import TrainingConfig
from recsys.encoder.model import ProductEncoder
from recsys.training.data import Batch
from recsys.training.objectives.base import EncodedBatch, Objective
from recsys.training.schedule import Progress, lr_factor
from recsys.training.weights import parameter_groups

_MAX_SCALE = 100.0
"""CLIP's bound of the inverse temperature (Radford et al. 2021, section 2.5)."""
_ENTRIES = 300
"""About how many entries the history of a whole run has."""


@dataclass
class LossHistory:
    """Losses between two entries of the history, summed on the device so that nothing waits for them."""

    entries: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: dict[str, Tensor]) -> None:
        """Add one batch's values."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def close(self, step: int, progress: float, **context: float) -> None:
        """Make an entry of the means since the last one, if the run has come far enough since."""
        last = self.entries[-1]["progress"] if self.entries else -1.0
        if self.sums and (progress - last >= 1 / _ENTRIES or progress >= 1):
            means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
            self.entries.append({"step": step, "progress": progress, **context, **means})
            self.sums, self.counts = {}, {}


class FineTuning(L.LightningModule):
    """Trains an encoder on batches from :mod:`recsys.training.data`."""

    def __init__(
        self, encoder: ProductEncoder, objectives: nn.ModuleList, config: TrainingConfig, progress: Progress,
        *, pretrained: frozenset[str], still: list[nn.Module], base: ProductEncoder | None, seed: int,
    ) -> None:  # fmt: skip
        """``still`` are modules that stay in use mode; ``base`` is for terms that look back at it."""
        super().__init__()
        self.encoder, self.objectives, self.base = encoder, objectives, base
        self._config, self._progress, self._seed = config, progress, seed
        self._pretrained, self._still = pretrained, _Unregistered(still)
        self.history = LossHistory()
        self.strict_loading = False
        self._left_out = ["base."]
        if encoder.config.text.frozen:
            self._left_out.append("encoder.text_tower.")
        if encoder.config.image.frozen:
            self._left_out.append("encoder.image_tower.")
        self.num_images = 0
        """Images trained on since this process began."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Return the loss of one batch; ``None`` where no term has anything to say."""
        encoded = self.encode_batch(batch)
        self.num_images += len(batch["image_rows"])
        values: dict[str, Tensor] = {}
        total: Tensor | None = None
        with torch.autocast(self.device.type, enabled=False):
            for term in self.objectives:
                assert isinstance(term, Objective)
                value = term(encoded)
                if value is not None:
                    values[term.title] = value
                    total = term.config.weight * value + (0 if total is None else total)
        if total is not None:
            values["loss"] = total
        self.history.add(values)
        return total

    def encode_batch(self, batch: Batch) -> EncodedBatch:
        """Encode a batch."""
        image, text, has_image, has_text = encode(self.encoder, batch)
        base_image, base_text = None, None
        if self.base is not None:
            with torch.no_grad():
                base_image, base_text, *_ = encode(self.base, batch)
        return EncodedBatch(
            image=image, text=text, has_image=has_image, has_text=has_text, products=batch["products"],
            components=batch["components"], text_codes=batch["text_codes"], labels=batch["labels"],
            judged=batch["judged"],
            logit_scale=self.encoder.logit_scale.float().exp().clamp(max=_MAX_SCALE),
            base_image=base_image, base_text=base_text,
        )  # fmt: skip

    def configure_optimizers(self) -> AdamW:
        """Return AdamW over backbone, head and proxies."""
        groups = parameter_groups(self.encoder, self.objectives, self._pretrained, self._config.optimizer)
        return AdamW(groups, betas=self._config.optimizer.betas, fused=True)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make whatever draws random numbers (dropout, miners) a function of the batch's number."""
        seed = int(np.random.SeedSequence([self._seed, batch["number"]]).generate_state(1)[0])
        torch.manual_seed(seed)
        np.random.seed(seed)  # pytorch-metric-learning draws from it

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Set the rates for this step, take it, and close an entry of the history where one is due."""
        step = self.global_step + 1
        progress = self._progress.at(step)
        factor = lr_factor(progress, self._config.optimizer)
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        seconds = round(self._progress.clock.elapsed(), 3)
        self.history.close(step, progress, lr_factor=factor, seconds=seconds)

    def configure_gradient_clipping(self, optimizer: Any, *arguments: Any, **named: Any) -> None:
        """Clip by norm; Lightning's own refuses a fused optimizer under autocast, for the sake of fp16."""
        if self._config.optimizer.clip_grad_norm:
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            torch.nn.utils.clip_grad_norm_(weights, self._config.optimizer.clip_grad_norm)

    def train(self, mode: bool = True) -> "FineTuning":
        """Switch modes; what stands still and the base stay in use mode."""
        super().train(mode)
        for module in self._still.modules if mode else ():
            module.training = False
        if self.base is not None:
            self.base.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return what training changes: without frozen towers and the base, which are built anew."""
        state = super().state_dict(*args, **kwargs)
        for name in [n for n in state if n.startswith(tuple(self._left_out))]:
            del state[name]
        return state


class _Unregistered:
    """Holds modules that are registered elsewhere."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.modules = modules


def encode(encoder: ProductEncoder, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return image and text vectors ``[B, D]`` and which of them are real ``[B]``.

    A product that lacks one modality gets the other's vector, as it is embedded later.
    """
    size = (len(batch["products"]), encoder.dim)
    rows = {"image": batch["image_rows"], "text": batch["text_rows"]}
    device = encoder.mean.device
    made: dict[str, Tensor] = {}
    if len(rows["image"]):
        known = batch.get("image_features")
        made["image"] = (
            encoder.encode_image(batch["pixels"]) if known is None else encoder.project_image(known)
        )
    if len(rows["text"]):
        features = batch.get("text_features")
        made["text"] = (
            encoder.encode_text(batch["tokens"]) if features is None else encoder.project_text(features)
        )
    full, has = {}, {}
    for name, at in rows.items():
        has[name] = torch.zeros(size[0], dtype=torch.bool, device=device)
        full[name] = torch.zeros(size, device=device)
        if name in made:
            has[name][at] = True
            full[name] = full[name].index_copy(0, at, made[name])
    image = torch.where(has["image"][:, None], full["image"], full["text"])
    text = torch.where(has["text"][:, None], full["text"], full["image"])
    return image, text, has["image"], has["text"]
