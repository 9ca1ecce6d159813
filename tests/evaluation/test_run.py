"""The stage with real small encoders, end to end."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recsys.encoder.model import ProductEncoder
from recsys.errors import ArtifactError, TransientError
from recsys.evaluation import run as stage
from recsys.evaluation.candidates import Candidate, Embedder, candidates_of, save
from recsys.evaluation.gate import reason_to_change
from recsys.workspace import Manifest, Workspace
from recsys.workspace.evaluations import FILE
from tests.evaluation import shop

Change = Callable[[ProductEncoder], None] | None


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.good_encoder(shop.settings(), tmp_path_factory.mktemp("good") / "encoder")


class Night:
    """A workspace with the shop, its split, a base and a fine-tuned encoder."""

    def __init__(
        self, workspace: Workspace, good: Path, *, base: Change = None, tuned: Change = None
    ) -> None:
        self.workspace, self.good = workspace, good
        self.snapshot = shop.snapshot(workspace)
        self.splits = shop.splits(workspace, self.snapshot)
        self.base = shop.encoder(workspace, good, "base", base, snapshot=self.snapshot)
        made = {"snapshot": self.snapshot, "splits": self.splits, "base": self.base}
        self.tuned = shop.encoder(workspace, good, "tuned", tuned, **made)

    def champion(self, change: Change = None) -> str:
        return shop.encoder(self.workspace, self.good, "champion", change, base="encoders/earlier")

    def run(self, champion: str | None = None, **evaluation: Any) -> tuple[Manifest, dict[str, Any]]:
        config = shop.settings(**evaluation)
        manifest = stage.run(config, self.workspace, self.snapshot, self.tuned, champion)
        path = self.workspace.path(manifest) / FILE
        return manifest, json.loads(path.read_text())


def test_a_challenger_worse_by_construction_is_refused(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.blind, tuned=shop.blind)
    champion = night.champion()
    manifest, record = night.run(champion, wise_ft_alphas=[])
    assert manifest.info["decision"] == record["decision"] == "keep"
    assert manifest.info["chosen"] == champion
    assert record["chosen"] == {"name": "champion", "ref": champion}
    assert "lost" in record["reasons"][0]
    assert not all(check["passed"] for check in record["gate"]["checks"])
    assert record["gate"]["checks"][0]["high"] < 0
    lost = [e for e in record["examples"] if e["why"] == "lost most"]
    assert lost
    assert all(e["change"] < 0 for e in lost)


def test_a_challenger_better_by_construction_is_accepted(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.blind)
    manifest, record = night.run(night.champion(shop.blind), wise_ft_alphas=[])
    assert manifest.info["decision"] == "promote"
    assert manifest.info["chosen"] == night.tuned
    assert "gains" in record["reasons"][0]
    _check_shape(record, num_products=144)


def test_first_night_a_bad_fine_tuning_leaves_the_base_in_service(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, tuned=shop.blind)
    manifest, record = night.run(wise_ft_alphas=[])
    assert (record["decision"], record["reference"]) == ("promote", "base")
    assert manifest.info["chosen"] == night.base
    assert "enters service" in record["reasons"][-1]


def test_an_encoder_that_gives_no_numbers_is_a_refusal_in_words(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.blind, tuned=shop.broken)
    champion = night.champion(shop.blind)
    manifest, record = night.run(champion)
    assert manifest.info["chosen"] == champion
    assert "vectors that are not numbers" in record["reasons"][0]
    failed = {c["name"]: c["error"] for c in record["candidates"]}
    assert failed["champion"] is None
    assert "not numbers" in failed["tuned"]
    assert "not numbers" in failed["wise-0.5"]
    assert list(record["tasks"][0]["scores"]) == ["champion", "base"]


def test_first_night_without_a_base_there_is_nothing_to_serve(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.broken)
    with pytest.raises(ArtifactError, match="not numbers"):
        night.run(wise_ft_alphas=[])


def test_the_same_night_again_is_the_same_artifact_and_a_kill_costs_one_candidate(
    workspace: Workspace, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(workspace, good, base=shop.blind)
    embedded: list[str] = []
    real = Embedder._make

    def counted(self: Embedder, candidate: Candidate, folder: Path) -> None:
        embedded.append(candidate.name)
        if embedded == ["base", "tuned"]:
            raise TransientError("The machine goes down.", fix="Try again.")
        real(self, candidate, folder)

    monkeypatch.setattr(Embedder, "_make", counted)
    with pytest.raises(TransientError):
        night.run(wise_ft_alphas=[])
    assert not workspace.list("evaluations")
    manifest, record = night.run(wise_ft_alphas=[])
    assert embedded == ["base", "tuned", "tuned"]
    again, same = night.run(wise_ft_alphas=[])
    assert embedded == ["base", "tuned", "tuned"]
    assert (again.ref, same) == (manifest.ref, record)
    assert not (workspace.local / "scratch" / "evaluations" / manifest.id).exists()
    other, _ = night.run(wise_ft_alphas=[], num_examples=0)
    assert other.ref != manifest.ref


def test_an_interpolation_is_saved_once_and_is_the_model_between(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.nudge)
    challenger = workspace.get(night.tuned)
    half = candidates_of(challenger, None, [0.5])[1]
    manifest = save(workspace, half, night.splits)
    assert manifest.ref == half.ref
    assert manifest.inputs == {"base": night.base, "tuned": night.tuned, "splits": night.splits}
    assert manifest.info["alpha"] == 0.5
    base, tuned, made = (
        ProductEncoder.load(workspace.path(workspace.get(ref))).image_projection.weight
        for ref in (night.base, night.tuned, half.ref)
    )
    torch.testing.assert_close(made, (base + tuned) / 2)
    assert save(workspace, half, night.splits) == manifest


def test_no_encoder_is_a_candidate_twice(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good)
    challenger = workspace.get(night.tuned)
    names = [c.name for c in candidates_of(challenger, night.base, [0.25, 0.5])]
    assert names == ["champion", "wise-0.25", "wise-0.5", "tuned"]
    half = candidates_of(challenger, None, [0.5])[1].ref
    assert [c.name for c in candidates_of(challenger, half, [0.5])] == ["champion", "base", "tuned"]
    with pytest.raises(ArtifactError, match="does not name the base"):
        candidates_of(workspace.get(night.base), None, [0.5])


def test_reasons_to_change(workspace: Workspace, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(workspace, good)
    champion, config = night.champion(), shop.settings()
    tuned = Candidate(name="tuned", title="", ref=night.tuned)
    base = Candidate(name="base", title="", ref=night.base)
    assert reason_to_change(config, workspace, night.snapshot, champion, tuned) is None
    assert reason_to_change(config, workspace, night.snapshot, None, tuned) is None
    real = workspace.get

    def later(ref: str) -> Manifest:
        manifest = real(ref)
        if ref == night.snapshot:
            made = datetime.now(UTC) + timedelta(days=40)
            return Manifest(**{**vars(manifest), "created_at": made.isoformat()})
        return manifest

    monkeypatch.setattr(workspace, "get", later)
    found = reason_to_change(config, workspace, night.snapshot, champion, tuned)
    assert found is not None
    assert "40 days" in found
    assert reason_to_change(config, workspace, night.snapshot, champion, base) is None
    assert (
        reason_to_change(config, workspace, night.snapshot, night.base, tuned) is None
    )  # a base does not age

    def wider(model: ProductEncoder) -> None:
        model.config = model.config.model_copy(update={"max_images": 3})

    changed = shop.encoder(workspace, good, "other", wider, base="encoders/earlier")
    found = reason_to_change(config, workspace, night.snapshot, changed, tuned)
    assert found is not None
    assert "max_images" in found


def test_judge_gives_figures_without_a_gate(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good)
    tasks = [
        {"name": "photos", "relevant": ["product_type"], "split": "all", "modality": "image",
         "queries": {"kind": "photo"}, "gallery": {"kind": "studio"}, "metrics": ["precision@1", "map@r"]},
        {"name": "linked", "linked": ["links"], "gate": True, "metrics": ["recall@10"]},
    ]  # fmt: skip
    config = shop.settings(tasks=tasks)
    manifest = stage.judge(config, workspace, night.snapshot, night.base)
    record = json.loads((workspace.path(manifest) / FILE).read_text())
    assert (record["decision"], record["gate"], record["chosen"]["ref"]) == (None, None, night.base)
    photos, linked = record["tasks"]
    assert photos["num_queries"] == 95  # 96 photos, of which one has no image
    assert photos["num_gallery"] == 48
    assert photos["scores"]["encoder"]["precision@1"]["value"] > 0.5
    assert linked["num_queries"] == 54  # the snapshot's own split, though the base was not trained with it
    assert manifest.info["scores"]["linked"]["metric"] == "recall@10"
    assert stage.judge(config, workspace, night.snapshot, night.base) == manifest
    _check_shape(record, num_products=144)


def _check_shape(record: dict[str, Any], *, num_products: int) -> None:
    """The record is what its description says, and adds up."""
    assert {
        "version",
        "snapshot",
        "splits",
        "reasons",
        "notes",
        "confidence",
        "image_weight",
    } <= record.keys()
    names = [c["name"] for c in record["candidates"]]
    assert record["reference"] in names
    for task in record["tasks"]:
        assert task["num_gallery"] <= num_products
        assert task["num_components"] <= task["num_queries"]
        assert list(task["scores"]) == names
        assert set(task["differences"]) == set(names) - {record["reference"]}
        for figures in task["scores"].values():
            assert list(figures) == task["metrics"]
            assert all(0 <= f["low"] <= f["value"] <= f["high"] <= 1 for f in figures.values())
        for name, gains in task["differences"].items():
            one, other = task["scores"][name], task["scores"][record["reference"]]
            for metric, gain in gains.items():
                assert gain["difference"] == pytest.approx(one[metric]["value"] - other[metric]["value"])
                assert gain["low"] <= gain["difference"] <= gain["high"]
        by = task["categories"]
        assert sum(c["num_queries"] for c in by) <= task["num_queries"]
        for name in names if sum(c["num_queries"] for c in by) == task["num_queries"] else []:
            mean = np.average([c["scores"][name] for c in by], weights=[c["num_queries"] for c in by])
            assert mean == pytest.approx(task["scores"][name][task["main_metric"]]["value"])
    gating = [t for t in record["tasks"] if t["gate"]]
    for candidate in record["candidates"]:
        values = [t["scores"][candidate["name"]][t["main_metric"]]["value"] for t in gating]
        assert candidate["gate_score"]["value"] == pytest.approx(np.mean(values))
    sides = {"reference"} | ({"challenger"} if record["challenger"] else set())
    assert 0 < len(record["examples"]) <= 12
    for example in record["examples"]:
        assert set(example["neighbours"]) == sides
        for found in example["neighbours"].values():
            assert len(found) == 5
            assert example["id"] not in [n["id"] for n in found]
            scores = [n["score"] for n in found]
            assert scores == sorted(scores, reverse=True)
