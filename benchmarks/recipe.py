"""What each choice of the recipe is worth: its variants on the held-out products of the catalogs at hand.

    for name in luma grocery grocery-openset fashion-openset product_matching_text; do
      recsys --config conf/$name.toml ingest
    done
    python -m benchmarks.recipe [--names NAME ...]

A variant changes one thing: how a projection starts, how many late stages are trained, the loss, its
temperature, the steps, the rate. Each is trained as the recipe would, without a quarter of the classes, and
never scored on the final test. ``holdout`` has the gate's holdout: differences to the untouched backbone on
the same queries, halfway from the base (``half``) and all the way (``tuned``), with 95% intervals over
components. ``left_out`` has how products of the classes left out find their own, MAP@R at every step from the
base: the mean over classes, and its difference to the base with a standard error.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.encoders import evaluated, save
from benchmarks.harness import benchmark
from recsys import config, nightly
from recsys.config.encoder import EncoderConfig
from recsys.config.training import NamedConfig, TrainingConfig
from recsys.encoder.model import ProductEncoder, interpolate
from recsys.encoder.template import ContentReader
from recsys.evaluation.candidates import BASE, TUNED, UNTOUCHED, Candidate, untouched_of
from recsys.evaluation.scores import TaskResult, intervals
from recsys.training import supervision
from recsys.training.data import read_items
from recsys.training.fit import FitJob, fit
from recsys.training.initial_encoder import make_base
from recsys.training.recipe import decide
from recsys.training.splits import make_splits
from recsys.training.unseen_classes import MIN_CLASSES, Scores, leaving_out, left_out, step_scores
from recsys.workspace import Workspace, open_workspace
from recsys.workspace.features import FeatureStore
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import HOLDOUT, TRAIN, read_splits

_LEFT_OUT = 0.25
NAMES = ("luma", "grocery", "grocery-openset", "fashion-openset", "product_matching_text")
HALF = "half"

Change = Callable[[TrainingConfig], TrainingConfig]


def with_loss(name: str, **params: Any) -> Change:
    """Another loss in every term on labels."""
    loss = NamedConfig(name=name, params=params)

    def change(training: TrainingConfig) -> TrainingConfig:
        terms = tuple(t.model_copy(update={"loss": loss}) if t.loss else t for t in training.terms)
        return training.model_copy(update={"objectives": terms})

    return change


def without_words(training: TrainingConfig) -> TrainingConfig:
    """No term between words and images; where it is the only one, it stays."""
    terms = tuple(t for t in training.terms if t.loss) or training.terms
    return training.model_copy(update={"objectives": terms})


def times(steps: float) -> Change:
    """So many times the steps."""

    def change(training: TrainingConfig) -> TrainingConfig:
        assert training.epoch_steps is not None
        return training.model_copy(update={"epoch_steps": max(1, round(steps * training.epoch_steps))})

    return change


def with_optimizer(**values: float) -> Change:
    """Other settings of the optimiser."""
    return lambda training: training.model_copy(
        update={"optimizer": training.optimizer.model_copy(update=values)}
    )


VARIANTS: dict[str, Change] = {
    "recipe": lambda training: training,
    "temperature 0.05": with_loss("SupConLoss", temperature=0.05),
    "temperature 0.2": with_loss("SupConLoss", temperature=0.2),
    "multi-similarity": with_loss("MultiSimilarityLoss", alpha=2, beta=50, base=0.5),
    "proxy anchor": with_loss("ProxyAnchorLoss", margin=0.1, alpha=32),
    "no words": without_words,
    "half the steps": times(0.5),
    "twice the steps": times(2),
    "late stages at a third of the rate": with_optimizer(backbone_lr=1e-4),
    "late stages at twice the rate": with_optimizer(backbone_lr=6e-4),
    "projections at three times the rate": with_optimizer(head_lr=3e-3),
    "no late stages": lambda training: training,
    "one late stage": lambda training: training,
    "three late stages": lambda training: training,
    "the text tower alone": lambda training: training,
}
STARTS: dict[str, dict[str, Any]] = {
    "recipe": {},
    "not whitened": {"image": {"projection": {"init": "pca", "whiten": 0.0}}},
    "whitened by 0.5": {"image": {"projection": {"init": "pca", "whiten": 0.5}}},
    "random projection": {"image": {"projection": {"init": "orthogonal"}}},
    "no late stages": {"image": {"late_stages": 0}},
    "one late stage": {"image": {"late_stages": 1}},
    "three late stages": {"image": {"late_stages": 3}},
    "the text tower alone": {"text": {"lexical_share": 0.0}},
    "a text's own words a quarter": {"text": {"lexical_share": 0.25}},
    "a text's own words three quarters": {"text": {"lexical_share": 0.75}},
}
"""What is changed in the settings of either tower."""


def ablate(name: str) -> dict[str, Any]:
    """Return what the variants are worth on one catalog's ``holdout`` and on classes ``left_out``."""
    settings = config.load(f"conf/{name}.toml")
    workspace = open_workspace(settings)
    snapshot_ref = nightly.latest_snapshot(workspace)
    splits_ref = make_splits(settings, workspace, snapshot_ref).ref
    inputs = {"snapshot": snapshot_ref, "splits": splits_ref}
    made: list[str] = []
    unseen: dict[str, Any] = {}
    refs: dict[str, str] = {}
    has_stages = settings.encoder.image.kind == "timm"
    starts = {
        name: start
        for name, start in STARTS.items()
        if has_stages or "late_stages" not in start.get("image", {})
    }
    for variant, start in starts.items():
        values = settings.encoder.model_dump()
        for tower, changed in start.items():
            values[tower] |= changed
        started = settings.model_copy(update={"encoder": EncoderConfig.model_validate(values)})
        refs[f"{variant}/{BASE}"] = _base(started, workspace, inputs)
    for variant, change in VARIANTS.items():
        if variant in STARTS and variant not in starts:
            continue
        start = refs.get(f"{variant}/{BASE}", refs[f"recipe/{BASE}"])
        base = ProductEncoder.load(workspace.path(workspace.get(start)))
        tuned, scores = _train(settings, workspace, inputs, start, change)
        unseen[variant] = _means(scores)
        ends = {HALF: interpolate(base, tuned, 0.5), TUNED: tuned}
        for end, encoder in ends.items():
            made.append(save(workspace, encoder))
            refs[f"{variant}/{end}"] = made[-1]
    candidates = [untouched_of(refs[f"recipe/{BASE}"])]
    candidates += [Candidate(name=name, title=name, ref=ref) for name, ref in refs.items()]
    try:
        with evaluated(settings, workspace, inputs, candidates, HOLDOUT) as evaluation:
            holdout = {r.name: _differences(r, settings) for r in evaluation.results[HOLDOUT]}
    finally:
        for ref in made:
            workspace.delete(workspace.get(ref))
    return {"holdout": holdout, "left_out": unseen}


def _means(scores: Scores) -> dict[str, Any]:
    """Return vector → step → mean over classes, difference to the base, and that one's standard error."""
    found: dict[str, Any] = {}
    for vector, steps in scores.items():
        known = np.isfinite(steps[0.0])
        if known.sum() < MIN_CLASSES:
            continue
        gains = {alpha: values[known] - steps[0.0][known] for alpha, values in steps.items()}
        found[vector] = {
            f"{alpha:g}": {
                "map_at_r": round(float(steps[alpha][known].mean()), 4),
                "minus_base": round(float(gain.mean()), 4),
                "standard_error": round(float(gain.std(ddof=1) / np.sqrt(len(gain))), 4),
            }
            for alpha, gain in gains.items()
        }
    return found


def _differences(result: TaskResult, settings: config.Config) -> dict[str, Any]:
    main = result.task.config.main
    reference = result.values[UNTOUCHED][main]
    differences = {n: {main: values[main] - reference} for n, values in result.values.items()}
    with_interval = intervals(differences, result.components, settings.evaluation.gate, settings.seed)
    return {
        "metric": main,
        "num_queries": len(reference),
        UNTOUCHED: float(reference.mean()) if len(reference) else None,
        "differences": {n: by[main]._asdict() for n, by in with_interval.items() if n != UNTOUCHED},
    }


def _base(settings: config.Config, workspace: Workspace, inputs: dict[str, str]) -> str:
    snapshot = Snapshot.open(workspace, inputs["snapshot"])
    splits, components = _splits(workspace, inputs)
    return make_base(
        settings, workspace, workspace.get(inputs["splits"]), snapshot,
        lambda: read_items(snapshot, ContentReader(settings.encoder), splits, components),
    ).ref  # fmt: skip


def _splits(workspace: Workspace, inputs: dict[str, str]) -> tuple[list[str], list[str]]:
    table = read_splits(workspace, inputs["splits"])
    return table.column("split").to_pylist(), table.column("component").to_pylist()


def _train(
    settings: config.Config, workspace: Workspace, inputs: dict[str, str], base_ref: str, change: Change
) -> tuple[ProductEncoder, Scores]:
    """Return the base after the training that the recipe decides on, with one change; the last epoch's.

    And how classes that it left out find their own; none where too few are known to leave some out.
    """
    snapshot = Snapshot.open(workspace, inputs["snapshot"])
    splits, components = _splits(workspace, inputs)
    encoder = ProductEncoder.load(workspace.path(workspace.get(base_ref)))
    items = read_items(snapshot, ContentReader(settings.encoder), splits, components)
    trained = np.flatnonzero(np.array(splits) == TRAIN)
    known = supervision.build(snapshot.table(), splits, settings.training, settings.resolve)
    training, _ = decide(settings.training, encoder, items, known, trained)
    folder = Path(tempfile.mkdtemp())
    job = FitJob(
        config=change(training), encoder=encoder, items=items, images=snapshot.images(), supervision=known,
        trained=trained, validator=None, folder=folder, seed=settings.seed, store=FeatureStore(workspace),
    )  # fmt: skip
    parts = left_out(job, _LEFT_OUT)
    trial = leaving_out(job, parts[0]) if parts else job
    fit(trial)
    scores = step_scores(job, trial.encoder, snapshot, parts[0]) if parts else {}
    shutil.rmtree(folder)
    return trial.encoder, scores


def measure(names: list[str]) -> dict[str, Any]:
    """Ablate the named catalogs, or all."""
    logging.disable(logging.WARNING)
    return {name: ablate(name) for name in names or NAMES}


if __name__ == "__main__":
    benchmark("recipe", measure, __doc__, names=())
