"""Whether a night trains: each reason alone, none, and what is no reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.config import Config, load
from recsys.encoder.towers.weights import SAMPLE_WEIGHTS
from recsys.errors import ConfigError, InputError
from recsys.training.plan import plan
from recsys.training.settings import weight_digests
from recsys.workspace import Manifest, Workspace
from tests.training.nights import CHAMPION, DIM, Nights, Row, changed, judgements, products, redate
from tests.training.shop import store

ROWS = products(100)


def config(**training: Any) -> Config:
    return Config.model_validate({"encoder": {"text_parts": ["{title}"]}, "training": training})


def tonight(nights: Nights, rows: list[Row] | None = None, **more: Any) -> Manifest:
    """Plan the night after the first, on ``rows``; ``more`` are further refs, ``config`` or ``force``."""
    snapshot = store(nights.workspace, [(r, []) for r in rows], "tonight") if rows else nights.snapshot
    settings, force = more.pop("config", nights.config), more.pop("force", False)
    refs = {"snapshot": snapshot, "champion": CHAMPION, "evaluation": nights.evaluation, **more}
    return plan(settings, nights.workspace, refs, force=force)


@pytest.fixture
def nights(workspace: Workspace) -> Nights:
    return Nights(workspace, config(), ROWS)


def test_the_same_catalog_teaches_nothing_and_the_sentence_says_what_was_looked_at(nights: Nights) -> None:
    made = tonight(nights)
    assert made.info["train"] is False
    assert made.info["reasons"] == []
    assert made.info["sentence"] == (
        "Nothing to learn from tonight: 0 of 100 products to learn from (0.0%) are new or changed, "
        "less than 5%; 0 judgements are new, fewer than 20; "
        "the last training was 0 days before this catalog, less than 30."
    )
    assert made.inputs == {"snapshot": nights.snapshot, "champion": CHAMPION, "evaluation": nights.evaluation}
    assert tonight(nights) == made


def test_without_an_encoder_in_service_every_night_trains(workspace: Workspace) -> None:
    made = plan(config(), workspace, {"snapshot": store(workspace, [(row, []) for row in ROWS])})
    assert made.info["sentence"] == "Training tonight: no encoder is in service, or it is gone."
    assert made.info["train"] is True


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (5, lambda row: changed(row, title="another thing")),
        (5, lambda row: changed(row, images=[bytes(32)])),
        (5, lambda row: changed(row, product_type="blue")),
        (5, lambda row: changed(row, product_type=None)),
        (5, lambda row: row | {"item_group_id": "one"}),
        (5, lambda row: row | {"item_group_id": None}),
        (4, lambda row: changed(row, title="another thing")),
        (0, lambda row: row | {"price": 6.0, "payload_hash": b"6" * 16}),
        (0, lambda row: changed(row, attributes=[("sold today", "3")])),
        (0, lambda row: changed(row, brand="not among the text that is read")),
    ],
)
def test_products_changed_in_what_training_reads_are_a_reason_from_one_in_twenty_on(
    nights: Nights, number: int, change: Callable[[Row], Row]
) -> None:
    rows = [change(row) if i >= 95 + (number == 4) else row for i, row in enumerate(ROWS)]
    made = tonight(nights, rows)
    assert made.info["train"] is (number == 5)
    assert made.info["findings"][0].startswith(
        f"{number} of 100 products to learn from ({number}.0%) are new"
    )


def test_new_products_are_a_reason_and_gone_ones_are_none(nights: Nights) -> None:
    made = tonight(nights, products(106)[1:])
    assert made.info["sentence"] == (
        "Training tonight: 6 of 105 products to learn from (5.7%) are new or changed, at least 5%."
    )
    assert not plan(
        config(), nights.workspace, {**made.inputs, "snapshot": store(nights.workspace, [(ROWS[7], [])])}
    ).info["train"]


def test_a_label_or_a_link_of_a_custom_attribute_is_read(workspace: Workspace) -> None:
    settings = config(labels={"fit": {"columns": ["fit"]}}, links=[{"column": "attributes.alike"}])
    nights = Nights(workspace, settings, ROWS)
    for name, is_reason in (("fit", True), ("alike", True), ("other", False)):
        rows = [changed(row, attributes=[(name, "slim")]) for row in ROWS]
        snapshot = store(workspace, [(row, []) for row in rows], name)
        made = plan(settings, workspace, {**tonight(nights).inputs, "snapshot": snapshot})
        assert made.info["train"] is is_reason, name


def test_what_changes_on_held_out_products_teaches_nothing(workspace: Workspace) -> None:
    nights = Nights(workspace, config(), ROWS, roles=lambda i: "train" if i < 50 else "holdout")
    held_out = [changed(row, title="new") if i >= 50 else row for i, row in enumerate(ROWS)]
    made = tonight(nights, held_out)
    assert not made.info["train"]
    assert made.info["findings"][0].startswith("0 of 50 products")


def test_new_and_reversed_judgements_are_a_reason(workspace: Workspace) -> None:
    pairs = {(f"P{i:04d}", f"P{i + 1:04d}"): "similar" for i in range(30)}
    nights = Nights(workspace, config(), ROWS, judged=judgements(workspace, pairs))
    reversed_ = dict(list(pairs.items())[:12]) | dict.fromkeys(list(pairs)[12:30], "not_similar")
    new = {("P0000", f"P{i:04d}"): "duplicate" for i in (50, 51)}
    assert not tonight(nights, judgements=judgements(workspace, pairs)).info["train"]
    assert not tonight(nights).info["train"]  # withdrawn ones teach nothing
    assert not tonight(nights, judgements=judgements(workspace, reversed_)).info["train"]
    made = tonight(nights, judgements=judgements(workspace, reversed_ | new))
    assert made.info["reasons"] == ["20 judgements are new, at least 20"]


@pytest.mark.parametrize(("days", "is_reason"), [(29.9, False), (30.1, True)])
def test_age_is_a_reason(nights: Nights, days: float, is_reason: bool) -> None:
    redate(nights.workspace, nights.challenger, -days)
    made = tonight(nights)
    assert made.info["train"] is is_reason
    assert (
        f"the last training was 30 days before this catalog, {'at least' if is_reason else 'less than'} 30"
        in (made.info["findings"])
    )


@pytest.mark.parametrize(("num_unlike", "of", "is_reason"), [(9, 40, False), (10, 40, True), (29, 29, False)])
def test_new_products_unlike_all_that_was_trained_on_are_a_reason(
    workspace: Workspace, num_unlike: int, of: int, is_reason: bool
) -> None:
    looked_at = 3 * ["train"] + ["validation", "holdout", "holdout"]
    roles = looked_at + 2 * ["test", "unused"]  # those are elsewhere, and do not count
    nights = Nights(workspace, config(), ROWS, roles=lambda i: roles[i % 10])
    rng = np.random.default_rng(1)
    near = np.eye(DIM)[0] + rng.normal(scale=0.1, size=(200, DIM))
    far = np.eye(DIM)[1] + rng.normal(scale=0.1, size=(200, DIM))
    known = {row["id"]: (near if i % 10 < len(looked_at) else far)[i] for i, row in enumerate(ROWS)}
    new = {f"Q{i:04d}": far[i] if i < num_unlike else near[0] for i in range(of)}
    ref = nights.embed(known | new)
    made = tonight(nights, embeddings=ref)
    found = [finding for finding in made.info["findings"] if "unlike" in finding]
    assert made.info["train"] is is_reason
    assert len(found) == (of >= 30)
    if is_reason:
        assert made.info["reasons"] == [
            "10 of 40 new products (25.0%) are unlike all that was trained on, at least 25%"
        ]
        for shard in workspace.list("embeddings"):
            workspace.delete(shard)
        workspace.delete(made)
        assert not tonight(nights, embeddings=ref).info["train"]  # vectors that are gone are no reason


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"training": {"max_epochs": 3}}, "training.max_epochs"),
        ({"training": {"labels": {"brand": {"columns": ["brand"]}}}}, "training.labels.brand"),
        ({"encoder": {"text_parts": ["{title}"], "dim": 64}}, "encoder.dim"),
        ({"seed": 3}, "seed"),
        ({"training": {"num_workers": 3}}, None),
        ({"training": {"retrain": {"max_age_days": 7}}}, None),
        ({"evaluation": {"gate": {"tolerance": 0.1}}}, None),
    ],
)
def test_other_settings_of_encoder_or_training_are_a_reason(
    nights: Nights, settings: dict[str, Any], named: str | None
) -> None:
    made = tonight(nights, config=Config.model_validate({"encoder": {"text_parts": ["{title}"]}} | settings))
    assert made.info["train"] is (named is not None)
    if named:
        assert named in made.info["sentence"]


def test_other_weights_in_the_same_file_are_a_reason_and_missing_ones_an_error(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "tower.safetensors"
    file.write_bytes(b"one")
    image = {"kind": "timm", "name": "mobilenetv2_100", "weights": str(file)}
    settings = Config.model_validate({"encoder": {"text_parts": ["{title}"], "image": image}})
    nights = Nights(workspace, settings, ROWS)
    assert not tonight(nights).info["train"]
    file.write_bytes(b"two")
    assert "tower.safetensors" in tonight(nights).info["sentence"]
    file.unlink()
    with pytest.raises(
        InputError, match=r"no file at .*tower\.safetensors[\s\S]*Correct encoder\.image\.weights"
    ):
        tonight(nights)


def test_another_sample_tower_has_another_digest_and_is_a_reason(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Config.model_validate({"encoder": {"image": {"pretrained": "sample"}}})
    nights = Nights(workspace, settings, ROWS)
    assert not tonight(nights).info["train"]
    other = tmp_path / "sample.safetensors"
    other.write_bytes(SAMPLE_WEIGHTS.read_bytes() + b"another")
    before = weight_digests(settings)
    monkeypatch.setattr("recsys.training.settings.SAMPLE_WEIGHTS", other)
    assert "sample.safetensors" in tonight(nights).info["sentence"]
    assert before != weight_digests(settings)


def test_where_the_gate_left_the_base_in_service_the_last_training_counts(workspace: Workspace) -> None:
    nights = Nights(workspace, config(), ROWS)  # CHAMPION names neither a snapshot nor a split: a base
    assert "snapshot" not in workspace.get(CHAMPION).inputs
    assert not tonight(nights).info["train"]


@pytest.mark.parametrize("lost", ["challenger", "snapshot", "evaluation"])
def test_where_the_last_training_cannot_be_compared_with_it_trains(nights: Nights, lost: str) -> None:
    rows = products(100)
    nights.workspace.delete(nights.workspace.get(getattr(nights, lost)))
    made = tonight(nights, rows)
    assert made.info["reasons"] == ["it is not known any more what the last training learnt from"]


def test_training_that_is_switched_off_has_no_reason_but_other_settings(workspace: Workspace) -> None:
    nights = Nights(workspace, config(max_epochs=0), ROWS)
    made = tonight(nights, products(200))
    assert made.info["sentence"] == (
        "Nothing to learn from tonight: training is switched off, training.max_epochs is 0."
    )


def test_training_that_is_asked_for_needs_no_reason(nights: Nights) -> None:
    made = tonight(nights, force=True)
    assert made.info["sentence"] == "Training tonight: it was asked for."
    assert len(made.info["findings"]) == 4
    always = tonight(nights, config=config(retrain={"always": True}))
    assert always.info["sentence"] == "Training tonight: training.retrain.always is set."
    assert len({made.ref, always.ref, tonight(nights).ref}) == 3


@pytest.mark.parametrize(
    "line", ["changed_share = 5", "new_judgements = 0", "max_age_days = inf", "drift_share = 0.01"]
)
def test_a_limit_out_of_range_is_refused_with_what_was_found(tmp_path: Path, line: str) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(f"[training.retrain]\n{line}\n")
    with pytest.raises(ConfigError, match="to fix") as error:
        load(path)
    name, _, value = line.partition(" = ")
    assert f"training.retrain.{name}: " in str(error.value)
    assert f"(found {value})" in str(error.value)
