"""The training stage: what it makes, what it finds again, what it never touches."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recsys.config import EvaluationConfig
from recsys.encoder.inference import embed_all
from recsys.encoder.lexical import LexicalFeatures
from recsys.encoder.model import ProductEncoder
from recsys.errors import ConfigError, InputError
from recsys.evaluation.run import run as evaluate
from recsys.training import module
from recsys.training.run import make_splits, run
from recsys.training.validation import Validator
from recsys.workspace import Workspace
from recsys.workspace.splits import HOLDOUT, TEST, TRAIN, VALIDATION, read_splits
from tests.training.shop import rows, settings, store


def states(workspace: Workspace, *refs: str) -> list[dict[str, torch.Tensor]]:
    return [ProductEncoder.load(workspace.path(workspace.get(ref))).state_dict() for ref in refs]


def test_trains_a_challenger_and_finds_it_again(workspace: Workspace, text_model: Path) -> None:
    snapshot = store(workspace, rows())
    config = settings(text_model)
    manifest = run(config, workspace, snapshot)
    assert manifest.kind == "encoders"
    assert set(manifest.inputs) == {"snapshot", "splits", "base", "initial"}
    assert manifest.info["trained"]
    fit = manifest.info["fit"]
    assert fit["steps"] == 6
    assert [e["epoch"] for e in fit["epochs"]] == [0, 1, 2]
    assert [e["step"] for e in fit["history"]] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(e["loss"]) for e in fit["history"])
    assert "Intended use" in (workspace.path(manifest) / "README.md").read_text()
    assert not any(name.endswith((".ckpt", ".pt", ".pkl", ".bin")) for name in manifest.files)
    tuned, base = states(workspace, manifest.ref, manifest.inputs["base"])
    assert any(not torch.equal(tuned[n], base[n]) for n in tuned if n.startswith("image_tower"))
    assert all(torch.equal(tuned[n], base[n]) for n in tuned if n.startswith("text_tower"))
    assert run(config, workspace, snapshot) == manifest
    assert not (workspace.local / "scratch" / "encoders" / manifest.id).exists()


def test_a_config_that_names_a_custom_attribute_in_full_trains_and_evaluates(
    workspace: Workspace, text_model: Path
) -> None:
    snapshot = store(workspace, rows())
    config = settings(
        text_model,
        encoder={"text_parts": ["{title}", "{attributes.fold}"]},
        max_epochs=1,
        labels={"fold": {"columns": ["attributes.fold", "product_type"]}},
        links=[{"column": "attributes.alike"}],
        split={"column": "attributes.fold", "train": ["a", "b"], "holdout": ["c"], "phash_distance": -1},
        objectives=[{"kind": "metric", "label": "fold", "loss": {"name": "SupConLoss"}}, {"kind": "pairs"}],
    )
    manifest = run(config, workspace, snapshot)
    assert manifest.info["trained"]
    assert manifest.info["counts"]["supervision"]["pairs"]["positive"] > 0
    task = {"relevant": ["attributes.fold"], "queries": {"attributes.fold": "c"}, "gate": True}
    tasks = [{"name": "fold"} | task]
    evaluated = config.model_copy(update={"evaluation": EvaluationConfig.model_validate({"tasks": tasks})})
    record = evaluate(evaluated, workspace, snapshot, manifest.ref)
    assert "fold" in json.dumps(record.info)


def test_nothing_held_out_is_ever_looked_at(
    workspace: Workspace, text_model: Path, images_read: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows()
    config = settings(
        text_model, encoder={"image": {"kind": "small", "image_size": 32, "projection": {"init": "pca"}}}
    )
    texts: set[str] = set()
    for name in ("forward", "fit"):  # of every text that an encoder reads, and of those that are counted
        method = getattr(LexicalFeatures, name)
        monkeypatch.setattr(LexicalFeatures, name, lambda e, t, m=method: (texts.update(t), m(e, t))[1])
    snapshot = store(workspace, made)
    manifest = run(config, workspace, snapshot)
    split = {r["id"]: r["split"] for r in read_splits(workspace, manifest.inputs["splits"]).to_pylist()}

    def looked_at() -> dict[str, set[bool]]:
        seen: dict[str, set[bool]] = {}
        for row, images in made:
            found = {sha256 in images_read for sha256, _ in images} | {row["title"] in texts}
            seen[split[row["id"]]] = seen.get(split[row["id"]], set()) | found
        return seen

    trained = {TRAIN: {True}, VALIDATION: {True}, HOLDOUT: {False}, TEST: {False}}
    assert looked_at() == trained
    evaluate(config, workspace, snapshot, manifest.ref)
    assert looked_at() == trained | {HOLDOUT: {True}}


def test_the_projection_is_fitted_on_training_products_alone(workspace: Workspace, text_model: Path) -> None:
    made = rows()
    pca = {"image": {"kind": "small", "image_size": 32, "projection": {"init": "pca"}}}
    config = settings(text_model, encoder=pca, max_epochs=0)
    first = run(config, workspace, store(workspace, made))
    split = {r["id"]: r["split"] for r in read_splits(workspace, first.inputs["splits"]).to_pylist()}
    images = {sha: jpeg for row, p in made for sha, jpeg in p if split[row["id"]] == TRAIN}
    some = next(iter(images.values()))
    changed = [
        (row, p if split[row["id"]] == TRAIN else [(sha, some) for sha, _ in p]) for row, p in made
    ]  # other images everywhere but in the training products
    second = run(config, workspace, store(workspace, changed, "other"))
    one, two = states(workspace, first.inputs["base"], second.inputs["base"])
    assert first.inputs["base"] != second.inputs["base"]
    assert all(torch.equal(one[n], two[n]) for n in one)


def test_the_projection_that_was_fitted_stays_with_the_champions_line(
    workspace: Workspace, text_model: Path
) -> None:
    pca = {"image": {"kind": "small", "image_size": 32, "projection": {"init": "pca"}}}
    config, night = settings(text_model, encoder=pca, max_epochs=0), store(workspace, rows())
    champion = run(config, workspace, night)
    later = store(workspace, rows()[5:], "later")  # fitted on these, the axes would be others
    second = run(config, workspace, later, champion.ref)
    assert second.inputs["splits"] != champion.inputs["splits"]
    assert second.inputs["base"] == champion.inputs["base"]
    third = run(config, workspace, later, second.ref)
    assert third.inputs["base"] == champion.inputs["base"]
    assert run(config, workspace, later).inputs["base"] != champion.inputs["base"]


def test_the_temperature_stays_within_its_bound(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_SCALE", 5.0)  # below where it starts, so that one step shows it
    config = settings(text_model, max_epochs=1, validation={"keep": "last"})
    manifest = run(config, workspace, store(workspace, rows()))
    tuned, base = states(workspace, manifest.ref, manifest.inputs["base"])
    assert base["logit_scale"] > math.log(5.0) + 0.1
    assert tuned["logit_scale"] <= math.log(5.0) + 1e-6


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"max_epochs": 0}, "max_epochs is 0"),
        ({"split": {"column": "fold", "train": ["nowhere"]}}, "leaves 0 training products"),
        ({"objectives": [{"kind": "pairs"}]}, "no objective has a positive"),
    ],
)
def test_with_nothing_to_learn_the_initial_encoder_is_handed_on(
    workspace: Workspace, text_model: Path, training: dict[str, Any], words: str
) -> None:
    manifest = run(settings(text_model, **training), workspace, store(workspace, rows(3)))
    assert not manifest.info["trained"]
    assert words in manifest.info["reason"]
    tuned, base = states(workspace, manifest.ref, manifest.inputs["base"])
    assert all(torch.equal(tuned[n], base[n]) for n in base)


def test_training_can_begin_with_the_champion_whose_split_prevails(
    workspace: Workspace, text_model: Path
) -> None:
    made = rows()
    champion = run(settings(text_model), workspace, store(workspace, made))
    new = [
        (row | {"id": f"A{row['id']}", "item_group_id": f"A{row['item_group_id']}"}, p) for row, p in rows(4)
    ]
    # the new products share images with the old ones, so components grow, with smaller keys
    tonight = store(workspace, sorted([*made, *new], key=lambda m: m[0]["id"]), "tonight")
    challenger = run(settings(text_model, start_from="champion"), workspace, tonight, champion.ref)
    assert challenger.inputs["initial"] == champion.ref
    was, now = (
        {r["id"]: r["split"] for r in read_splits(workspace, m.inputs["splits"]).to_pylist()}
        for m in (champion, challenger)
    )
    moved = {(was[id], now[id]) for id in was if was[id] != now[id]}
    assert moved <= {(VALIDATION, TRAIN), (HOLDOUT, TRAIN)}  # components that were joined to a trained one
    wider = settings(text_model, encoder={"dim": 24}, max_epochs=0, start_from="champion")
    assert run(wider, workspace, tonight, champion.ref).inputs["initial"] != champion.ref


def test_a_frozen_image_tower_sees_an_image_once_and_its_projection_is_trained(
    workspace: Workspace, text_model: Path, images_read: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = store(workspace, rows(6))
    image = {"kind": "small", "image_size": 32, "frozen": True}
    config = settings(text_model, encoder={"image": image}, optimizer={"head_lr": 0.01})
    manifest = run(config, workspace, snapshot)
    assert max(images_read.count(sha256) for sha256 in images_read) == 1
    tuned, base = states(workspace, manifest.ref, manifest.inputs["base"])
    assert all(torch.equal(tuned[n], base[n]) for n in tuned if n.startswith("image_tower"))
    assert not torch.equal(tuned["image_projection.weight"], base["image_projection.weight"])
    score = manifest.info["fit"]["epochs"][0]["metric"]
    monkeypatch.setattr(Validator, "_embed", lambda self, e: embed_all(e, self._rows, self._images))
    views = config.training.model_copy(update={"frozen_features": False, "max_epochs": 1})
    again = run(config.model_copy(update={"training": views}), workspace, snapshot)
    assert again.info["fit"]["epochs"][0]["metric"] == pytest.approx(score, abs=1e-6)


def test_late_stages_are_trained_on_what_the_early_ones_said_once(
    workspace: Workspace, text_model: Path, images_read: list[bytes]
) -> None:
    image = {"kind": "timm", "name": "resnet10t", "image_size": 32, "frozen": True, "late_stages": 1}
    config = settings(text_model, encoder={"image": image}, optimizer={"backbone_lr": 0.01})
    manifest = run(config, workspace, store(workspace, rows(6)))
    assert max(images_read.count(sha256) for sha256 in images_read) == 1
    tuned, base = states(workspace, manifest.ref, manifest.inputs["base"])
    changed = {n for n in tuned if n.startswith("image_tower") and not torch.equal(tuned[n], base[n])}
    assert {n.split(".")[2] for n in changed} == {"layer4"}
    assert not any("running" in n for n in changed)
    history = [entry["metric"] for entry in manifest.info["fit"]["epochs"]]
    assert len(set(history)) > 1, history  # validation sees what is trained


def test_bf16_autocast_leaves_losses_and_weights_in_float32(workspace: Workspace, text_model: Path) -> None:
    manifest = run(settings(text_model, precision="bf16"), workspace, store(workspace, rows(4)))
    assert all(np.isfinite(e["loss"]) for e in manifest.info["fit"]["history"])
    (state,) = states(workspace, manifest.ref)
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float32}


def test_products_with_words_alone_and_images_alone(workspace: Workspace, text_model: Path) -> None:
    made = []
    for i, (row, images) in enumerate(rows(6)):
        if i % 3 == 0:
            row, images = row | {"images": []}, []
        elif i % 3 == 1:
            row = row | {"title": None}
        made.append((row, images))
    manifest = run(settings(text_model), workspace, store(workspace, made))
    assert manifest.info["trained"]
    assert all(np.isfinite(e["loss"]) for e in manifest.info["fit"]["history"])


def test_a_catalog_without_images_trains_on_pairs(
    workspace: Workspace, text_model: Path, tmp_path: Path
) -> None:
    made = [(row | {"images": []}, []) for row, _ in rows(6)]
    snapshot = store(workspace, made)
    split = {"column": "fold", "train": ["a", "b"], "holdout": ["c"]}
    lines = [
        {
            "left_id": a[0]["id"],
            "right_id": b[0]["id"],
            "label": int(a[0]["product_type"] == b[0]["product_type"]),
        }
        for a in made
        for b in made[::5]
        if a is not b
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    terms = [
        {"kind": "pairs", "vector": "text"},
        {"kind": "metric", "label": "links", "vector": "text", "loss": {"name": "SupConLoss"}},
    ]
    given = [{"path": str(tmp_path / "pairs.jsonl")}]
    manifest = run(settings(text_model, split=split, pairs=given, objectives=terms), workspace, snapshot)
    counts = manifest.info["counts"]["supervision"]["pairs"]
    assert counts["positive"] > 0
    assert counts["negative"] > 0
    assert counts["outside_training"] > 0
    history = manifest.info["fit"]["history"]
    assert {"pairs", "metric:SupConLoss:links:text"} <= set().union(*history)
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines[:50])))
    assert (
        run(settings(text_model, split=split, pairs=given, objectives=terms), workspace, snapshot) != manifest
    )


@pytest.mark.parametrize(
    ("training", "error", "words"),
    [
        ({"objectives": [{"kind": "cilp"}]}, ConfigError, "is not registered"),
        ({"objectives": [{"kind": "clip", "params": {"varaints": 1}}]}, ConfigError, "takes no varaints"),
        (
            {"objectives": [{"kind": "metric", "loss": {"name": "SupKon"}}]},
            ConfigError,
            "no loss named 'SupKon'",
        ),
        ({"pairs": [{"path": "nowhere.csv"}]}, InputError, "no file at"),
        ({"labels": {"style": {"columns": ["style"]}}}, ConfigError, "labels.style.columns names 'style'"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_trained(
    workspace: Workspace, text_model: Path, training: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(settings(text_model, **training), workspace, store(workspace, rows(3)))
    assert not any(m.info["role"] == "challenger" for m in workspace.list("encoders"))


def test_a_column_can_name_the_split(workspace: Workspace, text_model: Path) -> None:
    made = rows(6)
    split = {"column": "fold", "train": ["a"], "validation": ["b"], "phash_distance": -1}
    split |= {"holdout_share": 0.0, "test_share": 0.0}
    manifest = make_splits(settings(text_model, split=split), workspace, store(workspace, made))
    names = {r["id"]: r["split"] for r in read_splits(workspace, manifest.ref).to_pylist()}
    expected = {"a": "train", "b": "validation", "c": "unused"}
    assert all(names[row["id"]] == expected[dict(row["attributes"])["fold"]] for row, _ in made)
