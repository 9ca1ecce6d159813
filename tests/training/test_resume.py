"""Kills, budgets and stops: a run goes on as if there had been none, and ends when it should."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits

from recsys.encoder.model import ProductEncoder
from recsys.training import resume
from recsys.training.module import FineTuning
from recsys.training.run import run
from recsys.workspace import Manifest, Workspace
from tests.training.shop import rows, settings, store

EVERYTHING: dict[str, Any] = {
    "max_epochs": 3,
    "epoch_steps": 5,
    "checkpoint_minutes": 1e-6,
    "sampler": {"batch_size": 12, "items_per_class": 2, "random_share": 0.3},
    "augment": {"grayscale": 0.3, "blur": 0.3, "rotate_degrees": 10, "erase": 0.3, "hue": 0.1},
    "optimizer": {"accumulate": 2, "head_lr": 0.01},
    "objectives": [
        {"kind": "clip"},
        {"kind": "metric", "label": "category", "vector": "image", "loss": {"name": "ProxyAnchorLoss"}},
        {
            "kind": "metric",
            "label": "group",
            "loss": {"name": "TripletMarginLoss"},
            "miner": {"name": "DistanceWeightedMiner"},
        },
    ],
    "validation": {"patience": 5},
}
"""A run with everything that has a state or draws random numbers."""


def weights(workspace: Workspace, manifest: Manifest) -> dict[str, torch.Tensor]:
    return ProductEncoder.load(workspace.path(manifest)).state_dict()


def stripped(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in entries]


@pytest.mark.parametrize("image", [
    {"kind": "small", "image_size": 32},
    {"kind": "timm", "name": "resnet10t", "image_size": 32, "frozen": True, "late_stages": 1},
])  # fmt: skip
def test_a_killed_run_ends_with_the_same_weights(
    tmp_path: Path, text_model: Path, image: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    config = settings(text_model, encoder={"image": image}, **EVERYTHING)
    limit = threadpool_limits(
        1
    )  # as in the attempts: the threads of numpy's BLAS decide last bits of the base
    request.addfinalizer(limit.restore_original_limits)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    whole = Workspace(tmp_path / "whole")
    unbroken = run(config, whole, store(whole, rows(6)))

    broken = Workspace(tmp_path / "broken")
    snapshot = store(broken, rows(6))
    program = [sys.executable, "-m", "tests.training.killed", broken.root, snapshot]
    done = subprocess.run(
        [*program, str(tmp_path / "config.json"), "batch:3", "validated:2", "batch:13"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(int(signal.SIGKILL))] * 3, done.stderr
    assert [m.info["role"] for m in broken.list("encoders")] == ["base"]  # nothing half-trained is committed
    resumed = run(config, broken, snapshot)

    assert resumed.ref == unbroken.ref
    one, two = weights(whole, unbroken), weights(broken, resumed)
    assert all(torch.equal(one[name], two[name]) for name in one)
    fits = unbroken.info["fit"], resumed.info["fit"]
    assert stripped(fits[0]["history"]) == stripped(fits[1]["history"])
    assert stripped(fits[0]["epochs"]) == stripped(fits[1]["epochs"])
    assert len(fits[1]["epochs"]) == 4


def test_a_finished_fit_is_not_trained_further(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the last checkpoint and the artifact, after early stopping."""
    config = settings(text_model, max_epochs=9, validation={"patience": 1, "min_delta": 2.0})
    snapshot = store(workspace, rows(6))
    drop = Workspace.drop_scratch
    monkeypatch.setattr(Workspace, "drop_scratch", lambda *_: None)
    first = run(config, workspace, snapshot)
    workspace.delete(first)
    monkeypatch.setattr(Workspace, "drop_scratch", drop)

    def never(*_: Any) -> None:
        raise AssertionError("the run had ended")

    monkeypatch.setattr(FineTuning, "training_step", never)
    manifest = run(config, workspace, snapshot)
    assert manifest.info["fit"]["stopped_early"]
    assert [e["epoch"] for e in manifest.info["fit"]["epochs"]] == [0, 1, 2]


def test_a_budget_is_planned_before_training_and_the_rate_follows_the_plan(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.training.schedule.Progress.is_out_of_time", lambda p: False)
    config = settings(
        text_model,
        max_epochs=10_000,
        budget_minutes=4 / 60,
        optimizer={"warmup_share": 0.1, "final_lr_share": 0.0},
    )
    fit = run(config, workspace, store(workspace, rows(4))).info["fit"]
    planned = fit["planned"]
    assert fit["steps"] == planned["steps"] == planned["batches"]
    assert planned["batch_s"] > 0
    assert not fit["stopped_early"]
    factors = [entry["lr_factor"] for entry in fit["history"]]
    assert max(factors) > 0.9
    assert factors[-1] == pytest.approx(0)
    assert fit["epochs"][-1]["step"] == fit["steps"]  # what was trained last was measured


def test_a_run_that_takes_far_longer_than_planned_is_aborted(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.training.schedule.Progress.is_out_of_time", lambda p: True)
    fit = run(settings(text_model), workspace, store(workspace, rows(4))).info["fit"]
    assert fit["stopped_early"]
    assert fit["steps"] == 1


@pytest.mark.parametrize(("keep", "epoch"), [({}, 5), ({"keep": "best"}, 2)])
def test_early_stopping_waits_and_the_last_or_best_epoch_is_kept(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch, keep: dict[str, str], epoch: int
) -> None:
    scores = iter([0.1, 0.3, 0.5, 0.4, 0.45, 0.2, 0.9])
    monkeypatch.setattr("recsys.training.validation.Validator.__call__", lambda *_: next(scores))
    kept: dict[int, dict[str, torch.Tensor]] = {}
    validate = resume.ValidateEachEpoch._validate

    def watched(self: resume.ValidateEachEpoch, trainer: Any, epoch: int) -> float | None:
        state = trainer.lightning_module.encoder.state_dict()
        kept[epoch] = {name: value.clone() for name, value in state.items()}
        return validate(self, trainer, epoch)

    monkeypatch.setattr(resume.ValidateEachEpoch, "_validate", watched)
    config = settings(text_model, max_epochs=9, validation={"patience": 3} | keep)
    manifest = run(config, workspace, store(workspace, rows(4)))
    fit = manifest.info["fit"]
    assert [e["metric"] for e in fit["epochs"]] == [0.1, 0.3, 0.5, 0.4, 0.45, 0.2]
    assert fit["kept_epoch"] == epoch
    final = weights(workspace, manifest)
    assert all(torch.equal(final[name], kept[epoch][name]) for name in final)
    assert any(not torch.equal(final[name], kept[7 - epoch][name]) for name in final)


def test_without_validation_products_the_last_epoch_is_kept(workspace: Workspace, text_model: Path) -> None:
    config = settings(
        text_model, split={"validation_share": 0.0, "phash_distance": -1}, validation={"patience": 1}
    )
    fit = run(config, workspace, store(workspace, rows(4))).info["fit"]
    assert [e["metric"] for e in fit["epochs"]] == [None, None, None]
    assert fit["kept_epoch"] == 2
