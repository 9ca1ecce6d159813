"""What each choice of the recipe is worth: its variants on the held-out products of the catalogs at hand.

    for name in luma grocery grocery-openset fashion-openset product_matching_text; do
      recsys --config conf/$name.toml ingest
    done
    python -m benchmarks.recipe [--names NAME ...]

A variant changes one thing: how a projection starts, whether late stages are trained, the loss, its
temperature, the steps, the rate. Each is trained as the recipe would, and scored on the gate's holdout, never
on the final test; where the config holds classes out whole, on classes that were not trained on. Scores are
differences to the untouched backbone on the same queries, halfway from the base (``half``, as the encoder
that serves) and all the way (``tuned``), with 95% intervals over components.
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
from benchmarks.untouched import untouched
from recsys import config, nightly
from recsys.config.encoder import EncoderConfig
from recsys.config.training import NamedConfig, TrainingConfig
from recsys.encoder.model import ProductEncoder, interpolate
from recsys.encoder.template import ContentReader
from recsys.evaluation.candidates import BASE, TUNED, Candidate
from recsys.evaluation.scores import TaskResult, intervals
from recsys.training import supervision
from recsys.training.data import read_items
from recsys.training.fit import FitJob, fit
from recsys.training.initial_encoder import make_base
from recsys.training.recipe import decide
from recsys.training.splits import make_splits
from recsys.workspace import Workspace, open_workspace
from recsys.workspace.features import FeatureStore
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import HOLDOUT, TRAIN, read_splits

NAMES = ("luma", "grocery", "grocery-openset", "fashion-openset", "product_matching_text")
HALF, UNTOUCHED = "half", "untouched"

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
    "no late stages": lambda training: training,
    "temperature 0.05": with_loss("SupConLoss", temperature=0.05),
    "temperature 0.2": with_loss("SupConLoss", temperature=0.2),
    "multi-similarity": with_loss("MultiSimilarityLoss", alpha=2, beta=50, base=0.5),
    "proxy anchor": with_loss("ProxyAnchorLoss", margin=0.1, alpha=32),
    "no words": without_words,
    "a quarter of the steps": times(0.25),
    "three times the rate": with_optimizer(head_lr=3e-3, backbone_lr=3e-4),
}
STARTS: dict[str, dict[str, Any]] = {
    "recipe": {},
    "not whitened": {"projection": {"init": "pca", "whiten": 0.0}},
    "whitened by 0.5": {"projection": {"init": "pca", "whiten": 0.5}},
    "random projection": {"projection": {"init": "orthogonal"}},
    "no late stages": {"late_stages": 0},
}


def ablate(name: str) -> dict[str, Any]:
    """Return variant → task → encoder → difference to the untouched backbone, of one catalog."""
    settings = config.load(f"conf/{name}.toml")
    workspace = open_workspace(settings)
    snapshot_ref = nightly.latest_snapshot(workspace)
    splits_ref = make_splits(settings, workspace, snapshot_ref).ref
    inputs = {"snapshot": snapshot_ref, "splits": splits_ref}
    made: list[str] = []
    refs = {UNTOUCHED: untouched(settings, workspace).ref}
    for variant, start in STARTS.items():
        values = settings.encoder.model_dump()
        values["image"] |= start
        started = settings.model_copy(update={"encoder": EncoderConfig.model_validate(values)})
        refs[f"{variant}/{BASE}"] = _base(started, workspace, inputs)
    for variant, change in VARIANTS.items():
        start = refs.get(f"{variant}/{BASE}", refs[f"recipe/{BASE}"])
        base = ProductEncoder.load(workspace.path(workspace.get(start)))
        tuned = _train(settings, workspace, inputs, start, change)
        ends = {HALF: interpolate(base, tuned, 0.5), TUNED: tuned}
        for end, encoder in ends.items():
            made.append(save(workspace, encoder))
            refs[f"{variant}/{end}"] = made[-1]
    candidates = [Candidate(name=name, title=name, ref=ref) for name, ref in refs.items()]
    try:
        with evaluated(settings, workspace, inputs, candidates, HOLDOUT) as evaluation:
            return {r.name: _differences(r, settings) for r in evaluation.results[HOLDOUT]}
    finally:
        for ref in made:
            workspace.delete(workspace.get(ref))


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
) -> ProductEncoder:
    """Return the base after the training that the recipe decides on, with one change; the last epoch's."""
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
    fit(job)
    shutil.rmtree(folder)
    return encoder


def measure(names: list[str]) -> dict[str, Any]:
    """Ablate the named catalogs, or all."""
    logging.disable(logging.WARNING)
    return {name: ablate(name) for name in names or NAMES}


if __name__ == "__main__":
    benchmark("recipe", measure, __doc__, names=())
