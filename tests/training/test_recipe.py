"""What the recipe decides from what it sees of a catalog."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.config.training import TrainingConfig
from recsys.encoder.model import build
from recsys.encoder.template import ContentReader
from recsys.training import run
from recsys.training.data import read_items
from recsys.training.recipe import Choice, decide
from recsys.training.supervision import build as supervise
from recsys.workspace import Workspace
from recsys.workspace.snapshot import Snapshot
from tests.training.shop import rows, settings, store

OPEN: dict[str, Any] = {"max_epochs": None, "epoch_steps": None, "objectives": None}


def decided(
    workspace: Workspace, text_model: Path, made: Any, **training: Any
) -> tuple[TrainingConfig, dict[str, Choice]]:
    if workspace.find("snapshots", "night") is None:
        store(workspace, made)
    config = settings(text_model, **{**OPEN, **training})
    snapshot = Snapshot.open(workspace, "snapshots/night")
    splits = ["train" if i % 4 else "holdout" for i in range(len(made))]
    items = read_items(
        snapshot, ContentReader(config.encoder), splits, [str(i // 2) for i in range(len(made))]
    )
    known = supervise(snapshot.table(), splits, config.training, str)
    trained = np.flatnonzero([split == "train" for split in splits])
    found, choices = decide(config.training, build(config.encoder, seed=0), items, known, trained)
    return found, {choice.setting: choice for choice in choices}


def terms(config: TrainingConfig) -> list[tuple[str, str, str | None]]:
    return [(term.kind, term.vector, term.label if term.loss else None) for term in config.terms]


def without(column: str) -> Any:
    return [({**row, column: [] if column == "images" else None}, images) for row, images in rows(4)]


BY_CATEGORY = [("metric", "image", "category"), ("metric", "text", "category")]
BY_GROUP = [("metric", "image", "group"), ("metric", "text", "group")]
WORDS = ("clip", "product", None)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("material", [*BY_CATEGORY, *BY_GROUP, WORDS]),
        ("product_type", [*BY_GROUP, WORDS]),
        ("title", [BY_CATEGORY[0], BY_GROUP[0]]),
        ("images", [BY_CATEGORY[1], BY_GROUP[1]]),
    ],
)
def test_every_level_and_vector_that_has_something_to_bring_together_is_learnt_from(
    workspace: Workspace, text_model: Path, missing: str, expected: list[Any]
) -> None:
    found, choices = decided(workspace, text_model, without(missing))
    assert terms(found) == expected
    assert found.labels.keys() == {"category", "group"}  # batches are drawn by variants too
    assert choices["training.objectives"].value.count(",") == len(expected) - 1
    assert ("encoder.image.frozen" in choices) is (missing != "images")
    assert ("encoder.text.frozen" in choices) is (missing != "title")


@pytest.mark.parametrize(
    ("num_products", "batch_size", "steps"),
    [(4, 8, lambda epoch: 40 * epoch), (4, 4, lambda epoch: 300), (10, 2, lambda epoch: 20 * epoch)],
)
def test_steps_follow_the_size_of_the_catalog(
    workspace: Workspace,
    text_model: Path,
    num_products: int,
    batch_size: int,
    steps: Callable[[float], float],
) -> None:
    made = rows(num_products)
    sampler = {"batch_size": batch_size, "items_per_class": 1}
    found, choices = decided(workspace, text_model, made, sampler=sampler)
    num_images = sum(len(row["images"]) for i, (row, _) in enumerate(made) if i % 4)
    wanted = steps(num_images / batch_size)  # a random tower is trained
    assert (found.max_epochs or 0) * (found.epoch_steps or 0) == pytest.approx(wanted, abs=10)
    assert f"times through {num_images} images" in choices["training steps"].because
    assert choices["encoder.image.frozen"].value == "false"  # random weights
    assert choices["encoder.text.frozen"].value == "true"


def test_a_texts_own_words_are_a_choice_where_its_projection_is_fitted(
    workspace: Workspace, text_model: Path
) -> None:
    text = {"name": str(text_model)}
    _, choices = decided(workspace, text_model, rows(4), encoder={"text": text})
    assert choices["encoder.text.lexical_share"].value == "0.5"
    _, choices = decided(workspace, text_model, rows(4), encoder={"text": text | {"lexical_share": 0.2}})
    assert "encoder.text.lexical_share" not in choices


def test_what_the_config_sets_stays(workspace: Workspace, text_model: Path) -> None:
    own = {"objectives": [{"kind": "clip", "weight": 3.0}], "max_epochs": 2, "epoch_steps": 3}
    found, choices = decided(workspace, text_model, rows(4), **own)
    assert (found.max_epochs, found.epoch_steps, found.labels.keys()) == (2, 3, {"category"})
    assert [term.weight for term in found.terms] == [3.0]
    assert not choices.keys() & {"training.objectives", "training steps"}


def test_the_artifact_says_what_was_decided_and_holds_nothing_open(
    workspace: Workspace, text_model: Path
) -> None:
    store(workspace, rows(4))
    manifest = run.run(settings(text_model, objectives=None), workspace, "snapshots/night")
    assert manifest.info["decisions"][0]["setting"] == "training.objectives"
    assert len(manifest.info["config"]["objectives"]) == 5
    card = (workspace.path(manifest) / "README.md").read_text()
    assert "SupConLoss on label group" in card


@pytest.mark.parametrize(("given", "expected"), [({}, 3e-4), ({"optimizer": {"backbone_lr": 0.01}}, 0.01)])
def test_late_stages_learn_at_a_rate_of_their_own(
    workspace: Workspace, text_model: Path, given: dict[str, Any], expected: float
) -> None:
    image = {"kind": "timm", "name": "resnet10t", "image_size": 32, "frozen": True, "late_stages": 1}
    found, choices = decided(workspace, text_model, rows(4), encoder={"image": image}, **given)
    assert found.optimizer.backbone_lr == expected
    assert ("training.optimizer.backbone_lr" in choices) == (not given)
    found, _ = decided(workspace, text_model, rows(4))
    assert found.optimizer.backbone_lr == 1e-4
