"""A tiny shop for training: colours are categories, stripes are item groups, words say both."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from recsys.config import Config
from recsys.workspace import Workspace
from recsys.workspace.image_store import FILE, ImageShardWriter
from recsys.workspace.product import PRODUCTS, REJECTED
from recsys.workspace.snapshot import PRODUCTS_FILE, REJECTED_FILE

COLORS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (60, 60, 200), "grey": (128, 128, 128)}
SIZE = 32


def tiny_text_model(folder: Path) -> Path:
    """Save a sentence-transformers model of one narrow layer with random weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *COLORS, "thing", "striped", *map(str, range(10))]
    source = folder / "bert"
    source.mkdir(parents=True)
    (source / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), **shape)).save_pretrained(source)
    BertTokenizerFast(vocab_file=str(source / "vocab.txt")).save_pretrained(source)
    tower = Transformer(str(source))
    SentenceTransformer(modules=[tower, Pooling(16)], device="cpu").save(str(folder / "model"))
    return folder / "model"


def settings(text_model: Path, *, encoder: dict[str, Any] | None = None, **training: Any) -> Config:
    """A configuration with an encoder that trains in a second."""
    small = {
        "dim": 16,
        "image": {"kind": "small", "image_size": SIZE, "projection": {"init": "orthogonal"}},
        "text": {"name": str(text_model), "projection": {"init": "orthogonal"}},
        "text_parts": ["{title}"],
    }
    quick = {
        "max_epochs": 2,
        "epoch_steps": 3,
        "num_workers": 0,
        "sampler": {"batch_size": 16, "items_per_class": 2},
        "split": {"validation_share": 0.2, "holdout_share": 0.2, "phash_distance": -1},
        "objectives": [{"kind": "clip"}, {"kind": "metric", "loss": {"name": "SupConLoss"}}],
    }
    return Config.model_validate({"encoder": small | (encoder or {}), "training": quick | training})


def image(color: str, group: int, variant: int) -> bytes:
    """A striped square as JPEG."""
    pixels = np.broadcast_to(np.array(COLORS[color]), (SIZE, SIZE, 3)).astype(float).copy()
    pixels[:: 2 + group % 5] *= 0.5
    pixels *= 1 + 0.05 * variant
    return bytes(simplejpeg.encode_jpeg(np.clip(pixels, 0, 255).astype(np.uint8), 95))


def sha(number: int) -> bytes:
    """The source hash of image ``number``."""
    return hashlib.sha256(str(number).encode()).digest()


def rows(groups_per_color: int = 10) -> list[tuple[dict[str, Any], list[tuple[bytes, bytes]]]]:
    """Products and their images: two variants per group, the second with two images."""
    made = []
    for color in COLORS:
        for group in range(groups_per_color):
            for variant in range(2):
                number = len(made)
                row: dict[str, Any] = dict.fromkeys(PRODUCTS.names)
                images = [
                    (sha(10 * number + i), image(color, group, variant + i)) for i in range(1 + variant)
                ]
                row |= {
                    "id": f"P{number:04d}",
                    "title": f"{color} thing {group} {variant}",
                    "product_type": color,
                    "item_group_id": f"G{color}{group}",
                    "attributes": [
                        ("fold", "abc"[group % 3]),
                        ("alike", f"G{color}{(group + 1) % groups_per_color}"),
                    ],
                    "content_hash": bytes(16),
                    "payload_hash": bytes(16),
                    "images": [s for s, _ in images],
                }
                made.append((row, images))
    return made


def store(
    workspace: Workspace, made: list[tuple[dict[str, Any], list[tuple[bytes, bytes]]]], id: str = "night"
) -> str:
    """Write products and images as a snapshot; return its ref."""
    with workspace.create("images", f"{id}-images") as draft:
        writer = ImageShardWriter(draft.path / FILE)
        for sha256, jpeg in {s: j for _, images in made for s, j in images}.items():
            phash = int.from_bytes(sha256[:8], "big")
            writer.add(sha256=sha256, phash=phash, width=SIZE, height=SIZE, jpeg=jpeg)
        writer.close()
    shard = draft.committed().ref
    with workspace.create("snapshots", id) as draft:
        table = pa.Table.from_pylist([row for row, _ in made], schema=PRODUCTS)
        pq.write_table(table, draft.path / PRODUCTS_FILE, row_group_size=50)
        pq.write_table(REJECTED.empty_table(), draft.path / REJECTED_FILE)
        draft.info = {"image_shards": [shard], "counts": {"products": len(made)}}
    return draft.committed().ref
