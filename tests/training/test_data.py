"""Batches as tensors: the same in line and in workers, from the cache and without it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recsys.encoder.preprocess import Preprocess
from recsys.encoder.template import ContentReader
from recsys.training.data import Batch, BatchLoader, read_items
from recsys.training.fit import FitJob, make_loader
from recsys.training.image_cache import ImageCache
from recsys.training.initial_encoder import ProductEncoder, build
from recsys.training.module import encode
from recsys.training.supervision import LabelledPairs
from recsys.training.supervision import build as supervise
from recsys.workspace import Workspace
from recsys.workspace.snapshot import Snapshot
from tests.training.shop import rows, settings, store


def job(workspace: Workspace, text_model: Path, tmp_path: Path, **training: Any) -> FitJob:
    made = rows(4)
    if workspace.find("snapshots", "night") is None:
        store(workspace, made)
    config = settings(text_model, **training)
    snapshot = Snapshot.open(workspace, "snapshots/night")
    splits = ["train" if i % 4 else "holdout" for i in range(len(made))]
    (tmp_path / "scratch").mkdir(exist_ok=True)
    return FitJob(
        config=config.training,
        encoder=build(config.encoder, seed=0),
        items=read_items(
            snapshot, ContentReader(config.encoder), splits, [str(i // 2) for i in range(len(made))]
        ),
        images=snapshot.images(),
        supervision=supervise(snapshot.table(), splits, config.training, str),
        trained=np.flatnonzero([s == "train" for s in splits]),
        validator=None,
        folder=tmp_path / "scratch",
        seed=3,
    )


def same(one: Batch, two: Batch) -> bool:
    tensors = [
        (one[k][n], two[k][n]) if isinstance(one[k], dict) else (one[k], two[k])
        for k in one
        for n in (one[k] if isinstance(one[k], dict) else [None])
    ]
    return one.keys() == two.keys() and all(
        torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in tensors
    )


def test_workers_cache_and_order_change_nothing(
    workspace: Workspace, text_model: Path, tmp_path: Path
) -> None:
    plain = list(make_loader(job(workspace, text_model, tmp_path)))
    assert len(plain) == 3
    assert [b["number"] for b in plain] == [0, 1, 2]
    for training in ({"num_workers": 2}, {"cache_decoded": False}, {"cache_max_gb": 0}):
        loader = make_loader(job(workspace, text_model, tmp_path, **training))
        assert all(same(a, b) for a, b in zip(plain, loader, strict=True)), training


def test_the_next_epoch_and_a_resumed_loader_go_on_from_the_next_batch(
    workspace: Workspace, text_model: Path, tmp_path: Path
) -> None:
    loader = make_loader(job(workspace, text_model, tmp_path))
    numbers = [b["number"] for _ in range(2) for b in loader]
    assert numbers == [0, 1, 2, 3, 4, 5]
    other = BatchLoader(loader.dataset, 3, num_workers=0, pin_memory=False)
    other.next_batch = 4
    assert [b["number"] for b in other] == [4, 5]
    assert other.next_batch == 6


def test_a_batch_holds_the_planned_products(workspace: Workspace, text_model: Path, tmp_path: Path) -> None:
    given = job(workspace, text_model, tmp_path)
    batch = next(iter(make_loader(given)))
    assert batch["pixels"].dtype == torch.uint8
    assert batch["pixels"].shape[1:] == (3, 32, 32)
    assert batch["pixels"].is_contiguous(memory_format=torch.channels_last)
    assert np.isin(batch["products"].numpy(), given.trained).all()
    ids = batch["products"].numpy()
    assert batch["components"].tolist() == given.items.components[ids].tolist()
    assert batch["labels"]["category"].tolist() == given.supervision.labels["category"][ids].tolist()
    texts = [given.items.texts[c] for c in batch["text_codes"].tolist()]
    with torch.no_grad():
        image, text, has_image, has_text = encode(given.encoder, batch)
        expected = given.encoder.encode_text(given.encoder.tokenize(texts))
    assert torch.allclose(text, expected, atol=1e-5)
    assert has_image.all()
    assert has_text.all()
    assert torch.allclose(image.norm(dim=1), torch.ones(len(ids)), atol=1e-5)


def test_a_missing_modality_gets_the_vector_of_the_other(
    workspace: Workspace, text_model: Path, tmp_path: Path
) -> None:
    given = job(workspace, text_model, tmp_path)
    batch = next(iter(make_loader(given)))
    one = {**batch, "image_rows": batch["image_rows"][1:], "pixels": batch["pixels"][1:]}
    image, text, has_image, _ = encode(given.encoder, one)
    assert not has_image[0]
    assert torch.equal(image[0], text[0])
    other = {**batch, "text_rows": batch["text_rows"][1:], "text_features": batch["text_features"][1:]}
    image, text, _, has_text = encode(given.encoder, other)
    assert not has_text[0]
    assert torch.equal(image[0], text[0])


def test_a_trained_text_tower_gets_tokens(workspace: Workspace, text_model: Path, tmp_path: Path) -> None:
    given = job(workspace, text_model, tmp_path)
    frozen = next(iter(make_loader(given)))
    model = given.encoder
    thawed = ProductEncoder(
        model.config.model_copy(update={"text": model.config.text.model_copy(update={"frozen": False})}),
        model.image_tower,
        model.text_tower,
    )
    free = next(iter(make_loader(FitJob(**{**vars(given), "encoder": thawed}))))
    assert "text_features" not in free
    with torch.no_grad():
        tower = thawed.text_features(free["tokens"])
        features = thawed.with_words(tower, free["tokens"]["words"])
    assert torch.allclose(features, frozen["text_features"], atol=1e-5)


def test_the_cache_is_whole_or_not_there(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(workspace, rows(3))
    images = Snapshot.open(workspace, "snapshots/night").images()
    hashes = list(images)
    preprocess = Preprocess(40, "pad")
    pixels = Preprocess.pixels

    def fails(self: Preprocess, jpeg: bytes) -> Any:
        if jpeg == images.jpeg(hashes[-1]):
            raise KeyboardInterrupt
        return pixels(self, jpeg)

    monkeypatch.setattr(Preprocess, "pixels", fails)
    with pytest.raises(KeyboardInterrupt):
        ImageCache(images, hashes, preprocess, cache=tmp_path)
    assert not list(tmp_path.glob("*.npy"))
    monkeypatch.setattr(Preprocess, "pixels", pixels)
    cached, fresh = (
        ImageCache(images, hashes, preprocess, cache=tmp_path),
        ImageCache(images, hashes, preprocess),
    )
    assert cached.is_cached
    assert not fresh.is_cached
    assert all(np.array_equal(cached[i], fresh[i]) for i in range(len(hashes)))


def test_judged_pairs_are_symmetric_and_found_for_repeated_products(
    workspace: Workspace, text_model: Path, tmp_path: Path
) -> None:
    given = job(workspace, text_model, tmp_path)
    pairs = LabelledPairs(np.array([1, 2]), np.array([5, 3]), np.array([2.0, -1.0], np.float32))
    given = dataclasses.replace(given, supervision=dataclasses.replace(given.supervision, pairs=pairs))
    for batch in make_loader(given):
        products = batch["products"].tolist()
        of = {(1, 5): 2.0, (5, 1): 2.0, (2, 3): -1.0, (3, 2): -1.0}
        expected = [[of.get((a, b), 0.0) for b in products] for a in products]
        assert batch["judged"].tolist() == expected
        assert batch["judged"].any()
