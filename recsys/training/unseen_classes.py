"""How far from the base an encoder may go, and has to: asked of classes that it was never trained on.

A shop gets new kinds of products, and no score of the kinds it has says what training does to them. So a
second, shorter training leaves some classes out, and every step on the way from the base (WiSE-FT) is scored
on them: its own images among the images of all of them, its own texts among the texts. Where they are few, a
third training leaves out others, and each class counts once (cross-validation). What may serve lies
between the nearest step that is as good there as the best one, within a standard error over classes, and the
furthest before these classes begin to lose: in doubt the nearer one, because few classes leave much doubt,
and the whole training goes further than the shorter one. Images and texts have bounds of their own, except
where both towers are of one space. Validation products choose among these; alone, a few of them hardly tell
one step from another.

    N = products of the snapshot, C = classes left out
"""

import copy
import dataclasses
import hashlib
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.config.training import BUILT_IN_LABELS, TrainingConfig
from recsys.encoder.inference import embed_all
from recsys.encoder.model import ProductEncoder, interpolate
from recsys.encoder.template import GIVEN_AWAY, names_label
from recsys.training.fit import FitJob, fit
from recsys.training.recipe import Choice
from recsys.training.supervision import Int, LabelledPairs
from recsys.training.validation import retrieval_score
from recsys.workspace.columns import read_column
from recsys.workspace.snapshot import Snapshot

STEPS = (0.25, 0.5, 0.75, 1.0)
HALFWAY = 0.5
"""What may serve where too few classes are known to leave some out."""
MIN_CLASSES = 5
"""Fewer classes left out, or left to train on, say nothing."""
_ENOUGH_CLASSES = 100
"""Fewer classes left out leave a doubt that is worth another training."""
_MAX_PRODUCTS = 2000
_TOLERANCE = 0.005
"""A loss of MAP@R that counts as none, however certain: as in the gate, by default."""

Bounds = dict[str, tuple[float, float]]
"""``image`` and ``text`` → the nearest and the furthest step that may serve."""
Scores = dict[str, dict[float, NDArray[np.float64]]]
"""Vector → step from the base → MAP@R of each class left out ``[C]``; NaN: nothing to find by this vector."""


class LeftOut(NamedTuple):
    """Classes that a training leaves out."""

    codes: Int  # [N], -1 without a class
    classes: Int  # [C]
    rows: Int  # some of their products


class HowFar(NamedTuple):
    """What may serve between the base (0) and the fine-tuned encoder (1)."""

    alphas: tuple[float, ...]
    bounds: Bounds
    """Where a step of ``alphas`` is nearer or further, what reads this vector stays within."""
    base_is_behind: bool
    """Whether the base itself is worse than the best step by more than a standard error."""
    choice: Choice
    record: dict[str, Any] | None
    """Where classes were left out: ``label``, ``num_trainings``, ``num_classes``, ``num_products`` and the
    mean ``scores`` by vector and step."""


def how_far(job: FitJob, snapshot: Snapshot) -> HowFar:
    """Return how far from the base, ``job.encoder``, the job may lead; trains a copy or two, half as long."""
    towers = (job.encoder.config.image, job.items.sha256), (job.encoder.config.text, job.items.texts)
    if any(read and not (tower.is_pretrained or tower.is_frozen) for tower, read in towers):
        why = "a tower starts at random: there is nothing to go back to."
        return HowFar((1.0,), {}, False, _choice((1.0,), why), None)
    parts = left_out(job, job.config.unseen_share)
    if not parts:
        why = "no classes were left out of a shorter training to find out more."
        if job.config.unseen_share:
            why = f"there are too few classes of {_label(job)} to leave some out and find out more."
        alphas = _between(0.0, HALFWAY)
        return HowFar(alphas, {}, False, _choice(alphas, why), None)
    if len(parts[0].classes) >= _ENOUGH_CLASSES:
        parts = parts[:1]
    found = []
    for number, left in enumerate(parts):
        shorter = leaving_out(job, left, number)
        fit(dataclasses.replace(shorter, config=_half(job.config)))
        found.append(step_scores(job, shorter.encoder, snapshot, left))
    scores = {
        vector: {alpha: np.concatenate([one[vector][alpha] for one in found]) for alpha in steps}
        for vector, steps in found[0].items()
    }
    bounds = choose(scores, {"text"} if _texts_name_classes(job, snapshot, parts) else set())
    if job.encoder.config.is_paired:
        bounds = together(bounds)
    nearest, furthest = (max(ends) for ends in zip(*bounds.values(), strict=True))
    means = {
        name: {f"{alpha:g}": round(float(np.nanmean(values)), 4) for alpha, values in steps.items()}
        for name, steps in scores.items()
        if np.isfinite(steps[0.0]).any()
    }
    record = {
        "label": _label(job),
        "num_trainings": len(parts),
        "num_classes": sum(len(left.classes) for left in parts),
        "num_products": sum(len(left.rows) for left in parts),
        "scores": means,
    }
    alphas = _between(min(start for start, _ in bounds.values()), furthest)
    return HowFar(alphas, bounds, nearest > 0, _choice(alphas, _because(record, bounds)), record)


def _because(record: dict[str, Any], bounds: Bounds) -> str:
    """Return in words what was found of classes left out, and what follows."""
    which = (
        "a shorter training" if record["num_trainings"] == 1 else "two shorter trainings, each half of them,"
    )
    told = "; ".join(
        f"{name}s find their class with MAP@R "
        + ", ".join(f"{by[f'{alpha:g}']:.3f} at {alpha:g}" for alpha in (0.0, *STEPS))
        for name, by in record["scores"].items()
    )
    follows = ""
    if any(start > 0 for start, _ in bounds.values()):
        follows = "; the base is behind and does not challenge"
    elif all(end == 0 for _, end in bounds.values()):
        follows = "; they bear no step from the base"
    if len({end for _, end in bounds.values()}) > 1:
        follows += "; " + ", ".join(f"{name}s go as far as {end:g}" for name, (_, end) in bounds.items())
    return f"{which} left out {record['num_classes']} classes of {record['label']}; there {told}{follows}."


def left_out(job: FitJob, share: float) -> list[LeftOut]:
    """Return what two trainings leave out of the job: each a ``share`` of the classes of its first label.

    Nothing, where these are too few.
    """
    codes = job.supervision.labels[_label(job)]
    parts = []
    for classes in classes_to_leave_out(codes[job.trained], share):
        rows = job.trained[np.isin(codes[job.trained], classes)]
        parts.append(LeftOut(codes, classes, np.sort(_shuffled(rows)[:_MAX_PRODUCTS])))
    return parts


def _label(job: FitJob) -> str:
    return next((name for name in job.supervision.labels if name not in BUILT_IN_LABELS), "group")


def classes_to_leave_out(codes: Int, share: float) -> list[Int]:
    """Return twice some classes to leave out, each a ``share`` of those with two products; none of too few.

    ``codes`` has the class of every training product, -1 without one.
    """
    known, sizes = np.unique(codes[codes >= 0], return_counts=True)
    classes = known[sizes > 1]
    number = max(MIN_CLASSES, round(share * len(classes)))
    if share == 0 or number + MIN_CLASSES > len(classes):
        return []
    order = _shuffled(classes)
    return [np.sort(order[:number]), np.sort(order[number : 2 * number])]


def _shuffled(values: Int) -> Int:
    """Return the values in an order that is always the same."""
    return np.array(sorted(values.tolist(), key=lambda v: hashlib.sha256(str(v).encode()).digest()), np.int64)


def leaving_out(job: FitJob, left: LeftOut, number: int = 0) -> FitJob:
    """Return the job without some classes, for a copy of its encoder, which nothing validates.

    ``number`` tells this training from others of the job.
    """
    is_left_out = np.isin(left.codes, left.classes)
    one, other, weight = job.supervision.pairs
    kept = ~(is_left_out[one] | is_left_out[other])
    pairs = LabelledPairs(one[kept], other[kept], weight[kept])
    folder = job.folder / f"unseen_classes_{number}"
    folder.mkdir(parents=True, exist_ok=True)
    return dataclasses.replace(
        job,
        encoder=copy.deepcopy(job.encoder),
        supervision=dataclasses.replace(job.supervision, pairs=pairs),
        trained=job.trained[~is_left_out[job.trained]],
        validator=None,
        folder=folder,
    )


def step_scores(job: FitJob, tuned: ProductEncoder, snapshot: Snapshot, left: LeftOut) -> Scores:
    """Return how products left out find their class, at every step from the job's encoder to ``tuned``."""
    columns = tuple(dict.fromkeys(tuned.content.columns))
    products = snapshot.table(columns).take(pa.array(left.rows)).to_pylist()
    codes = left.codes[left.rows]
    scores: Scores = {"image": {}, "text": {}}
    for alpha in (0.0, *STEPS):
        encoder = interpolate(job.encoder, tuned, alpha)
        found = embed_all(encoder, products, job.images, store=job.store)
        vectors = {"image": (found.image, found.has_image), "text": (found.text, found.has_text)}
        for name, (values, has) in vectors.items():
            scores[name][alpha] = by_class(values[has], codes[has], left.classes)
    return scores


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


def _texts_name_classes(job: FitJob, snapshot: Snapshot, parts: list[LeftOut]) -> bool:
    """Tell whether products' texts give their classes away."""
    level = job.config.labels.get(_label(job))
    if level is None or not level.columns:
        return False
    rows = np.concatenate([left.rows for left in parts])
    table, setting = snapshot.table().take(pa.array(rows)), f"training.labels.{_label(job)}.columns"
    columns = [read_column(table, column, setting=setting) for column in level.columns]
    texts = [job.encoder.content.read(row).text or "" for row in table.to_pylist()]
    named = [
        all(names_label(text, label) for label in labels)
        for text, *labels in zip(texts, *columns, strict=True)
    ]
    return float(np.mean(named)) >= GIVEN_AWAY


def choose(scores: Scores, given_away: Collection[str] = ()) -> Bounds:
    """Return the nearest and the furthest step that may serve, of each vector.

    The furthest is the last before the classes lose on average more than 0.005 to a step on the way: what a
    few classes seem to gain beyond is chance. The nearest is the one whose classes lose no more than that to
    the best on the way, or one standard error of the difference; it is 0, the base, for a vector that is
    ``given_away``: what it finds asks for no step. A vector that hardly any class has goes with the other;
    where neither is known, halfway may serve.
    """
    found: Bounds = {}
    for vector, steps in scores.items():
        known = np.isfinite(steps[0.0])
        if known.sum() < MIN_CLASSES:
            continue
        best, way = 0.0, [0.0]
        for alpha in STEPS:
            loss = steps[best][known] - steps[alpha][known]
            if loss.mean() > _TOLERANCE:
                break
            way.append(alpha)
            best = alpha if loss.mean() < 0 else best
        as_good = (a for a in way if _is_within_error(steps[best][known] - steps[a][known]))
        found[vector] = (0.0 if vector in given_away else next(as_good), way[-1])
    either = next(iter(found.values()), (0.0, HALFWAY))
    return {vector: found.get(vector, either) for vector in scores}


def together(bounds: Bounds) -> Bounds:
    """Return the steps that every vector bears; 0, the base, is the nearest where one asks for more.

    For two towers of one space: words and images would lose each other if they went different ways.
    """
    nearest, furthest = max(start for start, _ in bounds.values()), min(end for _, end in bounds.values())
    return dict.fromkeys(bounds, (nearest if nearest <= furthest else 0.0, furthest))


def _is_within_error(loss: NDArray[np.float64]) -> bool:
    return bool(loss.mean() <= max(_TOLERANCE, loss.std(ddof=1) / np.sqrt(len(loss))))


def _between(nearest: float, furthest: float) -> tuple[float, ...]:
    return tuple(alpha for alpha in STEPS if nearest <= alpha <= furthest)


def _choice(alphas: tuple[float, ...], why: str) -> Choice:
    return Choice("evaluation.wise_ft_alphas", ", ".join(f"{a:g}" for a in alphas) or "none", why)
