"""What the default recipe costs: training on 1,000 products with one image each, MobileNetV2 at 224 px.

    python -m benchmarks.training_cost [--products 1000]

``recsys train`` of a new workspace in a process of its own: base, features of the early stages, training,
and the artifact. The products are the first of the fashion catalog, with every setting the recipe's.
``seconds`` are of the wall and say little on a machine with other work; ``cpu_seconds`` are of this process,
all threads together. Memory is the process's peak.
"""

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from benchmarks.harness import benchmark, in_fresh_process, process_status_mb
from recsys import config, nightly
from recsys.catalog import run as ingest
from recsys.training import run as training
from recsys.workspace import open_workspace

FEED = Path("../shared/data/fashion/catalog.parquet")


def settings_of(folder: Path, num_products: int) -> config.Config:
    """Return the fashion catalog's config, of its first products alone, with a split of its own."""
    feed = folder / "catalog.parquet"
    if not feed.exists():
        pq.write_table(pq.read_table(FEED).slice(0, num_products), feed)
    known = config.load("conf/fashion.toml")
    values = known.model_dump(mode="json")
    values["workspace"]["root"] = str(folder / "workspace")
    values["catalog"] |= {"feed": str(feed)}
    values["catalog"]["images"]["base"] = str(FEED.parent.resolve())
    values["training"]["split"] = {}
    values["encoder"]["image"]["weights"] = known.resolve(str(known.encoder.image.weights))
    return config.Config.model_validate(values)


def train(folder: Path, num_products: int) -> dict[str, Any]:
    """Train in this process, and return what it took."""
    settings = settings_of(folder, num_products)
    workspace = open_workspace(settings)
    before, cpu_before = process_status_mb("VmHWM"), time.process_time()
    made = training.run(settings, workspace, nightly.latest_snapshot(workspace))
    return {
        "seconds": made.info["duration_s"],
        "cpu_seconds": round(time.process_time() - cpu_before, 1),
        "peak_mb": round(process_status_mb("VmHWM")),
        "peak_before_mb": round(before),
        "trained_products": made.info["counts"]["splits"]["train"],
        "steps": made.info["fit"]["steps"],
        "threads": torch.get_num_threads(),
    }


def measure(products: int) -> dict[str, Any]:
    """Ingest the products, then train in a fresh process."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = settings_of(folder, products)
        ingest.run(settings, open_workspace(settings))
        found = in_fresh_process(train, folder, products)
    return {"num_products": products, **found}


if __name__ == "__main__":
    benchmark("training_cost", measure, __doc__, products=1000)
