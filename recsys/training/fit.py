"""Puts loader, module and trainer together and runs them to the end, from wherever an earlier attempt got.

Does not know: artifacts, splits.
"""

import copy
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, RichProgressBar
from numpy.typing import NDArray

from recsys.config.training import TrainingConfig
from recsys.encoder.inference import image_features, text_features
from recsys.encoder.model import ProductEncoder
from recsys.encoder.preprocess import Preprocess
from recsys.training import objectives
from recsys.training.average import Averaging
from recsys.training.data import Batches, ImageSource, Loader, Material, TextSource, without_images
from recsys.training.image_cache import ImageCache, cache_bytes
from recsys.training.memory import keep_freed_memory
from recsys.training.module import FineTuning
from recsys.training.objectives import KINDS, ObjectiveContext
from recsys.training.resume import METRIC, ResumeCheckpoint, ValidateEachEpoch
from recsys.training.sampler import Sampler
from recsys.training.schedule import Clock, Progress
from recsys.training.supervision import Supervision
from recsys.training.validation import Validator
from recsys.training.weights import eval_modules_of, freeze, pretrained_names, run_in_bf16, trainable_weights
from recsys.workspace.image_store import ImageStore

logger = logging.getLogger(__name__)

Int = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class FitJob:
    """One fine-tuning."""

    config: TrainingConfig
    encoder: ProductEncoder
    """Changed in place: ends with the kept weights."""
    material: Material
    """Of the products that are trained on, and of no others."""
    images: ImageStore
    supervision: Supervision
    trained: Int
    """Rows of the snapshot that are trained on."""
    validator: Validator | None
    folder: Path
    """Scratch folder that survives kills."""
    seed: int


def fit(job: FitJob) -> dict[str, Any]:
    """Train ``job.encoder`` and return the record: history, counts, speed.

    Going on after a kill gives what an unbroken run would have given, bit for bit on a CPU, unless the
    wall clock shaped the learning rate.
    """
    config = job.config
    if not torch.cuda.is_available():
        keep_freed_memory()
    clock = Clock(job.folder / "clock.json")
    loader = make_loader(job)
    steps = -(-len(loader) // config.optimizer.accumulate) * config.max_epochs
    progress = Progress(steps, clock, None if config.budget_minutes is None else 60 * config.budget_minutes)
    module = make_module(job, progress)
    averaging = Averaging(config.optimizer.ema_decay) if config.optimizer.ema_decay else None
    validator = job.validator
    measure = (lambda: None) if validator is None else (lambda: validator(module.encoder))
    validating = ValidateEachEpoch(measure, job.folder, config, progress, averaging)
    resumable = ResumeCheckpoint(job.folder, loader, validating, config, progress)
    callbacks: list[L.Callback] = [validating, resumable]
    if averaging is not None:
        callbacks.insert(0, averaging)  # a checkpoint holds the average that includes its last step
    if config.validation.patience and validator is not None:
        callbacks.append(_early_stopping(config))
    trainer = make_trainer(config, callbacks, job.folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        trainer.fit(module, loader, ckpt_path=resumable.path, weights_only=True)
    module.encoder.load_state_dict(validating.best_weights(), strict=False)
    module.encoder.cpu().eval()
    seconds = clock.elapsed()
    return {
        "steps": trainer.global_step,
        "epochs": validating.epochs,
        "best_epoch": None if validating.best is None else validating.best["epoch"],
        "history": module.history.entries,
        "seconds": round(seconds, 1),
        "images_per_second": round(module.num_images / seconds, 1) if seconds else None,
        "device": str(trainer.strategy.root_device),
        "stopped_early": resumable.stopped,
    }


def make_loader(job: FitJob) -> Loader:
    """Return the run's batches, decoding images into the cache if that is wanted and they fit."""
    config, preprocess = job.config, job.encoder.preprocess
    size = config.image_size or preprocess.image_size
    side = round(size * config.cache_scale)
    frozen = job.encoder.config.image.frozen and config.frozen_features
    reads = {name for term in config.terms for name in KINDS[term.kind].reads(term)}
    items, sha256 = job.material if "image" in reads else without_images(job.material)
    cached = (
        config.cache_decoded and cache_bytes(len(sha256), side) <= config.cache_max_gb * 1e9 and not frozen
    )
    roomy = Preprocess(side, preprocess.resize_mode)
    image_cache = ImageCache(job.images, sha256, roomy, cache=job.folder if cached else None)
    weights = {name: level.weight for name, level in config.labels.items()}
    sampler = Sampler(job.supervision, job.trained, items.num_views, config.sampler, job.seed, weights)
    features = _image_features(job, sha256) if frozen and sha256 else None
    images = ImageSource(cache=image_cache, size=size, augment=config.augment, features=features)
    text = _text_source(job) if "text" in reads else None
    batches = Batches(sampler, items, images, text, job.supervision, job.seed)
    views = int(np.maximum(items.num_views[job.trained], 1).sum())
    epoch_batches = config.epoch_steps or max(1, -(-views // config.sampler.batch_size))
    gpu = torch.cuda.is_available()
    workers = 0 if features is not None else _num_workers(config, image_cache, gpu)
    return Loader(batches, epoch_batches, num_workers=workers, pin_memory=gpu)


def make_module(job: FitJob, progress: Progress) -> FineTuning:
    """Return the module, its terms built and checked."""
    config, encoder = job.config, job.encoder
    frozen = freeze(encoder, config.optimizer.freeze)
    if config.optimizer.frozen_bf16 and not torch.cuda.is_available():
        run_in_bf16(frozen)
    if not config.channels_last:
        encoder.to(memory_format=torch.contiguous_format)
    pretrained = pretrained_names(encoder)
    codes = {name: np.unique(level[job.trained]) for name, level in job.supervision.labels.items()}
    context = ObjectiveContext(
        dim=encoder.dim,
        classes={name: level[level >= 0].tolist() for name, level in codes.items()},
        tuned=trainable_weights(encoder),
        pretrained=pretrained,
    )
    torch.manual_seed(job.seed)  # proxies start at random
    terms = objectives.build(config.terms, context)
    base = _frozen_copy(encoder) if any(term.needs_base for term in terms) else None
    still = eval_modules_of(encoder, frozen, batch_norm=config.batch_norm)
    module = FineTuning(
        encoder, terms, config, progress, pretrained=pretrained, still=still, base=base, seed=job.seed
    )
    return module.train()


def make_trainer(config: TrainingConfig, callbacks: Sequence[L.Callback], folder: Path) -> L.Trainer:
    """Return a quiet trainer on one device; a bar is shown on a terminal only."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    gpu = torch.cuda.is_available()
    half = config.precision == "bf16" or (config.precision == "auto" and gpu)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if half else "32-true"
    bar = sys.stderr.isatty()
    shown = [RichProgressBar(leave=False, console_kwargs={"stderr": True})] if bar else []
    return L.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        precision=precision,
        max_epochs=config.max_epochs,
        accumulate_grad_batches=config.optimizer.accumulate,
        callbacks=[*callbacks, *shown],
        logger=False,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def _early_stopping(config: TrainingConfig) -> EarlyStopping:
    return EarlyStopping(
        METRIC,
        mode="max",
        patience=config.validation.patience,
        min_delta=config.validation.min_delta,
        check_on_train_epoch_end=True,
    )


def _text_source(job: FitJob) -> TextSource:
    """Return tokens, or the features of a frozen text tower, computed once and kept for the next attempt."""
    texts = job.material.items.texts
    if not job.encoder.config.text.frozen or not texts:
        return TextSource(tokenize=job.encoder.tokenize)
    return TextSource(features=_kept(job.folder / "text.npy", lambda: text_features(job.encoder, texts)))


def _image_features(job: FitJob, sha256: list[bytes]) -> NDArray[np.float32]:
    """Return the features of a frozen image tower, of the images as they are served."""
    return _kept(job.folder / "image.npy", lambda: image_features(job.encoder, sha256, job.images))


def _kept(path: Path, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return what ``make`` gives, from ``path`` where an earlier attempt left it there."""
    if not path.exists():
        partial = path.with_suffix(".partial.npy")
        np.save(partial, make())
        partial.replace(path)
    features: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return features


def _frozen_copy(encoder: ProductEncoder) -> ProductEncoder:
    shared = {id(encoder.text_tower): encoder.text_tower} if encoder.config.text.frozen else {}
    return copy.deepcopy(encoder, shared).requires_grad_(False).eval()


def _num_workers(config: TrainingConfig, images: ImageCache, gpu: bool) -> int:
    if config.num_workers is not None:
        return config.num_workers
    cores = torch.get_num_threads()
    if gpu:
        return min(16, max(1, cores))
    return 0 if images.is_cached else 1
