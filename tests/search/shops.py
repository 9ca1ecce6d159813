"""A small shop, embedded by real encoders and published in Qdrant Edge."""

from pathlib import Path
from typing import Any

from recsys.config import Config
from recsys.embedding import run as embedding
from recsys.encoder.model import build
from recsys.index import run as index
from recsys.workspace import Workspace
from tests.embedding.catalogs import product, store_images, store_snapshot
from tests.training.shop import COLORS

TONES = tuple(COLORS)
TYPES = ("Home > Lamps", "Home > Chairs", "Garden > Pots")


def settings(text_model: Path, **search: Any) -> Config:
    """A configuration whose encoders are built, and answer, in milliseconds."""
    return Config.model_validate(
        {
            "encoder": {
                "dim": 16,
                "image": {"kind": "small", "image_size": 32},
                "text": {"name": str(text_model)},
                "text_parts": ["{title}"],
            },
            "embedding": {"device": "cpu", "num_workers": 0},
            "index": {"attributes": ["fit"]},
            "search": {"poll_interval_s": 0.05, **search},
        }
    )


def rows(count: int = 24) -> list[dict[str, Any]]:
    """Products in groups of two, of three types; every seventh lacks an image, one its title."""
    made = []
    for i in range(count):
        color = TONES[i % len(TONES)]
        columns = {
            "brand": ("Acme", "Bolt")[i % 2],
            "product_type": TYPES[i % 3],
            "color": color,
            "price": 10.0 + i,
            "currency": "EUR",
            "availability": "in_stock" if i % 4 else "out_of_stock",
            "item_group_id": f"g{i // 2}",
            "attributes": [("fit", "slim" if i % 2 else "wide")],
            "link": f"https://shop.example/p{i:02d}",
        }
        images = [] if i % 7 == 6 else [i % 9]
        made.append(
            product(f"p{i:02d}", title=None if i == 5 else f"{color} thing {i}", images=images, **columns)
        )
    return made


def make_encoder(config: Config, workspace: Workspace, seed: int) -> str:
    """Commit the encoder that this seed gives; return its ref."""
    with workspace.create("encoders", f"e{seed}") as draft:
        build(config.encoder, seed=seed).save(draft.path)
    return draft.committed().ref


def publish(
    config: Config, workspace: Workspace, *, seed: int = 0, catalog: list[dict[str, Any]] | None = None
) -> str:
    """Publish the shop, or another catalog, under the encoder of ``seed``; return the collection's name."""
    catalog = rows() if catalog is None else catalog
    if workspace.find("images", "images") is None:
        store_images(workspace, range(9))
    if workspace.find("encoders", f"e{seed}") is None:
        make_encoder(config, workspace, seed)
    night = f"night-{abs(hash(repr(catalog))):x}"
    snapshot = (
        f"snapshots/{night}"
        if workspace.find("snapshots", night)
        else store_snapshot(workspace, catalog, ["images/images"], night)
    )
    embedded = embedding.run(config, workspace, snapshot, f"encoders/e{seed}")
    return str(index.run(config, workspace, snapshot, embedded.ref).info["collection"])
