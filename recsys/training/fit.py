"""Trains an encoder to the end of its run, from wherever an earlier attempt got: loader, module, trainer."""

import contextlib
import copy
import dataclasses
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import EarlyStopping, RichProgressBar
from numpy.typing import NDArray

from recsys.config.training import TrainingConfig
from recsys.encoder.inference import early_features, text_features
from recsys.encoder.memory import keep_freed_memory
from recsys.encoder.model import ProductEncoder
from recsys.encoder.preprocess import Preprocess
from recsys.training import objectives
from recsys.training.data import BatchDataset, BatchLoader, ImageSource, TextSource, TrainingItems
from recsys.training.image_cache import ImageCache, cache_bytes
from recsys.training.module import FineTuning
from recsys.training.objectives import KINDS, ObjectiveContext
from recsys.training.resume import METRIC, ResumeCheckpoint, ValidateEachEpoch
from recsys.training.sampler import Sampler
from recsys.training.schedule import Clock, Progress, StepPlan
from recsys.training.supervision import Int, Supervision
from recsys.training.validation import Validator
from recsys.training.weights import (
    eval_modules_of,
    pretrained_names,
    trainable_weights,
)
from recsys.workspace.arrays import create_array
from recsys.workspace.features import FeatureStore
from recsys.workspace.image_store import ImageStore

_TRIED_BATCHES = 5


@dataclass(frozen=True, kw_only=True)
class FitJob:
    """One fine-tuning."""

    config: TrainingConfig
    encoder: ProductEncoder  # changed in place: ends with the weights that are kept
    items: TrainingItems
    images: ImageStore
    supervision: Supervision
    trained: Int  # rows of the snapshot that are trained on
    validator: Validator | None
    folder: Path  # scratch folder that survives kills
    seed: int
    store: FeatureStore | None = None  # of what frozen towers say


def fit(job: FitJob) -> dict[str, Any]:
    """Train ``job.encoder`` and return the record: history, counts, speed.

    Going on after a kill gives what an unbroken run would have given, bit for bit on a CPU.
    """
    config = job.config
    if not torch.cuda.is_available():
        keep_freed_memory()
    clock = Clock(job.folder / "clock.json")
    loader = make_loader(job)
    module = make_module(job)
    plan = StepPlan.kept(job.folder / "plan.json", lambda: make_plan(job, module, loader, clock))
    epochs, rest = divmod(plan.batches, len(loader))
    steps = sum(-(-size // config.optimizer.accumulate) for size in [*[len(loader)] * epochs, rest])
    budget_s = None if config.budget_minutes is None else 60 * config.budget_minutes
    module.progress = progress = Progress(steps, clock, budget_s)
    validation = ValidateEachEpoch(job.validator, job.folder, config, progress)
    checkpoint = ResumeCheckpoint(job.folder, loader, validation, config, progress)
    callbacks: list[L.Callback] = [validation, checkpoint]
    if config.validation.patience and job.validator is not None:
        patience, min_delta = config.validation.patience, config.validation.min_delta
        callbacks.append(
            EarlyStopping(
                METRIC, mode="max", patience=patience, min_delta=min_delta, check_on_train_epoch_end=True
            )
        )
    trainer = make_trainer(config, callbacks, job.folder, steps)
    with warnings.catch_warnings(), _sums_in_order():
        warnings.filterwarnings("ignore", module="lightning.*")
        trainer.fit(module, loader, ckpt_path=checkpoint.path, weights_only=True)
    module.encoder.load_state_dict(validation.kept_weights(), strict=False)
    module.encoder.cpu().eval()
    seconds = clock.elapsed()
    return {
        "steps": trainer.global_step,
        "planned": {"steps": steps, **dataclasses.asdict(plan)},
        "epochs": validation.epochs,
        "kept_epoch": None if validation.kept is None else validation.kept["epoch"],
        "history": module.history,
        "seconds": round(seconds, 1),
        "images_per_second": round(module.num_images / seconds, 1) if seconds else None,
        "device": str(trainer.strategy.root_device),
        "stopped_early": checkpoint.stopped,
    }


@contextlib.contextmanager
def _sums_in_order() -> Iterator[None]:
    """On a CPU, add gradients up in one order: else threads race, and last bits differ from run to run."""
    before = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(before or not torch.cuda.is_available(), warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it takes time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def make_loader(job: FitJob) -> BatchLoader:
    """Return the run's batches; decodes images into the cache if that is wanted and they fit."""
    config, preprocess, items = job.config, job.encoder.preprocess, job.items
    reads = {name for term in config.terms for name in KINDS[term.kind].reads(term)}
    if "image" not in reads:
        none = np.zeros(len(items.image_starts), np.int64)
        items = dataclasses.replace(items, image_starts=none, images=none[:0], sha256=[])
    size = config.image_size or preprocess.image_size
    side = round(size * config.cache_scale)
    features = None
    if job.encoder.config.image.is_frozen and config.frozen_features and items.sha256:
        features = _early_features(job, items.sha256)
    fits = cache_bytes(len(items.sha256), side) <= config.cache_max_gb * 1e9
    cache = job.folder if config.cache_decoded and fits and features is None else None
    square = Preprocess(side, preprocess.resize_mode)
    image_cache = ImageCache(job.images, items.sha256, square, cache=cache)
    images = ImageSource(cache=image_cache, size=size, augment=config.augment, features=features)
    weights = {name: level.weight for name, level in config.labels.items()}
    sampler = Sampler(job.supervision, job.trained, items.num_images, config.sampler, job.seed, weights)
    text = _text_source(job) if "text" in reads else None
    dataset = BatchDataset(sampler, items, images, text, job.supervision, job.seed)
    num_images = int(np.maximum(items.num_images[job.trained], 1).sum())
    epoch_batches = config.epoch_steps or max(1, -(-num_images // config.sampler.batch_size))
    gpu = torch.cuda.is_available()
    workers = 0 if features is not None else _num_workers(config, image_cache, gpu)
    return BatchLoader(dataset, epoch_batches, num_workers=workers, pin_memory=gpu)


def _early_features(job: FitJob, sha256s: list[bytes]) -> NDArray[Any]:
    """Return what the image tower's early stages say of some images ``[N, E]``, memory-mapped."""
    features, start = None, 0
    for part in early_features(job.encoder, sha256s, job.images, store=job.store):
        if features is None:
            shape = (len(sha256s), part.shape[1])
            features = create_array(job.folder / "early_features.npy", part.dtype, shape)
        features[start : start + len(part)] = part
        start += len(part)
    assert features is not None
    return features


def _text_source(job: FitJob) -> TextSource:
    """Return tokens, or the features of a frozen text tower, computed once for all attempts."""
    texts, features = job.items.texts, None
    if job.encoder.config.text.is_frozen and texts:
        features = text_features(job.encoder, texts, store=job.store)
    return TextSource(tokenize=job.encoder.tokenize, texts=texts, features=features)


def _num_workers(config: TrainingConfig, images: ImageCache, gpu: bool) -> int:
    if config.num_workers is not None:
        return config.num_workers
    if gpu:
        return min(16, max(1, torch.get_num_threads()))
    return 0 if images.is_cached else 1


def make_plan(job: FitJob, module: FineTuning, loader: BatchLoader, clock: Clock) -> StepPlan:
    """Return how long the run will be: its epochs, or what fits into the rest of its budget.

    A few batches are tried on a copy of the module, so the run begins as if they had not been.
    """
    config = job.config
    assert config.max_epochs is not None, "the recipe leaves nothing open"
    if config.budget_minutes is None:
        return StepPlan(batches=config.max_epochs * len(loader))
    trial = copy.deepcopy(module).to("cuda" if torch.cuda.is_available() else "cpu")
    half, seconds = _in_half_precision(config), []
    for number in range(_TRIED_BATCHES):
        started = time.monotonic()
        batch = move_data_to_device(loader.dataset[number], trial.device)
        with torch.autocast(trial.device.type, torch.bfloat16, enabled=half):
            loss = trial.training_step(batch, number)
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call]
            loss.item()  # a GPU has finished then
        seconds.append(time.monotonic() - started)
    started = time.monotonic()
    if job.validator is not None:
        job.validator(trial.encoder)
    validation_s = time.monotonic() - started
    return StepPlan.within(
        60 * config.budget_minutes - clock.elapsed() - validation_s,
        epoch_batches=len(loader), max_epochs=config.max_epochs,
        batch_s=float(np.median(seconds[1:])), validation_s=validation_s,
    )  # fmt: skip


def make_module(job: FitJob) -> FineTuning:
    """Return the module, its terms built and checked."""
    config, encoder = job.config, job.encoder
    if not config.channels_last:
        encoder.to(memory_format=torch.contiguous_format)
    pretrained = pretrained_names(encoder)
    codes = {name: np.unique(level[job.trained]) for name, level in job.supervision.labels.items()}
    context = ObjectiveContext(
        dim=encoder.dim,
        classes={name: level[level >= 0].tolist() for name, level in codes.items()},
        trained=trainable_weights(encoder),
    )
    torch.manual_seed(job.seed)  # proxies start at random
    terms = objectives.build(config.terms, context)
    eval_modules = eval_modules_of(encoder, batch_norm=config.batch_norm)
    module = FineTuning(
        encoder, terms, config,
        pretrained=pretrained, eval_modules=eval_modules, seed=job.seed,
    )  # fmt: skip
    return module.train()


def _in_half_precision(config: TrainingConfig) -> bool:
    return config.precision == "bf16" or (config.precision == "auto" and torch.cuda.is_available())


def make_trainer(
    config: TrainingConfig, callbacks: Sequence[L.Callback], folder: Path, steps: int
) -> L.Trainer:
    """Return a quiet trainer of ``steps`` on one device; a progress bar is shown on a terminal only."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    gpu, bar = torch.cuda.is_available(), sys.stderr.isatty()
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if _in_half_precision(config) else "32-true"
    shown = [RichProgressBar(leave=False, console_kwargs={"stderr": True})] if bar else []
    return L.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        precision=precision,
        max_epochs=config.max_epochs,
        max_steps=steps,
        accumulate_grad_batches=config.optimizer.accumulate,
        callbacks=[*callbacks, *shown],
        logger=False,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
