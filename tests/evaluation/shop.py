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
from recsys.workspace.product import PRODUCTS
from recsys.workspace.snapshot import PRODUCTS_FILE
from recsys.workspace.splits import FILE as SPLITS_FILE
from recsys.workspace.splits import write_splits
from tests.training.shop import SIZE, store

TYPES = {
    "Kettle": (200, 40, 40),
    "Teapot": (40, 160, 60),
    "Lamp": (220, 190, 40),
    "Bag": (60, 60, 200),
    "Shoe": (150, 60, 170),
    "Chair": (60, 180, 190),
}
MATERIALS = ["steel", "glass", "oak", "linen", "leather", "clay", "copper", "wool"]


def settings(**evaluation: Any) -> Config:
    """A configuration with a small encoder, and a gate that fits so few queries."""
    gate = {"min_queries": 10, "min_components": 5, "resamples": 400} | evaluation.pop("gate", {})
    return Config.model_validate(
        {
            "encoder": {
                "dim": 384,  # the text tower's: its projection starts as the identity
                "image": {"kind": "small", "image_size": SIZE},
                "text": {"lexical_share": 0.0},
                "text_parts": ["{title}", "{material}"],
            },
            "evaluation": {"wise_ft_alphas": [0.5, 1], "gate": gate, **evaluation},
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


def rows(groups_per_type: int = 8) -> list[tuple[dict[str, Any], list[tuple[bytes, bytes]]]]:
    """Products with their images, ascending by id; one has no image, one no text."""
    made = []
    for number in range(len(TYPES) * groups_per_type * 3):
        t, group, variant = number // (groups_per_type * 3), number // 3 % groups_per_type, number % 3
        kind = list(TYPES)[t]
        sha256 = hashlib.sha256(f"P{number:04d}".encode()).digest()
        row: dict[str, Any] = dict.fromkeys(PRODUCTS.names) | {
            "id": f"P{number:04d}",
            "title": f"{kind} number {group}" if number != 5 else None,
            "product_type": kind,
            "material": MATERIALS[(group + t) % len(MATERIALS)] if number != 5 else None,
            "item_group_id": f"G{t}-{group}",
            "attributes": [],
            "content_hash": bytes(16),
            "payload_hash": bytes(16),
            "images": [sha256] if number != 4 else [],
        }
        made.append((row, [(sha256, image(TYPES[kind], group, variant))] if number != 4 else []))
    return made


def snapshot(workspace: Workspace, id: str = "night", **options: Any) -> str:
    """Write the shop as a snapshot; return its ref."""
    return store(workspace, rows(**options), id)


def splits(workspace: Workspace, snapshot_ref: str, id: str = "night", *, turned: int = 0) -> str:
    """Write a split by item group: a third each for training, validation and holdout; return its ref.

    ``turned`` by one or two, each third has another role.
    """
    table = pq.read_table(workspace.path(workspace.get(snapshot_ref)) / PRODUCTS_FILE)
    groups = table.column("item_group_id").to_pylist()
    names = ["holdout", "validation", "train"]
    split = [names[(int(g.split("-")[1]) + turned) % 3] for g in groups]
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
    """Make an encoder worse: its images keep little but noise of two directions."""
    torch.manual_seed(12)  # no text finds its image by chance
    weight = model.image_projection.weight
    weight.copy_(torch.randn(weight.shape[0], 2) @ torch.randn(2, weight.shape[1]))


def broken(model: ProductEncoder) -> None:
    """Make an encoder give vectors that are not numbers."""
    model.image_projection.weight.fill_(float("nan"))


def nudge(model: ProductEncoder) -> None:
    """Change the weights by next to nothing."""
    model.image_projection.weight.mul_(1.0001)
