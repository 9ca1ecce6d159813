"""How far from the base an encoder may go before it forgets classes that it was never trained on.

A shop gets new kinds of products, and no score of the kinds it has says what training does to them. So a
second, shorter training leaves some classes out, and every step on the way from the base (WiSE-FT) is scored
on them: its own images among the images of all of them, its own texts among the texts. The furthest step that
is as good there as the best one, within a standard error over classes, is the furthest that may serve.

    N = products of the snapshot, C = classes left out
"""

import copy
import dataclasses
import hashlib
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.config.training import BUILT_IN_LABELS, TrainingConfig
from recsys.encoder.inference import embed_all
from recsys.encoder.model import ProductEncoder, interpolate
from recsys.training.fit import FitJob, fit
from recsys.training.recipe import Choice
from recsys.training.supervision import Int, LabelledPairs
from recsys.training.validation import retrieval_score
from recsys.workspace.snapshot import Snapshot

STEPS = (0.25, 0.5, 0.75, 1.0)
HALFWAY = 0.5
"""What may serve where too few classes are known to leave some out."""
MIN_CLASSES = 5
"""Fewer classes left out, or left to train on, say nothing."""
_MAX_PRODUCTS = 2000

Scores = dict[str, dict[float, NDArray[np.float64]]]
"""Vector → step from the base → MAP@R of each class left out ``[C]``; NaN: nothing to find by this vector."""


class HowFar(NamedTuple):
    """What may serve between the base (0) and the fine-tuned encoder (1)."""

    alphas: tuple[float, ...]
    choice: Choice
    record: dict[str, Any] | None
    """Where classes were left out: ``label``, ``num_classes``, ``num_products`` and the mean ``scores`` by
    vector and step."""


def how_far(job: FitJob, snapshot: Snapshot) -> HowFar:
    """Return how far from the base, ``job.encoder``, the job may lead; trains a copy, half as long."""
    towers = (job.encoder.config.image, job.items.sha256), (job.encoder.config.text, job.items.texts)
    if any(read and not (tower.is_pretrained or tower.is_frozen) for tower, read in towers):
        return _answer((1.0,), "a tower starts at random: there is nothing to go back to.")
    label = next((name for name in job.supervision.labels if name not in BUILT_IN_LABELS), "group")
    codes = job.supervision.labels[label]
    classes = leave_out(codes[job.trained], job.config.unseen_share)
    if not len(classes):
        why = "no classes were left out of a shorter training to find out more."
        if job.config.unseen_share:
            why = f"there are too few classes of {label} to leave some out and find out more."
        return _answer(_up_to(HALFWAY), why)
    is_left_out = np.isin(codes, classes)
    tuned = fit_without(job, is_left_out)
    rows = np.sort(_shuffled(job.trained[is_left_out[job.trained]])[:_MAX_PRODUCTS])
    columns = tuple(dict.fromkeys(job.encoder.content.columns))
    products = snapshot.table(columns).take(pa.array(rows)).to_pylist()
    scores: Scores = {"image": {}, "text": {}}
    for alpha in (0.0, *STEPS):
        encoder = interpolate(job.encoder, tuned, alpha)
        found = embed_all(encoder, products, job.images, store=job.store)
        vectors = {"image": (found.image, found.has_image), "text": (found.text, found.has_text)}
        for name, (values, has) in vectors.items():
            scores[name][alpha] = by_class(values[has], codes[rows[has]], classes)
    limit = choose(scores)
    means = {
        name: {f"{alpha:g}": round(float(np.nanmean(values)), 4) for alpha, values in steps.items()}
        for name, steps in scores.items()
        if np.isfinite(steps[0.0]).any()
    }
    record = {"label": label, "num_classes": len(classes), "num_products": len(rows), "scores": means}
    told = "; ".join(
        f"{name}s find their class with MAP@R "
        + ", ".join(f"{by[f'{alpha:g}']:.3f} at {alpha:g}" for alpha in (0.0, *STEPS))
        for name, by in means.items()
    )
    why = f"a shorter training left out {len(classes)} classes of {label}; there {told}."
    return _answer(_up_to(limit), why, record)


def leave_out(codes: Int, share: float) -> Int:
    """Return the classes to leave out, a ``share`` of those with two products; none where they are too few.

    ``codes`` has the class of every training product, -1 without one.
    """
    known, sizes = np.unique(codes[codes >= 0], return_counts=True)
    classes = known[sizes > 1]
    number = max(MIN_CLASSES, round(share * len(classes)))
    if share == 0 or number + MIN_CLASSES > len(classes):
        return known[:0]
    return np.sort(_shuffled(classes)[:number])


def _shuffled(values: Int) -> Int:
    """Return the values in an order that is always the same."""
    return np.array(sorted(values.tolist(), key=lambda v: hashlib.sha256(str(v).encode()).digest()), np.int64)


def fit_without(job: FitJob, is_left_out: NDArray[np.bool_]) -> ProductEncoder:
    """Return what half the training makes of a copy of ``job.encoder`` without some products ``[N]``."""
    left, right, weight = job.supervision.pairs
    kept = ~(is_left_out[left] | is_left_out[right])
    pairs = LabelledPairs(left[kept], right[kept], weight[kept])
    shorter = dataclasses.replace(
        job,
        config=_half(job.config),
        encoder=copy.deepcopy(job.encoder),
        supervision=dataclasses.replace(job.supervision, pairs=pairs),
        trained=job.trained[~is_left_out[job.trained]],
        validator=None,
        folder=job.folder / "unseen_classes",
    )
    shorter.folder.mkdir(parents=True, exist_ok=True)
    fit(shorter)
    return shorter.encoder


def _half(config: TrainingConfig) -> TrainingConfig:
    shorter = "epoch_steps" if config.epoch_steps else "max_epochs"
    return config.model_copy(update={shorter: -(-getattr(config, shorter) // 2)})


def by_class(vectors: NDArray[np.float32], codes: Int, classes: Int) -> NDArray[np.float64]:
    """Return the MAP@R of each class's products among all ``[C]``; NaN where a class has nothing to find."""
    scores = np.full(len(classes), np.nan)
    for place, code in enumerate(classes.tolist()):
        own = np.flatnonzero(codes == code)
        found = retrieval_score(vectors[own], vectors, codes[own], codes, own=own, metric="map_at_r")
        scores[place] = np.nan if found is None else found
    return scores


def choose(scores: Scores) -> float:
    """Return the furthest step that every vector's classes bear; the first one where none does.

    A step bears comparison if its classes lose no more to the best step, the base included, than one
    standard error of that difference.
    """
    limits = []
    for steps in scores.values():
        known = np.isfinite(steps[0.0])
        if known.sum() < MIN_CLASSES:
            continue
        best = max(steps, key=lambda alpha: float(steps[alpha][known].mean()))
        borne = [STEPS[0]]
        for alpha in STEPS:
            loss = steps[best][known] - steps[alpha][known]
            if loss.mean() <= loss.std(ddof=1) / np.sqrt(len(loss)):
                borne.append(alpha)
        limits.append(max(borne))
    return min(limits, default=HALFWAY)


def _up_to(limit: float) -> tuple[float, ...]:
    return tuple(alpha for alpha in STEPS if alpha <= limit)


def _answer(alphas: tuple[float, ...], why: str, record: dict[str, Any] | None = None) -> HowFar:
    return HowFar(
        alphas, Choice("evaluation.wise_ft_alphas", ", ".join(f"{a:g}" for a in alphas), why), record
    )
