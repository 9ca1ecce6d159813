"""A month of a shop that changes: does training start better from the encoder in service, or from the base?

    python -m benchmarks.month [--nights 30] [--every 3] [--products 700]

The sample shop, one image of each product, with seasons: a third of its categories arrives within the
month, a third is sold out by its end, and in every category products come and go. Every third night is
trained twice on the same snapshot, once from each start, as ``training.start_from`` has it, with a text
tower and the image weights of ``conf/fashion.toml``; what serves next is halfway from the base (WiSE-FT),
gate or not, so that both ways live through the same nights. Scores are of the validation products and of
the gate's holdout.
"""

import csv
import hashlib
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.encoders import evaluated
from benchmarks.harness import benchmark
from examples.sample_shop.run import FEED
from examples.sample_shop.run import run as draw
from recsys import config
from recsys.catalog.run import run as ingest
from recsys.evaluation.candidates import BASE, candidates_of, save
from recsys.evaluation.scores import TaskResult
from recsys.training.run import run as train
from recsys.workspace import Manifest, Workspace, open_workspace
from recsys.workspace.splits import HOLDOUT, VALIDATION

STARTS = ("base", "champion")
HALF, TUNED = 0.5, 1
_CATEGORY = "product_type"


def in_season(row: dict[str, str], rank: int, night: int, nights: int) -> bool:
    """Tell whether a product is on sale; ``rank`` is its category's place among all."""
    third = rank % 3  # 0: all month, 1: comes, 2: goes
    turn = nights * (1 + rank % 5) // 6
    if (third == 1 and night < turn) or (third == 2 and night > turn):
        return False
    arrival = int(hashlib.sha256(row["item_group_id"].encode()).hexdigest(), 16) % (2 * nights) - nights
    return arrival <= night < arrival + nights


def make_feed(shop: Path, night: int, nights: int) -> int:
    """Write the night's feed beside the shop's; return how many products it has."""
    with (shop / FEED).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[_CATEGORY] and row["item_group_id"]]
    ranks = {name: rank for rank, name in enumerate(sorted({row[_CATEGORY] for row in rows}))}
    kept = [row for row in rows if in_season(row, ranks[row[_CATEGORY]], night, nights)]
    with (shop / "tonight.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    return len(kept)


def settings_of(folder: Path, start: str) -> config.Config:
    """Return the config of one way to start; all of them share a workspace, and so what kept towers say."""
    known = config.load("conf/fashion.toml")
    values = config.load("conf/demo.toml").model_dump(mode="json")
    values["workspace"]["root"] = str(folder / "workspace")
    values["catalog"]["feed"] = str(folder / "shop" / "tonight.csv")
    values["catalog"]["guards"]["max_gone_share"] = 1.0
    values["encoder"]["image"] = known.encoder.image.model_dump(mode="json")
    values["encoder"]["image"]["weights"] = known.resolve(str(known.encoder.image.weights))
    values["training"]["start_from"] = start
    return config.Config.model_validate(values)


def measure(nights: int, every: int, products: int) -> dict[str, Any]:
    """Return the scores of every trained night, and what the two ways differ by."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "shop", num_products=products, image_size=256, max_images=1)
        champions: dict[str, str | None] = dict.fromkeys(STARTS)
        found = []
        for night in range(1, nights + 1, every):
            num_products = make_feed(folder / "shop", night, nights)
            entry: dict[str, Any] = {"night": night, "num_products": num_products}
            for start in STARTS:
                settings = settings_of(folder, start)
                workspace = open_workspace(settings)
                snapshot = ingest(settings, workspace)
                challenger = train(settings, workspace, snapshot.ref, champions[start])
                entry[start], champions[start] = score(settings, workspace, snapshot, challenger)
            found.append(entry)
            print(entry, flush=True)
    return {"nights": found, "means": means(found)}


def score(
    settings: config.Config, workspace: Workspace, snapshot: Manifest, challenger: Manifest
) -> tuple[dict[str, Any], str]:
    """Return task → encoder → mean of its main metric by role, and the ref of the encoder halfway."""
    inputs = {"snapshot": snapshot.ref, "splits": challenger.inputs["splits"]}
    candidates = candidates_of(challenger, None, (HALF, TUNED))
    half = next(c for c in candidates if c.alphas == (HALF, HALF)) if len(candidates) > 1 else candidates[0]
    roles = (VALIDATION, HOLDOUT)
    with evaluated(settings, workspace, inputs, candidates, *roles) as evaluation:
        scores = {role: means_of(evaluation.results[role]) for role in roles}
    result = {"steps": challenger.info["fit"]["steps"], "start": challenger.inputs.get("initial"), **scores}
    return result, save(workspace, half, inputs["splits"]).ref


def means_of(results: list[TaskResult]) -> dict[str, dict[str, float]]:
    """Return task → encoder → mean of its main metric."""
    return {
        result.name: {
            name: round(float(v[result.task.config.main].mean()), 4) for name, v in result.values.items()
        }
        for result in results
        if len(result.task.queries)
    }


def means(nights: list[dict[str, Any]]) -> dict[str, Any]:
    """Return role → encoder → start → mean over nights and tasks, and the difference with its error."""
    found: dict[str, Any] = {}
    for role in (VALIDATION, HOLDOUT):
        names = [n for n in next(iter(nights[0][STARTS[0]][role].values())) if n != BASE]
        for name in names:
            by_start = {
                s: np.array([np.mean([task[name] for task in night[s][role].values()]) for night in nights])
                for s in STARTS
            }
            gain = by_start["champion"][1:] - by_start["base"][1:]  # the first night has no champion
            error = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else None
            found[f"{role} {name}"] = {
                **{s: round(float(v[1:].mean()), 4) for s, v in by_start.items()},
                "champion - base": round(float(gain.mean()), 4),
                "standard_error": None if error is None else round(error, 4),
            }
    return found


if __name__ == "__main__":
    benchmark("month", measure, __doc__, nights=30, every=3, products=700)
