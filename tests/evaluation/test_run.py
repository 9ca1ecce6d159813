"""The stage with small encoders, end to end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.encoder.model import ProductEncoder
from recsys.errors import ArtifactError, TransientError
from recsys.evaluation import run as stage
from recsys.evaluation.candidates import Candidate, Embedder
from recsys.workspace import Manifest, Workspace
from recsys.workspace.evaluations import FILE, read_evaluation
from recsys.workspace.holds import lift_hold, put_on_hold
from tests.evaluation import shop

Change = Callable[[ProductEncoder], None] | None


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

    def run(
        self, champion: str | None = None, judgements: str | None = None, **evaluation: Any
    ) -> tuple[Manifest, dict[str, Any]]:
        """Evaluate; return the artifact and its record."""
        config = shop.settings(**{"wise_ft_alphas": [1], **evaluation})
        manifest = stage.run(config, self.workspace, self.snapshot, self.tuned, champion, judgements)
        return manifest, read_evaluation(self.workspace, manifest)


def test_a_challenger_worse_by_construction_is_refused(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.blind, tuned=shop.blind)
    champion = night.champion()
    manifest, record = night.run(champion)
    assert manifest.info["decision"] == record["decision"] == "keep"
    assert manifest.info["chosen"] == champion
    assert record["chosen"] == {"name": "champion", "ref": champion}
    assert "every candidate loses in some task on the validation split" in record["reasons"][0]
    assert record["challenger"] is None
    assert manifest.info["times_asked"] == 0  # nothing was compared on the holdout


def test_a_challenger_better_by_construction_is_accepted_and_the_records_numbers_agree(
    workspace: Workspace, good: Path
) -> None:
    night = Night(workspace, good, base=shop.blind)
    manifest, record = night.run(night.champion(shop.blind))
    assert manifest.info["decision"] == "promote", record["reasons"]
    assert manifest.info["chosen"] == night.tuned
    assert "gains" in record["reasons"][0]
    names = [c["name"] for c in record["candidates"]]
    for task in record["tasks"]:
        assert task["num_components"] <= task["num_queries"]
        assert task["num_gallery"] <= 144
        assert set(task["differences"]) == set(names) - {record["reference"]}
        for name in names:
            scores = task["scores"][name]
            assert list(scores) == task["metrics"]
            assert all(0 <= s["low"] <= s["value"] <= s["high"] <= 1 for s in scores.values())
            for metric, gain in task["differences"].get(name, {}).items():
                before = task["scores"][record["reference"]][metric]["value"]
                assert gain["difference"] == pytest.approx(scores[metric]["value"] - before)
                assert gain["low"] <= gain["difference"] <= gain["high"]
            sizes = [c["num_queries"] for c in task["categories"]]
            assert sum(sizes) == task["num_queries"]
            mean = np.average([c["scores"][name] for c in task["categories"]], weights=sizes)
            assert mean == pytest.approx(scores[task["main_metric"]]["value"])
    gating = [t for t in record["tasks"] if t["gate"] and not t["only_guards"]]
    for candidate in record["candidates"]:
        values = [t["scores"][candidate["name"]][t["main_metric"]]["value"] for t in gating]
        assert candidate["gate_score"]["value"] == pytest.approx(np.mean(values))
    assert 0 < len(record["examples"]) <= 12
    for example in record["examples"]:
        assert set(example["neighbours"]) == {"reference", "challenger"}
        for found in example["neighbours"].values():
            assert len(found) == 5
            assert example["id"] not in [n["id"] for n in found]
            scores = [n["score"] for n in found]
            assert scores == pytest.approx(sorted(scores, reverse=True), abs=1e-6)


def test_an_encoder_that_was_rolled_back_from_is_refused_until_its_hold_is_lifted(
    workspace: Workspace, good: Path
) -> None:
    night = Night(workspace, good, base=shop.blind)
    champion = night.champion(shop.blind)
    assert night.run(champion)[0].info["chosen"] == night.tuned
    put_on_hold(workspace, night.tuned, "rolled back to products__a__b")
    manifest, record = night.run(champion)  # the same night again decides anew
    assert (manifest.info["decision"], manifest.info["chosen"]) == ("keep", champion)
    assert f"{night.tuned} is on hold since " in record["reasons"][-1]
    assert "(rolled back to products__a__b)" in record["reasons"][-1]
    lift_hold(workspace, night.tuned)
    assert night.run(champion)[0].info["chosen"] == night.tuned


def test_first_night_a_bad_fine_tuning_leaves_the_base_in_service(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, tuned=shop.blind)
    manifest, record = night.run()
    assert (record["decision"], record["reference"]) == ("promote", "base")
    assert manifest.info["chosen"] == night.base
    assert "enters service" in record["reasons"][-1]


def test_the_untouched_backbone_is_a_candidate_that_no_other_may_lose_to(
    workspace: Workspace, good: Path
) -> None:
    def narrow(model: ProductEncoder, width: int = 24) -> None:
        model.text_projection.weight[width:] = 0

    def narrower(model: ProductEncoder) -> None:
        narrow(model, 2)

    night = Night(workspace, good, base=narrower, tuned=narrow)
    champion = night.champion(narrower)
    manifest, record = night.run(champion)
    assert (manifest.info["chosen"], record["challenger"]) == (champion, "base")  # of the same weights
    first, record = night.run()
    assert first.info["chosen"] == night.base
    assert record["notes"][-1].startswith("The zero-shot base lost ")
    assert "against untouched" in record["notes"][-1]
    shown = next(c for c in record["candidates"] if c["name"] == "untouched")
    assert shown["title"] == "Untouched backbone"
    assert shown["validation_score"] is None
    assert workspace.find_ref(shown["ref"]) is None  # made of the base when it is needed


def test_an_encoder_that_gives_no_numbers_is_a_refusal_in_words(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.blind, tuned=shop.broken)
    champion = night.champion(shop.blind)
    manifest, record = night.run(champion, wise_ft_alphas=[0.5, 1])
    assert manifest.info["chosen"] == champion
    assert "vectors that are not numbers" in record["reasons"][0]
    failed = {c["name"] for c in record["candidates"] if "not numbers" in (c["error"] or "")}
    assert failed == {"tuned", "wise-0.5"}
    assert list(record["tasks"][0]["scores"]) == ["champion", "base"]


def test_first_night_without_a_base_there_is_nothing_to_serve(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.broken)
    with pytest.raises(ArtifactError, match="not numbers"):
        night.run()


def test_the_same_night_again_is_the_same_artifact_and_a_kill_costs_one_candidate(
    workspace: Workspace, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(workspace, good, base=shop.blind)
    embedded: list[str] = []
    real = Embedder._embed

    def counted(self: Embedder, candidate: Candidate, folder: Path) -> None:
        embedded.append(candidate.name)
        if embedded == ["base", "tuned"]:
            raise TransientError("The machine goes down.", fix="Try again.")
        real(self, candidate, folder)

    monkeypatch.setattr(Embedder, "_embed", counted)
    with pytest.raises(TransientError):
        night.run()
    assert not workspace.list("evaluations")
    manifest, record = night.run()
    assert embedded == ["base", "tuned", "tuned"]
    assert night.run() == (manifest, record)
    assert len(embedded) == 3
    assert not (workspace.local / "scratch" / "evaluations" / manifest.id).exists()
    assert night.run(num_examples=0)[0].ref != manifest.ref


def test_a_night_knows_how_often_its_holdout_decided_and_what_losses_add_up_against(
    workspace: Workspace, good: Path
) -> None:
    night = Night(workspace, good, base=shop.blind)
    first, _ = night.run()
    assert first.info["times_asked"] == 1
    assert first.info["anchor"] is None
    champion = first.info["chosen"]
    made = {"snapshot": night.snapshot, "splits": night.splits, "base": night.base}
    night.tuned = shop.encoder(workspace, good, "tuned again", shop.nudge, **made)
    second, record = night.run(champion)
    assert second.inputs["previous"] == first.ref
    assert (second.info["times_asked"], record["gate"]["times_asked"]) == (2, 1)
    assert night.run(champion)[0] == second  # its own record is not what went before
    since = workspace.get(night.snapshot).created_at
    anchor = {"ref": night.base, "since": since}
    with workspace.create("evaluations", "earlier") as draft:
        draft.info |= {"chosen": champion, "times_asked": 7, "anchor": anchor}
    draft.committed()
    night.tuned = shop.encoder(workspace, good, "tuned once more", shop.nudge, **made)
    third, _ = night.run(champion)
    assert (third.info["times_asked"], third.info["anchor"]) == (8, anchor)
    old = {"ref": night.base, "since": "2020-01-01T00:00:00+00:00"}
    with workspace.create("evaluations", "long ago") as draft:
        draft.info |= {"chosen": champion, "times_asked": 8, "anchor": old}
    draft.committed()
    night.tuned = shop.encoder(workspace, good, "tuned a fourth time", shop.nudge, **made)
    assert night.run(champion)[0].info["anchor"] is None  # a month has passed: the champion is the anchor


def test_the_holdout_has_decided_as_often_after_a_rollback_or_without_a_champion(
    workspace: Workspace, good: Path
) -> None:
    night = Night(workspace, good, base=shop.blind)
    first, _ = night.run()

    def asked_before(name: str, champion: str | None = None, turned: int = 0) -> tuple[int, int, str | None]:
        """Evaluate another challenger; return the count before and after, and what went before."""
        splits = shop.splits(workspace, night.snapshot, name, turned=turned)
        made = {"snapshot": night.snapshot, "splits": splits, "base": night.base}
        night.tuned = shop.encoder(workspace, good, name, shop.nudge, **made)
        manifest, record = night.run(champion)
        return record["gate"]["times_asked"], manifest.info["times_asked"], manifest.inputs.get("previous")

    with workspace.create("evaluations", "promotes", inputs={"splits": night.splits}) as draft:
        draft.info |= {"chosen": "encoders/another", "times_asked": 5, "anchor": None}
    draft.committed()
    assert asked_before("rolled back", first.info["chosen"]) == (5, 6, first.ref)
    assert asked_before("champion is gone") == (6, 7, None)
    assert asked_before("another holdout", first.info["chosen"], turned=1)[:2] == (0, 1)


def test_a_record_of_another_version_is_refused_with_what_to_run(workspace: Workspace) -> None:
    with workspace.create("evaluations", "old") as draft:
        (draft.path / FILE).write_text('{"version": 1}')
    with pytest.raises(ArtifactError, match=r"version 1.*\n.*recsys evaluate"):
        read_evaluation(workspace, draft.committed())
