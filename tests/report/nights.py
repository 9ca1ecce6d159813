"""Small nights to report on: real artifacts with made-up figures.

Nothing is trained: vectors are a colour per category plus noise, figures are written by hand in the shapes
that the stages' doors document.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from recsys.config import Config
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import (
    SET_FILE,
    SET_KIND,
    SET_SCHEMA,
    SHARD_FILE,
    SHARD_KIND,
    Float32,
    ShardWriter,
    Vectors,
)
from recsys.workspace.image_store import FILE, ImageShardWriter
from recsys.workspace.product import PRODUCTS, REJECTED
from recsys.workspace.snapshot import PRODUCTS_FILE, REJECTED_FILE

DIM = 16
CATEGORIES = ("Home > Mugs", "Home > Lamps", "Wear > Shoes")
Change = Callable[[dict[str, Any]], None]


def products(count: int) -> list[dict[str, Any]]:
    """Rows of a catalog; every tenth has no image."""
    rows: list[dict[str, Any]] = []
    for n in range(count):
        image = hashlib.sha256(f"image {n}".encode()).digest()
        rows.append(
            dict.fromkeys(PRODUCTS.names)
            | {
                "id": f"P{n:04d}",
                "title": f"Product number {n}",
                "product_type": CATEGORIES[n % 3],
                "brand": "Larkmoss & Sons",
                "price": 12.5 + n,
                "currency": "USD",
                "link": f"https://shop.example/p/{n}",
                "item_group_id": f"G{n // 3}",
                "attributes": [],
                "images": [] if n % 10 == 9 else [image],
                "content_hash": hashlib.md5(str(n).encode()).digest(),
                "payload_hash": hashlib.md5(str(n).encode()).digest(),
            }
        )
    return rows


def rejection(**values: Any) -> dict[str, Any]:
    """A row of ``rejected.parquet``."""
    base = {
        "id": "X1",
        "row": 7,
        "column": "price",
        "value": "twelve",
        "reason": "bad_price",
        "scope": "value",
    }
    return base | {"message": "Row 7 (X1): price was expected to be a number; found 'twelve'."} | values


def snapshot(workspace: Workspace, rows: list[dict[str, Any]], rejected: list[dict[str, Any]]) -> Manifest:
    """Commit a catalog snapshot with one image shard."""
    name = hashlib.sha256(repr((rows, rejected)).encode()).hexdigest()[:16]
    random = np.random.default_rng(0)
    with workspace.create("images", name) as shard:
        writer = ImageShardWriter(shard.path / FILE)
        for row in rows:
            for sha in row["images"]:
                pixels = np.full((40, 60, 3), random.integers(0, 255, 3), np.uint8)
                jpeg = simplejpeg.encode_jpeg(pixels, quality=80)
                writer.add(sha256=sha, phash=0, width=60, height=40, jpeg=jpeg)
        writer.close()
    reasons: dict[str, dict[str, int]] = {}
    for r in rejected:
        scope = reasons.setdefault(r["scope"], {})
        scope[r["reason"]] = scope.get(r["reason"], 0) + 1
    with workspace.create("snapshots", name) as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema=PRODUCTS), draft.path / PRODUCTS_FILE)
        pq.write_table(pa.Table.from_pylist(rejected, schema=REJECTED), draft.path / REJECTED_FILE)
        draft.info |= {
            "image_shards": [f"images/{name}"],
            "counts": {
                "rows": len(rows) + len(rejected),
                "products": len(rows),
                "products_with_image": sum(bool(row["images"]) for row in rows),
                "products_with_text": sum(bool(row["title"]) for row in rows),
                "images": len(rows),
                "reasons": reasons,
            },
            "diff": {
                "new": 2,
                "changed_content": 1,
                "changed_payload": 3,
                "gone": 0,
                "unchanged": len(rows) - 6,
            },
            "feed": "feed.csv",
            "duration_s": 3.0,
        }
    return draft.committed()


def embeddings(
    workspace: Workspace,
    catalog: Manifest,
    rows: list[dict[str, Any]],
    seed: int = 0,
    encoder: str = "encoders/tuned",
) -> Manifest:
    """Commit vectors in which products of one category are close to each other."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(2, len(CATEGORIES), DIM))
    halves = []
    for modality in range(2):
        kinds = np.arange(len(rows)) % len(CATEGORIES)
        found = centers[modality][kinds] + random.normal(scale=0.3, size=(len(rows), DIM))
        halves.append((found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32))
    return embedding_set(workspace, catalog, rows, (halves[0], halves[1]), encoder)


def embedding_set(
    workspace: Workspace,
    catalog: Manifest,
    rows: list[dict[str, Any]],
    halves: tuple[Float32, Float32],
    encoder: str,
) -> Manifest:
    """Commit the image and text vectors of ``rows``; their keys come from ``content_hash``."""
    keys = [row["content_hash"] for row in rows]
    everywhere = np.ones(len(rows), np.bool_)
    inputs = {"snapshot": catalog.ref, "encoder": encoder}
    name = hashlib.sha256(repr((inputs, keys)).encode() + halves[0].tobytes()).hexdigest()[:16]
    with workspace.create(SHARD_KIND, name, inputs=inputs) as shard:
        writer = ShardWriter(shard.path / SHARD_FILE, halves[0].shape[1])
        writer.write(keys, Vectors(halves[0], halves[1], everywhere, everywhere))
        writer.close()
        shard.info["duration_s"] = 2.0
    with workspace.create(SET_KIND, name, inputs=inputs) as draft:
        table = pa.table(
            {"id": [r["id"] for r in rows], "key": keys, "shard": [0] * len(rows), "row": range(len(rows))},
            schema=SET_SCHEMA,
        )
        with pa.OSFile(str(draft.path / SET_FILE), "wb") as file, pa.ipc.new_file(file, SET_SCHEMA) as out:
            out.write_table(table)
        draft.info |= {"shards": [shard.committed().ref], "dim": halves[0].shape[1]}
        draft.info |= {"embedded": 3, "reused": len(rows) - 3, "duration_s": 0.5}
    return draft.committed()


def interval(value: float) -> dict[str, float]:
    """A figure with its interval."""
    return {"value": value, "low": value - 0.03, "high": value + 0.03}


def evaluation_record(ids: list[str]) -> dict[str, Any]:
    """``evaluation.json`` of a later night: champion, base, tuned and one interpolation."""
    names = {"champion": 0.61, "base": 0.40, "wise-0.5": 0.63, "tuned": 0.66}
    titles = {
        "champion": "Champion",
        "base": "Zero-shot base",
        "wise-0.5": "Half way",
        "tuned": "Fine-tuned tonight",
    }
    found = [
        {
            "id": ids[i],
            "score": 0.9 - 0.1 * i,
            "image_score": 0.95 - 0.1 * i,
            "text_score": 0.85 - 0.1 * i,
            "relevant": i < 2,
        }
        for i in range(1, 4)
    ]
    other = [{**found[0], "id": ids[5]}, *found[1:]]
    return {
        "version": 3,
        "snapshot": "snapshots/s",
        "splits": "splits/s",
        "confidence": 0.95,
        "image_weight": 0.5,
        "reference": "champion",
        "challenger": "tuned",
        "decision": "promote",
        "chosen": {"name": "tuned", "ref": "encoders/tuned"},
        "reasons": ["The challenger gains 0.050 overall.", "No category loses more than 0.050."],
        "notes": ["Queries were sampled."],
        "gate": {
            "tasks": ["variants"],
            "times_asked": 3,
            "power": {
                "num_products": 200,
                "num_components": 90,
                "detectable": 0.042,
                "components_for_a_point": 1588,
            },
            "checks": [
                {
                    "name": "overall",
                    "kind": "overall",
                    "task": None,
                    "against": "champion",
                    "num_products": 200,
                    "num_components": 90,
                    "difference": 0.05,
                    "low": 0.02,
                    "high": 0.08,
                    "limit": 0.0,
                    "passed": True,
                },
                {
                    "name": "Wear > Shoes",
                    "kind": "category",
                    "task": "variants",
                    "against": "base",
                    "num_products": 120,
                    "num_components": 60,
                    "difference": -0.02,
                    "low": -0.07,
                    "high": 0.01,
                    "limit": -0.05,
                    "passed": False,
                },
                {
                    "name": "Wear > Socks",
                    "kind": "fallen",
                    "task": "variants",
                    "against": "champion",
                    "num_products": 4,
                    "num_components": 2,
                    "difference": -0.4,
                    "low": -0.5,
                    "high": -0.3,
                    "limit": -0.05,
                    "passed": False,
                },
            ],
        },
        "candidates": [
            {
                "name": n,
                "title": titles[n],
                "ref": f"encoders/{n}",
                "alpha": None,
                "error": None,
                "validation_score": v,
                "gate_score": interval(v),
                "duration_s": 1.0,
            }
            for n, v in names.items()
        ],
        "tasks": [
            {
                "name": "variants",
                "title": "A product finds its variants",
                "kind": "item",
                "modality": "fused",
                "image_weight": 0.5,
                "gate": True,
                "metrics": ["map@r", "recall@10"],
                "main_metric": "map@r",
                "breakdown_by": "product_type",
                "num_queries": 200,
                "num_components": 90,
                "num_without_relevant": 0,
                "num_gallery": 300,
                "scores": {
                    n: {"map@r": interval(v), "recall@10": interval(v + 0.1)} for n, v in names.items()
                },
                "differences": {},
                "label_in_text": 0.62,
                "only_guards": True,
                "baselines": {"bag_of_words": interval(0.70), "pixels": interval(0.1)},
                "categories": [{"name": c, "num_queries": 60, "scores": dict(names)} for c in CATEGORIES],
            }
        ],
        "examples": [
            {
                "id": ids[0],
                "category": CATEGORIES[0],
                "why": "gained most",
                "change": 0.25,
                "neighbours": {"reference": found, "challenger": other},
            }
        ],
    }


def first_night(record: dict[str, Any]) -> None:
    """Turn the record into a first night's on which nothing could be compared."""
    record |= {
        "reference": "base",
        "challenger": None,
        "decision": "promote",
        "chosen": {"name": "base", "ref": "encoders/base"},
        "gate": None,
        "reasons": ["No encoder is in service yet."],
        "notes": [],
        "splits": None,
    }
    record["candidates"] = [c for c in record["candidates"] if c["name"] == "base"]
    record["tasks"] = []
    record["examples"] = []


def fit() -> dict[str, Any]:
    """``info`` of a challenger."""
    history = [
        {"step": s, "loss": 5 / s, "clip": 3 / s, "lr_factor": 1.0, "seconds": float(s)} for s in range(1, 60)
    ]
    return {
        "trained": True,
        "counts": {"splits": {"train": 200, "validation": 50, "holdout": 50}},
        "config": {"validation": {"metric": "map_at_r"}},
        "validation_label": "category",
        "fit": {
            "steps": 59,
            "seconds": 61.0,
            "device": "cpu",
            "images_per_second": 120.4,
            "kept_epoch": 2,
            "history": history,
            "epochs": [{"epoch": e, "metric": 0.5 + 0.1 * e, "step": 20 * e} for e in range(3)],
        },
    }


PUBLICATION: dict[str, Any] = {
    "action": "incremental",
    "reason": "The encoder did not change.",
    "alias": "products",
    "collection": "products__a__b",
    "previous": "products__a__b",
    "collected": [],
    "counts": {"new": 2, "vectors": 1, "payload": 3, "gone": 0, "unchanged": 294, "total": 300},
    "audit": {"checks": {"contents": "ok", "recall": "ok"}, "recall": {"0.5": 0.998}, "sampled": 64},
    "timings": {"upsert_s": 0.1},
    "duration_s": 0.4,
}


class Nights:
    """Makes nights in one workspace and reports on them."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder)
        self.config = Config(name="test shop")

    def refs(
        self,
        *,
        rows: list[dict[str, Any]] | None = None,
        rejected: list[dict[str, Any]] | None = None,
        evaluation: Change | None = None,
        challenger: dict[str, Any] | None = None,
        publication: dict[str, Any] | None = None,
        before: list[dict[str, Any]] | None = None,
        plan: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Commit the artifacts of a night and return the arguments that name them.

        The champion embedded the rows ``before``, or else those of the night; none where it is empty.
        """
        rows = products(60) if rows is None else rows
        catalog = snapshot(self.workspace, rows, [rejection()] if rejected is None else rejected)
        vectors = embeddings(self.workspace, catalog, rows)
        before = rows if before is None else before
        if before:
            earlier = snapshot(self.workspace, before, [])
            embeddings(self.workspace, earlier, before, seed=1, encoder="encoders/champion")
        record = (
            evaluation_record([r["id"] for r in rows[:6]]) if len(rows) > 5 else evaluation_record(["-"] * 6)
        )
        if evaluation is not None:
            evaluation(record)
        key = hashlib.sha256(repr((catalog.id, record, challenger, publication)).encode()).hexdigest()[:16]
        with self.workspace.create("encoders", key, inputs={"base": "encoders/base"}) as draft:
            draft.info |= fit() if challenger is None else challenger
        encoder = draft.committed()
        with self.workspace.create("evaluations", key, inputs={"challenger": encoder.ref}) as draft:
            (draft.path / "evaluation.json").write_text(json.dumps(record))
            draft.info["chosen"] = record["chosen"]["ref"]
        judged = draft.committed()
        with self.workspace.create("publications", key) as draft:
            draft.info |= PUBLICATION if publication is None else publication
        plan_ref = None
        if plan is not None:
            with self.workspace.create("training-plans", f"{key}-{plan['train']}") as planned:
                planned.info |= plan
            plan_ref = planned.committed().ref
        return {
            "snapshot_ref": catalog.ref,
            "encoder_ref": encoder.ref,
            "evaluation_ref": judged.ref,
            "embedding_set_ref": vectors.ref,
            "publication_ref": draft.committed().ref,
            "plan_ref": plan_ref,
            "timings": {
                "ingest": 3.0,
                "train": 61.0,
                "evaluate": 20.0,
                "embed": 0.5,
                "publish": 0.4,
                "total": 92.0,
            },
        }
