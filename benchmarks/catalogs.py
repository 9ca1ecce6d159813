"""Records what the pipeline reached on the real catalogs, on the final test that no night reads.

    for name in grocery grocery-openset fashion fashion-openset luma product_matching_text; do
      for verb in ingest train evaluate embed publish report; do recsys --config conf/$name.toml $verb; done
    done
    python -m benchmarks.catalogs [--names NAME ...]

Encoders are those of the workspaces: the base, and what the gate chose; beside them the untouched backbone,
whose features no projection changes. All are scored here, on the same queries, beside the cheap tricks;
nothing is typed in. Each catalog names the commit that scored it, and when its encoder was trained: of the
catalogs that are not named, the latest record is kept.
"""

from pathlib import Path
from typing import Any

from benchmarks.encoders import CHOSEN, compared, evaluated
from benchmarks.harness import benchmark, head, latest
from recsys import config
from recsys.config.evaluation import TaskConfig
from recsys.evaluation.candidates import UNTOUCHED
from recsys.evaluation.scores import MetricValues, TaskResult, intervals, rows_of
from recsys.workspace import open_workspace
from recsys.workspace.splits import TEST, TRAIN

CATALOGS = (
    "grocery", "grocery-openset", "fashion", "fashion-openset", "luma", "product_matching_text",
)  # fmt: skip
_LARGE = 100
"""A category of so many queries is in the record by itself."""
_TO_CATALOGUE = TaskConfig(
    name="photo_to_catalogue", title="A photograph finds its class's one catalogue item", modality="image",
    queries={"image_kind": "natural"}, gallery={"image_kind": "iconic"}, relevant=("fine_label",),
    metrics=("recall@1",), breakdown_by=None,
)  # fmt: skip
_WORDS_TO_PHOTOS = TaskConfig(
    name="words_to_photos", title="The text of a catalogue item (trained on) finds test photographs",
    kind="text_to_image", queries={"image_kind": "iconic"},
    gallery={"image_kind": "natural", "split": "test"}, relevant=("fine_label",), metrics=("map@r",),
    breakdown_by=None,
)  # fmt: skip
_SAME_KIND = TaskConfig(
    name="same_kind", title="Same type, gender and colour, by image and text",
    relevant=("fine_label", "gender", "base_colour"), metrics=("map@r",), breakdown_by=None,
)  # fmt: skip
RECORDED: dict[str, dict[str, tuple[TaskConfig, ...]]] = {
    "grocery": {TEST: (_TO_CATALOGUE,), TRAIN: (_WORDS_TO_PHOTOS,)},
    "grocery-openset": {TEST: (_TO_CATALOGUE,)},
    "fashion": {TEST: (_SAME_KIND,)},
}
"""Tasks beside those of a catalog's config, by the role of their queries: they say something, and gate
nothing. The catalogue items of grocery were trained on, in grocery-openset those of unseen classes not."""


def read_catalog(conf: str | Path) -> dict[str, Any]:
    """Return every task's scores on the final test, of the newest evaluation's encoders.

    ``conf`` is the catalog's config file.
    """
    settings = config.load(conf)
    workspace = open_workspace(settings)
    night = workspace.list("evaluations")[-1]
    challenger = workspace.get(night.inputs["challenger"])
    inputs = {role: night.inputs[role] for role in ("snapshot", "splits")}
    candidates = compared(night)
    beside = RECORDED.get(settings.name, {})
    asked = beside | {TEST: (*settings.evaluation.tasks, *beside.get(TEST, ()))}
    tasks = {}
    for role, configs in asked.items():
        asking = settings.model_copy(
            update={"evaluation": settings.evaluation.model_copy(update={"tasks": configs})}
        )
        with evaluated(asking, workspace, inputs, candidates, role) as evaluation:
            for result in evaluation.results[role]:
                cheap = evaluation.baselines.scores(result.task, evaluation.pools[CHOSEN])
                tasks[result.name] = summary(result, cheap, settings)
    return {
        "commit": head(),
        "trained": challenger.created_at,
        "decision": night.info["decision"],
        "chosen": night.info["chosen"],
        "reasons": night.info["reasons"],
        "training_s": round(challenger.info["duration_s"]),
        "decided": {c["setting"]: c["value"] for c in challenger.info["decisions"]},
        "unseen_classes": challenger.info.get("unseen_classes"),
        "evaluation": night.ref,
        "tasks": tasks,
    }


def summary(result: TaskResult, cheap: dict[str, MetricValues], settings: config.Config) -> dict[str, Any]:
    """Return the main metric of every encoder and cheap trick, and what the chosen one differs by."""
    main, gate = result.task.config.main, settings.evaluation.gate
    scores: dict[str, MetricValues] = {
        name: {main: values[main]} for name, values in (result.values | cheap).items()
    }
    differences = {
        f"{CHOSEN} - {name}": {main: scores[CHOSEN][main] - values[main]}
        for name, values in scores.items()
        if name != CHOSEN
    }
    found = intervals(scores | differences, result.components, gate, settings.seed)
    against = f"{CHOSEN} - {UNTOUCHED}"
    large = {name: rows for name, rows in rows_of(result.categories).items() if len(rows) >= _LARGE}
    categories = {}
    for name, rows in large.items():
        some = {against: {main: differences[against][main][rows]}}
        difference = intervals(some, result.components[rows], gate, settings.seed)[against][main]
        categories[name] = {"num_queries": len(rows), against: difference._asdict()}
    return {
        "metric": main,
        "num_queries": len(result.task.queries),
        "num_components": len(set(result.components.tolist())),
        "label_in_text": result.label_in_text,
        **{name: by_metric[main]._asdict() for name, by_metric in found.items()},
        "categories": categories,
    }


def measure(names: list[str]) -> dict[str, Any]:
    """Measure the named catalogs, keep the others as the latest record has them; without names all."""
    known = latest("catalogs") if names else None
    others = known["results"] if known else {}
    return others | {name: read_catalog(f"conf/{name}.toml") for name in names or CATALOGS}


if __name__ == "__main__":
    benchmark("catalogs", measure, __doc__, names=())
