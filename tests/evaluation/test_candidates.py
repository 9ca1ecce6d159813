"""Which encoders are candidates, and their embeddings."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.config import Config
from recsys.config.embedding import EmbeddingConfig
from recsys.encoder.inference import embed_all
from recsys.encoder.model import ProductEncoder
from recsys.errors import ArtifactError
from recsys.evaluation.candidates import (
    Candidate,
    Embedder,
    candidates_of,
    load,
    reason_to_change,
    save,
    untouched_of,
)
from recsys.workspace import Workspace
from recsys.workspace.image_store import ImageStore
from recsys.workspace.snapshot import Snapshot
from tests.evaluation import shop
from tests.evaluation.test_run import Night


def frozen_settings() -> Config:
    config = shop.settings()
    image = config.encoder.image.model_copy(update={"frozen": True})
    return config.model_copy(update={"encoder": config.encoder.model_copy(update={"image": image})})


def turned(model: ProductEncoder) -> None:
    """Other projections on the same towers."""
    torch.manual_seed(3)
    for projection in (model.image_projection, model.text_projection):
        projection.weight.copy_(torch.randn_like(projection.weight))


def other_tower(model: ProductEncoder) -> None:
    next(model.image_tower.parameters()).mul_(1.01)


def other_pixels(model: ProductEncoder) -> None:
    image = model.config.image.model_copy(update={"mean": (0.3, 0.4, 0.5)})
    model.config = model.config.model_copy(update={"image": image})


def test_a_frozen_tower_reads_every_image_once_for_all_candidates(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = shop.build_encoder(frozen_settings(), tmp_path / "good")
    ref = shop.snapshot(workspace, groups_per_type=2)
    refs = [
        shop.encoder(workspace, good, name, change)
        for name, change in (("base", None), ("a", turned), ("b", other_tower), ("c", other_pixels))
    ]
    read: Counter[bytes] = Counter()
    real = ImageStore.jpeg

    def counted(store: ImageStore, sha256: bytes) -> bytes:
        read[sha256] += 1
        return real(store, sha256)

    pool = np.array([0, 3, 4, 5, 20, 35])
    options = EmbeddingConfig(num_workers=0, chunk_size=4)
    embedder = Embedder(workspace, ref, pool, tmp_path / "scratch", options)
    snapshot = Snapshot.open(workspace, ref)
    rows = snapshot.table().take(pool).to_pylist()
    for candidate in [*(Candidate(name=r, title="", ref=r) for r in refs), untouched_of(refs[1])]:
        with monkeypatch.context() as patched:
            patched.setattr(ImageStore, "jpeg", counted)
            made, _ = embedder.embed(candidate)
        alone = embed_all(load(workspace, candidate), rows, snapshot.images(), options)
        for one, other in zip(made, alone, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert len(read) == 5  # one of six products has no image
    assert set(read.values()) == {3}  # two of the five encoders see other features


def test_an_interpolation_is_saved_once_and_is_the_model_between(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.nudge)
    challenger = workspace.get(night.tuned)
    half = candidates_of(challenger, None, [0.5])[1]
    manifest = save(workspace, half, night.splits)
    assert manifest.ref == half.ref
    assert manifest.inputs == {"base": night.base, "tuned": night.tuned, "splits": night.splits}
    assert manifest.info["alphas"] == [0.5, 0.5]
    base, tuned, made = (
        ProductEncoder.load(workspace.path(workspace.get(ref))).image_projection.weight
        for ref in (night.base, night.tuned, half.ref)
    )
    torch.testing.assert_close(made, (base + tuned) / 2)
    assert save(workspace, half, night.splits) == manifest


def test_no_encoder_is_a_candidate_twice(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good)
    challenger = workspace.get(night.tuned)
    names = [c.name for c in candidates_of(challenger, night.base, [0.25, 0.5, 1])]
    assert names == ["champion", "wise-0.25", "wise-0.5", "tuned"]
    half = candidates_of(challenger, None, [0.5])[1].ref
    assert [c.name for c in candidates_of(challenger, half, [0.5, 1])] == ["champion", "base", "tuned"]
    found = replace(challenger, info={**challenger.info, "base_is_behind": True})
    for champion, name in ((None, "base"), (night.base, "champion")):
        behind = [c.name for c in candidates_of(found, champion, None) if c.is_behind]
        assert behind == [name], "the base does not challenge, also where it serves"
    with pytest.raises(ArtifactError, match="does not name the base"):
        candidates_of(workspace.get(night.base), None, [0.5])


def test_reasons_to_change(workspace: Workspace, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(workspace, good)
    champion = night.champion()
    tuned = Candidate(name="tuned", title="", ref=night.tuned)
    base = Candidate(name="base", title="", ref=night.base)

    def reason(champion: str | None, candidate: Candidate) -> str:
        return reason_to_change(shop.settings(), workspace, night.snapshot, champion, candidate) or ""

    assert not reason(champion, tuned)
    assert not reason(None, tuned)
    snapshot, real = workspace.get(night.snapshot), workspace.get
    later = replace(snapshot, created_at=(datetime.now(UTC) + timedelta(days=40)).isoformat())
    monkeypatch.setattr(workspace, "get", lambda ref: later if ref == night.snapshot else real(ref))
    assert "40 days" in reason(champion, tuned)
    assert not reason(champion, base)
    assert not reason(night.base, tuned)  # a base does not age

    def wider(model: ProductEncoder) -> None:
        model.config = model.config.model_copy(update={"max_images": 3})

    changed = shop.encoder(workspace, good, "other", wider, base="encoders/earlier")
    assert "max_images" in reason(changed, tuned)
