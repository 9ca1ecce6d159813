"""A tiny shop for evaluation: images, texts, a split, encoders good or bad by construction.

Each of 6 types has a colour, each of its item groups a shade and a stripe, each of 3 variants a small change
of light: both images and texts show what belongs together.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
import torch

from recsys.config import Config
from recsys.encoder.model import ProductEncoder, build
from recsys.workspace import Workspace
from recsys.workspace.image_store import FILE, ImageShardWriter
from recsys.workspace.product import PRODUCTS, REJECTED
from recsys.workspace.snapshot import PRODUCTS_FILE, REJECTED_FILE
from recsys.workspace.splits import FILE as SPLITS_FILE
from recsys.workspace.splits import write_splits

TYPES = {
    "Kettle": (200, 40, 40),
    "Teapot": (40, 160, 60),
    "Lamp": (220, 190, 40),
    "Bag": (60, 60, 200),
    "Shoe": (150, 60, 170),
    "Chair": (60, 180, 190),
}
MATERIALS = ["steel", "glass", "oak", "linen", "leather", "clay", "copper", "wool"]
SIZE = 32


def settings(**evaluation: Any) -> Config:
    """A configuration with a small encoder, and a gate that fits so few queries."""
    gate = {"min_queries": 10, "min_components": 5, "resamples": 400} | evaluation.pop("gate", {})
    return Config.model_validate(
        {
            "encoder": {
                "dim": 32,
                "image": {"kind": "small", "image_size": SIZE},
                "text_parts": ["{title}", "{material}"],
            },
            "evaluation": {"wise_ft_alphas": [0.5], "gate": gate, **evaluation},
            "embedding": {"num_workers": 0},
        }
    )


def image(color: tuple[int, int, int], group: int, variant: int) -> bytes:
    """A striped square as JPEG."""
    rng = np.random.default_rng([*color, group])
    base = np.array(color) + rng.integers(-30, 31, 3)
    pixels = np.broadcast_to(base, (SIZE, SIZE, 3)).astype(float).copy()
    pixels[:: 2 + group % 5, :] *= 0.5
    pixels[:, :: 3 + group % 4] *= 0.7
    light = 1 + 0.05 * (variant - 1)
    return bytes(simplejpeg.encode_jpeg(np.clip(pixels * light, 0, 255).astype(np.uint8), 95))


def rows(groups_per_type: int = 8) -> list[tuple[dict[str, Any], bytes | None]]:
    """Products with their images, ascending by id; one has no image, one no text."""
    made = []
    for t, (kind, color) in enumerate(TYPES.items()):
        for group in range(groups_per_type):
            for variant in range(3):
                jpeg: bytes | None = image(color, group, variant)
                row: dict[str, Any] = dict.fromkeys(PRODUCTS.names)
                number = (t * groups_per_type + group) * 3 + variant
                row |= {
                    "id": f"P{number:04d}",
                    "title": f"{kind} number {group}",
                    "product_type": kind,
                    "material": MATERIALS[(group + t) % len(MATERIALS)],
                    "item_group_id": f"G{t}-{group}",
                    "attributes": [
                        ("kind", "photo" if variant else "studio"),
                        ("links", f"G{t}-{(group + 1) % groups_per_type}|unknown"),
                    ],
                    "content_hash": bytes(16),
                    "payload_hash": bytes(16),
                }
                if number == 4:
                    jpeg = None
                if number == 5:
                    row |= {"title": None, "material": None}
                row["images"] = [] if jpeg is None else [hashlib.sha256(row["id"].encode()).digest()]
                made.append((row, jpeg))
    return made


def snapshot(workspace: Workspace, id: str = "night", **options: Any) -> str:
    """Write the shop as a snapshot; return its ref."""
    made = rows(**options)
    with workspace.create("images", f"{id}-images") as draft:
        writer = ImageShardWriter(draft.path / FILE)
        for row, jpeg in made:
            if jpeg is not None:
                writer.add(sha256=row["images"][0], phash=0, width=SIZE, height=SIZE, jpeg=jpeg)
        writer.close()
    shard = draft.committed().ref
    with workspace.create("snapshots", id) as draft:
        table = pa.Table.from_pylist([row for row, _ in made], schema=PRODUCTS)
        pq.write_table(table, draft.path / PRODUCTS_FILE, row_group_size=50)
        pq.write_table(REJECTED.empty_table(), draft.path / REJECTED_FILE)
        draft.info = {"image_shards": [shard], "counts": {"products": len(made)}}
    return draft.committed().ref


def splits(workspace: Workspace, snapshot_ref: str, id: str = "night") -> str:
    """Write a split by item group: a third each for training, validation and holdout; return its ref."""
    table = pq.read_table(workspace.path(workspace.get(snapshot_ref)) / PRODUCTS_FILE)
    groups = table.column("item_group_id").to_pylist()
    names = ["holdout", "validation", "train"]
    split = [names[int(g.split("-")[1]) % 3] for g in groups]
    with workspace.create("splits", id, inputs={"snapshot": snapshot_ref}) as draft:
        columns = {"id": table.column("id").to_pylist(), "component": groups, "split": split}
        write_splits(draft.path / SPLITS_FILE, pa.table(columns))
    return draft.committed().ref


def build_encoder(config: Config, folder: Path) -> Path:
    """Save an encoder whose vectors tell the shop's products apart; return its folder."""
    build(config.encoder, seed=0).save(folder)
    return folder


def encoder(
    workspace: Workspace,
    good: Path,
    id: str,
    change: Callable[[ProductEncoder], None] | None = None,
    **inputs: str,
) -> str:
    """Store the good encoder, changed or not, as an artifact; return its ref."""
    model = ProductEncoder.load(good)
    if change is not None:
        with torch.no_grad():
            change(model)
    with workspace.create("encoders", id, inputs=inputs) as draft:
        model.save(draft.path)
    return draft.committed().ref


def blind(model: ProductEncoder) -> None:
    """Make an encoder worse: both projections keep little but noise of two directions."""
    torch.manual_seed(1)
    for projection in (model.image_projection, model.text_projection):
        rank_two = torch.randn(projection.weight.shape[0], 2) @ torch.randn(2, projection.weight.shape[1])
        projection.weight.copy_(rank_two)


def broken(model: ProductEncoder) -> None:
    """Make an encoder give vectors that are not numbers."""
    model.image_projection.weight.fill_(float("nan"))


def nudge(model: ProductEncoder) -> None:
    """Change the weights by next to nothing."""
    model.image_projection.weight.mul_(1.0001)
