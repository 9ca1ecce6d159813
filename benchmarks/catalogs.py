"""Records what the pipeline reached on the real catalogs: the untouched base and the winner, task by task.

    for name in grocery grocery-openset fashion fashion-openset luma product_matching_text; do
      for verb in ingest train evaluate; do recsys --config conf/$name.toml $verb; done
    done
    python -m benchmarks.catalogs [--names NAME ...]

It reads the evaluations that the commands left in the workspaces and computes nothing itself.
"""

from typing import Any

from benchmarks.harness import benchmark, latest
from recsys import config
from recsys.workspace import open_workspace
from recsys.workspace.evaluations import read_evaluation

CATALOGS = (
    "grocery", "grocery-openset", "fashion", "fashion-openset", "luma", "product_matching_text",
)  # fmt: skip
HELD_AGAINST = {
    ("grocery", "photo_to_photos", "precision@1"): {"untouched": 0.576, "goal": 0.80},
    ("grocery", "photo_to_catalogue", "recall@1"): {"untouched": 0.279, "goal": 0.50},
    ("grocery-openset", "unseen_classes", "map@r"): {"untouched": 0.347, "goal": 0.38},
    ("luma", "linked", "recall@10"): {"untouched": 0.255, "goal": 0.30},
    ("fashion", "same_kind_by_image", "map@r"): {"untouched": 0.072, "goal": 0.12},
    ("fashion", "same_kind", "map@r"): {"untouched": 0.144, "goal": 0.22},
    ("fashion-openset", "unseen_types", "map@r"): {"untouched": 0.517, "goal": 0.52},
}
"""Figures that others measured on these catalogs before, and what was to be reached."""


def read_catalog(name: str) -> dict[str, Any]:
    """Return the main figure of every task of the catalog's newest evaluation."""
    workspace = open_workspace(config.load(f"conf/{name}.toml"))
    evaluation = workspace.list("evaluations")[-1]
    night = read_evaluation(workspace, evaluation)
    challenger = workspace.get(evaluation.inputs["challenger"])
    chosen = night["chosen"]["name"]
    tasks = {}
    for task in night["tasks"]:
        metric = task["main_metric"]
        row = {
            who: task["scores"][who][metric]
            for who in dict.fromkeys(("base", chosen))
            if who in task["scores"]
        }
        held = HELD_AGAINST.get((name, task["name"], metric), {})
        tasks[task["name"]] = {"metric": metric, "num_queries": task["num_queries"], **row, **held}
    return {
        "decision": night["decision"],
        "chosen": chosen,
        "training_s": round(challenger.info["duration_s"]),
        "evaluation": evaluation.ref,
        "evaluated_at": evaluation.created_at,
        "tasks": tasks,
    }


def measure(names: list[str]) -> dict[str, Any]:
    """Read the named catalogs, the others as the latest record has them; without names all."""
    known = latest("catalogs") if names else None
    others = known["results"] if known else {}
    return others | {name: read_catalog(name) for name in names or CATALOGS}


if __name__ == "__main__":
    benchmark("catalogs", measure, __doc__, names=())
