"""What the defaults do to a catalog that the recipe never saw, and to classes that its training never saw.

    python -m benchmarks.newcomer [--names NAME ...]

As a newcomer would: the feed and the pretrained backbone; nothing is changed in the config that `recsys
init` proposes, and none of `conf/` has a part. What came in is half of the classes, or listings whose matches
nobody named. What is judged is something else, by code that the gate does not use: products of the other
half, among themselves; labelled pairs of listings.

    fashion-1, fashion-2    2,000 products with an image and a title, either half of their types
    photos-1, photos-2      2,000 photographs in shops, no words, either half of what they show
    listings                Walmart's and Amazon's listings, words only, labelled by category

Intervals are over classes, of pairs over groups of matches.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.encoders import compared
from benchmarks.harness import benchmark
from benchmarks.published_pairs import draws, pair_cosines, pair_weights, roc_auc, with_differences
from recsys import config
from recsys.catalog.run import run as ingest
from recsys.config import Config
from recsys.evaluation.baselines import Baselines
from recsys.evaluation.candidates import Embedder
from recsys.evaluation.run import run as evaluate
from recsys.metrics.bootstrap import Resampler
from recsys.proposal.run import propose
from recsys.proposal.toml import write_toml
from recsys.training.run import run as train
from recsys.training.validation import Metric, query_scores
from recsys.workspace import Manifest, Workspace, open_workspace
from recsys.workspace.embeddings import Vectors
from recsys.workspace.snapshot import Snapshot

DATA = Path(__file__).parents[2] / "shared/data"
WEIGHTS = DATA.parent / "weights/mobilenetv2_100_tf2ptq_imagenet1k.safetensors"
SOURCES = {"fashion": "fashion", "photos": "grocery", "listings": "product_matching_text"}
NAMES = ("fashion-1", "fashion-2", "photos-1", "photos-2", "listings")
_COLUMNS = {
    "fashion": ("product_id", "title", "image", "category", "gender", "base_colour", "season", "usage"),
    "photos": ("product_id", "image", "category"),
    "listings": ("product_id", "title", "category_path", "brand", "price"),
}
CHEAP_TRICK = "cheap_trick"
"""Histograms of images, bags of words of texts."""
_PRODUCTS, _RESAMPLES = 2_000, 2_000
_LISTINGS = "walmart_amazon"

Rows = list[dict[str, Any]]
Judge = Callable[[dict[str, Vectors], list[str]], dict[str, Any]]


def measure(names: list[str]) -> dict[str, Any]:
    """Return name → what the gate said, and how the encoders find what never came in."""
    return {name: night(name) for name in names or NAMES}


def night(name: str) -> dict[str, Any]:
    """Return what one first night did, and its judgement."""
    shop, _, half = name.partition("-")
    everything, judge = catalog(shop)
    came_in = judged_rows = everything
    if half:
        seen = halved(Counter(row["category"] for row in everything))[int(half) - 1]
        came_in = [row for row in everything if row["category"] in seen]
        judged_rows = [row for row in everything if row["category"] not in seen]
    others = [row["product_id"] for row in judged_rows]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        feed = folder / "feed.parquet"
        write(feed, came_in, _COLUMNS[shop])
        weights = None if shop == "listings" else WEIGHTS
        proposal = propose(str(feed), folder, weights=weights, backbone=None, max_rows=20_000)
        (folder / "recsys.toml").write_text(write_toml(proposal))
        settings = config.load(folder / "recsys.toml")
        workspace = open_workspace(settings)
        snapshot = ingest(settings, workspace)
        challenger = train(settings, workspace, snapshot.ref)
        decided = evaluate(settings, workspace, snapshot.ref, challenger.ref)
        write(feed, everything, _COLUMNS[shop])
        judged = vectors(settings, workspace, decided, ingest(settings, workspace), others)
    return {
        "came_in": {"products": len(came_in), "classes": len({row["category"] for row in came_in} - {None})},
        "decision": decided.info["decision"],
        "reasons": decided.info["reasons"],
        "decided": {c["setting"]: c["value"] for c in challenger.info["decisions"]},
        "unseen_classes": challenger.info.get("unseen_classes"),
        "training_s": round(challenger.info["duration_s"]),
        "judged": judge(judged, others),
    }


def catalog(shop: str) -> tuple[Rows, Judge]:
    """Return the rows of a shop's catalog, and what judges vectors of them."""
    rows = pq.read_table(DATA / SOURCES[shop] / "catalog.parquet").to_pylist()
    if shop == "listings":
        rows = [row for row in rows if row["collection"] == _LISTINGS]
        return rows, lambda vectors, ids: judge_pairs(vectors, ids, rows)
    if shop == "photos":
        rows = [row for row in rows if row["image_kind"] == "natural"]
    rows = [row for row in rows if not row.get("identical_image_of")]
    rows = [row | {"image": str(DATA / SOURCES[shop] / row["image"])} for row in rows]
    rows = sorted(rows, key=lambda row: sha256(row["product_id"].encode()).digest())[:_PRODUCTS]
    category = {row["product_id"]: row["category"] for row in rows}
    return rows, lambda vectors, ids: judge_classes(vectors, [category[id] for id in ids])


def halved(sizes: Counter[str]) -> tuple[set[str], set[str]]:
    """Return two halves of some classes, about as large: dealt by size, there and back."""
    order = sorted(sizes, key=lambda name: (-sizes[name], name))
    first = {name for place, name in enumerate(order) if place % 4 in (0, 3)}
    return first, set(order) - first


def write(path: Path, rows: Rows, columns: tuple[str, ...]) -> None:
    """Write a feed of some columns."""
    pq.write_table(pa.Table.from_pylist([{c: row[c] for c in columns} for row in rows]), path)


def vectors(
    settings: Config, workspace: Workspace, night: Manifest, everything: Manifest, ids: list[str]
) -> dict[str, Vectors]:
    """Return encoder → vectors of the products ``ids``, in their order, the cheap trick's beside them."""
    snapshot = Snapshot.open(workspace, everything.ref)
    known = snapshot.table(("id",)).column("id").to_pylist()
    place = {id: i for i, id in enumerate(known)}
    rows = np.array([place[id] for id in ids])
    order = np.argsort(rows)
    back = np.argsort(order)
    cheap = Baselines(snapshot, settings.encoder, rows[order]).vectors
    found = {CHEAP_TRICK: Vectors(*(v[back] for v in cheap))}
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(workspace, everything.ref, rows[order], Path(folder), settings.embedding)
        for candidate in compared(night):
            found[candidate.name] = Vectors(*(np.array(v)[back] for v in embedder.embed(candidate)[0]))
    return found


def judge_classes(vectors: dict[str, Vectors], names: list[str]) -> dict[str, Any]:
    """Return how products find their class among products of classes that never came in."""
    codes = np.unique(names, return_inverse=True)[1]
    resampler = Resampler(int(codes.max()) + 1, resamples=_RESAMPLES, seed=0)
    results: dict[str, Any] = {"products": len(names), "classes": int(codes.max()) + 1}
    for side in ("image", "text"):
        has = getattr(next(iter(vectors.values())), f"has_{side}")
        if not has.any():
            continue
        own = np.arange(int(has.sum()))
        metric: Metric
        for metric in ("map_at_r", "recall_at_1"):
            values = {}
            for encoder, of in vectors.items():
                v = getattr(of, side)[has]
                scores = query_scores(v, v, codes[has], codes[has], own=own, metric=metric)
                known = np.isfinite(scores)
                means = resampler.means(scores[known][:, None], codes[has][known])[:, 0]
                values[encoder] = np.r_[scores[known].mean(), means]
            results[f"{side} {metric}"] = with_differences(values)
    return results


def judge_pairs(vectors: dict[str, Vectors], ids: list[str], rows: Rows) -> dict[str, Any]:
    """Return how well the cosines of two listings' texts tell matches from what only looks like one."""
    place = {id: i for i, id in enumerate(ids)}
    pairs = pq.read_table(DATA / SOURCES["listings"] / "pairs.parquet").to_pylist()
    pairs = [pair for pair in pairs if pair["collection"] == _LISTINGS]
    left, right = (np.array([place[pair[side]] for pair in pairs]) for side in ("left_id", "right_id"))
    is_match = np.array([pair["label"] == 1 for pair in pairs])
    group = {row["product_id"]: row["match_group"] for row in rows}
    groups, codes = np.unique([group[id] for id in ids], return_inverse=True)
    weights = pair_weights(draws(len(groups), 0), codes[left], codes[right])
    cosines = {name: pair_cosines(of.text, left, right) for name, of in vectors.items()}
    aucs = {name: roc_auc(values, is_match, weights) for name, values in cosines.items()}
    return {"pairs": len(pairs), "matches": int(is_match.sum()), "text roc_auc": with_differences(aucs)}


if __name__ == "__main__":
    benchmark("newcomer", measure, __doc__, names=())
