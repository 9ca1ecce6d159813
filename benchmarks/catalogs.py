"""Records what the pipeline reached on the real catalogs, on the final test that no night reads.

    for name in grocery grocery-openset fashion fashion-openset luma product_matching_text; do
      for verb in ingest train evaluate; do recsys --config conf/$name.toml $verb; done
    done
    python -m benchmarks.catalogs [--names NAME ...]

Encoders are those of the workspaces: the base, and what the gate chose; beside them the untouched backbone,
whose features no projection changes. All are scored here, on the same queries, beside the cheap tricks;
nothing is typed in.
"""

from typing import Any

from benchmarks.encoders import evaluated
from benchmarks.harness import benchmark, latest
from benchmarks.untouched import untouched
from recsys import config
from recsys.evaluation.candidates import BASE, Candidate
from recsys.evaluation.scores import MetricValues, TaskResult, intervals
from recsys.workspace import open_workspace
from recsys.workspace.splits import TEST

CATALOGS = (
    "grocery", "grocery-openset", "fashion", "fashion-openset", "luma", "product_matching_text",
)  # fmt: skip
CHOSEN, UNTOUCHED = "chosen", "untouched"


def read_catalog(name: str) -> dict[str, Any]:
    """Return every task's scores on the final test, of the catalog's newest evaluation's encoders."""
    settings = config.load(f"conf/{name}.toml")
    workspace = open_workspace(settings)
    night = workspace.list("evaluations")[-1]
    challenger = workspace.get(night.inputs["challenger"])
    inputs = {role: night.inputs[role] for role in ("snapshot", "splits")}
    candidates = [
        Candidate(name=UNTOUCHED, title="Untouched backbone", ref=untouched(settings, workspace).ref),
        Candidate(name=BASE, title="Zero-shot base", ref=night.inputs["base"]),
        Candidate(name=CHOSEN, title="Chosen by the gate", ref=night.info["chosen"]),
    ]
    with evaluated(settings, workspace, inputs, candidates, TEST) as evaluation:
        tasks = {}
        for result in evaluation.results[TEST]:
            cheap = evaluation.baselines.scores(result.task, evaluation.pools[CHOSEN])
            tasks[result.name] = summary(result, cheap, settings)
    return {
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
    return {
        "metric": main,
        "num_queries": len(result.task.queries),
        "num_components": len(set(result.components.tolist())),
        "label_in_text": result.label_in_text,
        **{name: by_metric[main]._asdict() for name, by_metric in found.items()},
    }


def measure(names: list[str]) -> dict[str, Any]:
    """Measure the named catalogs, keep the others as the latest record has them; without names all."""
    known = latest("catalogs") if names else None
    others = known["results"] if known else {}
    return others | {name: read_catalog(name) for name in names or CATALOGS}


if __name__ == "__main__":
    benchmark("catalogs", measure, __doc__, names=())
