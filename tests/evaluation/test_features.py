"""Features that are shared give the vectors that each candidate would give by itself."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.config import Config
from recsys.config.embedding import EmbeddingConfig
from recsys.encoder.inference import embed_all
from recsys.encoder.model import ProductEncoder
from recsys.evaluation import candidates
from recsys.evaluation.candidates import Candidate, Embedder, image_digest
from recsys.workspace import Workspace
from recsys.workspace.snapshot import Snapshot
from tests.evaluation import shop


def frozen_settings() -> Config:
    config = shop.settings()
    image = config.encoder.image.model_copy(update={"frozen": True})
    return config.model_copy(update={"encoder": config.encoder.model_copy(update={"image": image})})


def turned(model: ProductEncoder) -> None:
    """Another projection on the same towers."""
    torch.manual_seed(3)
    model.image_projection.weight.copy_(torch.randn_like(model.image_projection.weight))


def other_tower(model: ProductEncoder) -> None:
    next(model.image_tower.parameters()).mul_(1.01)


def test_a_frozen_tower_reads_every_image_once_for_all_candidates(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = shop.good_encoder(frozen_settings(), tmp_path / "good")
    ref = shop.snapshot(workspace, groups_per_type=2)
    refs = [
        shop.encoder(workspace, good, name, change)
        for name, change in (("base", None), ("tuned", turned), ("elsewhere", other_tower))
    ]
    runs: list[int] = []
    real = candidates.image_features

    def counted(encoder: ProductEncoder, shas: list[bytes], *others: object) -> np.ndarray:
        runs.append(len(shas))
        return real(encoder, shas, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(candidates, "image_features", counted)
    pool = np.array([0, 3, 4, 5, 20, 35])
    options = EmbeddingConfig(num_workers=0, chunk_size=4)
    embedder = Embedder(workspace, ref, pool, tmp_path / "scratch", options)
    snapshot = Snapshot.open(workspace, ref)
    rows = snapshot.table().take(pool).to_pylist()
    for ref_ in refs:
        made, _ = embedder.embed(Candidate(name=ref_, title="", ref=ref_))
        model = ProductEncoder.load(workspace.path(workspace.get(ref_)))
        alone = embed_all(model, rows, snapshot.images(), options)
        for one, other in zip(made, alone, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert runs == [5, 5]  # one of six products has no image; the third encoder has another tower


def test_the_digest_knows_how_pixels_are_made(tmp_path: Path) -> None:
    good = ProductEncoder.load(shop.good_encoder(shop.settings(), tmp_path / "good"))
    before = image_digest(good)
    with torch.no_grad():
        turned(good)
    assert image_digest(good) == before
    good.mean.add_(0.1)
    assert image_digest(good) != before
