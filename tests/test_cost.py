"""What a night costs follows what changed: its work is counted, from the feed to the index."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from recsys import nightly
from recsys.catalog import ingest_images
from recsys.catalog import run as catalog
from recsys.config import CatalogConfig, Config, EmbeddingConfig
from recsys.embedding import run as embedding
from recsys.encoder.model import ProductEncoder, build
from recsys.index.edge import EdgeWriter
from recsys.workspace import Workspace
from recsys.workspace.decoding import DecodePool
from recsys.workspace.image_store import ImageStore
from tests.embedding.catalogs import make_image
from tests.training.shop import settings

COUNT = 500
CHANGED = COUNT // 100


def count_work(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Note images and texts as they are read, decoded and encoded, points as they are written, and how many.

    It is a list since threads do that at once.
    """
    work: list[tuple[str, int]] = []

    def count(owner: Any, name: str, what: str, *, rows: bool = True) -> None:
        honest = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            result = honest(*arguments, **named)
            work.append((what, len(result if owner is ProductEncoder else arguments[-1]) if rows else 1))
            return result

        monkeypatch.setattr(owner, name, counted)

    count(ingest_images, "read_file", "images fetched", rows=False)
    count(DecodePool, "normalise", "images normalised", rows=False)
    count(ImageStore, "jpeg", "images decoded for the encoder", rows=False)
    count(ProductEncoder, "early_image", "images encoded")
    count(ProductEncoder, "text_features", "texts encoded")
    for name in ("_upsert", "_overwrite_payloads", "_delete"):
        count(EdgeWriter, name, "points written")
    return work


def test_a_night_in_which_a_hundredth_changed_does_at_most_three_hundredths_of_the_work(
    tmp_path: Path, workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = tmp_path / "feed.jsonl"
    base = settings(text_model)
    config = Config(
        catalog=CatalogConfig(feed=str(feed)),
        encoder=base.encoder,
        embedding=EmbeddingConfig(device="cpu", num_workers=1),
    )
    with workspace.create("encoders", "e0") as draft:
        build(config.encoder, seed=0).save(draft.path)
    work = count_work(monkeypatch)

    def night(num_changed: int) -> Counter[str]:
        """Change the title and the image of the first products; return the work of their night."""
        rows = []
        for i in range(COUNT):
            look = i + COUNT * (i < num_changed)
            path = tmp_path / f"{look}.jpg"
            path.write_bytes(make_image(look)) if not path.exists() else None
            rows.append({"id": f"p{i:04d}", "title": f"red thing {look}", "image_link": path.name})
        feed.write_text("".join(json.dumps(row) + "\n" for row in rows))
        work.clear()
        snapshot = catalog.run(config, workspace).ref
        embeddings = embedding.run(config, workspace, snapshot, "encoders/e0").ref
        publication = nightly.publish(config, workspace, snapshot, embeddings)
        assert publication.info["audit"]["reencoded"] == min(
            num_changed or COUNT, config.index.reencode_sample
        )
        counts: Counter[str] = Counter()
        for what, number in work:
            counts[what] += number
        return counts

    full, small = night(0), night(CHANGED)
    encoded = 2 * COUNT  # once for the index, once more by the audit
    assert full == {
        "images fetched": COUNT, "images normalised": COUNT, "images decoded for the encoder": encoded,
        "images encoded": encoded, "texts encoded": encoded, "points written": COUNT,
    }  # fmt: skip
    assert small.keys() == full.keys()
    assert all(small[what] <= 0.03 * full[what] for what in full), (small, full)
