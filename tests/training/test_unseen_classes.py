"""How far from the base an encoder may go, asked of classes that a shorter training left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.config.encoder import EncoderConfig
from recsys.evaluation.candidates import candidates_of
from recsys.training import unseen_classes
from recsys.training.fit import FitJob, fit
from recsys.training.run import run
from recsys.training.unseen_classes import (
    MIN_CLASSES,
    STEPS,
    Scores,
    by_class,
    choose,
    classes_to_leave_out,
    together,
)
from recsys.workspace import Workspace
from tests.training.shop import rows, settings, store

GROUPS = {"thing": {"columns": ["item_group_id"]}}
FROZEN = {"image": {"kind": "small", "image_size": 32, "frozen": True}}


def test_classes_are_left_out_always_the_same_ones_and_enough_stay() -> None:
    codes = np.repeat(np.arange(40), 3)
    codes[-3:] = [-1, 39, -1]  # no class, and a class of one
    first, second = (part.tolist() for part in classes_to_leave_out(codes, 0.25))
    assert len(set(first) | set(second)) == len(first) + len(second) == 20
    assert not {39, -1} & {*first, *second}
    assert [first, second] == [part.tolist() for part in classes_to_leave_out(codes[::-1], 0.25)]
    assert [len(part) for part in classes_to_leave_out(codes, 0.01)] == [MIN_CLASSES, MIN_CLASSES]
    assert sorted(np.concatenate(classes_to_leave_out(codes, 0.5)).tolist()) == list(range(39))
    assert not classes_to_leave_out(codes, 0)
    assert not classes_to_leave_out(np.repeat(np.arange(2 * MIN_CLASSES - 1), 3), 0.25)


def test_each_class_is_scored_among_all_that_were_left_out() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2, 1, 3]]
    codes = np.array([7, 7, 8, 8, 9, 5])
    found = by_class(vectors, codes, np.array([5, 7, 8]))
    assert np.isnan(found[0])  # one product: nothing to find
    assert found[1] == 1
    assert found[2] < 1  # the nearest of one is of class 9


@pytest.mark.parametrize(
    ("change", "between"),
    [
        ({0.25: 0.02, 0.5: 0.04, 0.75: 0.06, 1.0: 0.08}, (1.0, 1.0)),
        ({0.25: 0.05, 0.5: 0.08, 0.75: 0.03, 1.0: -0.10}, (0.5, 0.5)),
        ({0.25: -0.05, 0.5: -0.08, 0.75: -0.1, 1.0: -0.2}, (0.0, 0.0)),
        ({0.25: -0.004, 0.5: -0.08, 0.75: -0.1, 1.0: -0.2}, (0.0, 0.25)),
        ({0.25: 0.05, 0.5: 0.081, 0.75: 0.08, 1.0: -0.10}, (0.5, 0.75)),
        ({0.25: 0.0, 0.5: 0.0, 0.75: 0.0, 1.0: -0.10}, (0.0, 0.75)),
        ({0.25: 0.004, 0.5: -0.044, 0.75: 0.044, 1.0: -0.01}, (0.0, 0.25)),  # seen on half of a real catalog
    ],
)
def test_what_is_as_good_as_the_best_step(change: dict[float, float], between: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    base = rng.uniform(0.2, 0.8, 30)
    noise = rng.permuted(np.tile(np.linspace(-0.017, 0.017, 30), (5, 1)), axis=1)
    gains = {0.0: 0.0} | change
    steps = {alpha: base + gain + noise[i] for i, (alpha, gain) in enumerate(gains.items())}
    steps[0.0][3] = np.nan  # a class without anything to find
    unknown = {0.0: np.full(30, np.nan)}
    assert choose({"image": steps, "text": unknown}) == {"image": between, "text": between}
    flat: Scores = {"text": dict.fromkeys((0.0, *STEPS), base)}
    assert choose(flat | {"image": steps}) == {"text": (0, 1), "image": between}
    assert choose({"image": unknown, "text": unknown}) == {"image": (0, 0.5), "text": (0, 0.5)}
    assert choose({"text": steps}, {"text"}) == {"text": (0, between[1])}  # it says nothing for going on


def test_a_few_classes_that_leave_doubt_leave_it_to_the_nearer_step() -> None:
    spread = np.array([0.1, -0.1, 0.05, -0.05, 0.0])  # a standard error of 0.035
    level = np.full(5, 0.5)
    steps = {
        0.0: level - 0.02,
        0.25: level,
        0.5: level + 0.004,
        0.75: level - 0.02 + spread,
        1.0: level - spread,
    }
    assert choose({"image": steps | {1.0: level - 0.01 - spread}})["image"] == (0.25, 0.5)
    assert choose({"image": steps})["image"] == (0.25, 0.5)  # what is as good beyond a fall is so by chance
    assert choose({"image": steps | {0.0: level - 0.02 + spread}})["image"][0] == 0


def test_neither_vector_pays_for_the_other() -> None:
    rising = {alpha: np.linspace(0.2, 0.4, 9) + alpha / 2 for alpha in (0.0, *STEPS)}
    falling = {alpha: np.linspace(0.6, 0.8, 9) - alpha / 2 for alpha in (0.0, *STEPS)}
    for one, other in (("image", "text"), ("text", "image")):
        assert choose({one: rising, other: falling}) == {one: (1, 1), other: (0, 0)}


def test_images_and_texts_go_as_far_as_each_may(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = {"image": (0.5, 1.0), "text": (0.0, 0.25)}
    monkeypatch.setattr(unseen_classes, "choose", lambda *_: bounds)
    challenger = run(settings(text_model, encoder=FROZEN, labels=GROUPS), workspace, store(workspace, rows()))
    assert (challenger.info["wise_ft_alphas"], challenger.info["base_is_behind"]) == (list(STEPS), True)
    decision = next(d for d in challenger.info["decisions"] if d["setting"] == "evaluation.wise_ft_alphas")
    assert "images go as far as 1, texts go as far as 0.25" in decision["because"]
    base, *steps = candidates_of(challenger, None, None)
    assert base.is_behind
    assert [(c.name, c.alphas) for c in steps] == [
        ("wise-0.5-0.25", (0.5, 0.25)), ("wise-0.75-0.25", (0.75, 0.25)), ("wise-1-0.25", (1.0, 0.25)),
    ]  # fmt: skip
    assert steps[0].title == "Images 50%, texts 25% of the way to fine-tuned"


@pytest.mark.parametrize(
    ("image", "text", "both"),
    [
        ((0.25, 1.0), (0.0, 0.5), (0.25, 0.5)),
        ((0.5, 1.0), (0.0, 0.25), (0.0, 0.25)),  # what one asks for the other does not bear
        ((0.5, 1.0), (0.0, 0.0), (0.0, 0.0)),
    ],
)
def test_towers_of_one_space_stay_in_step(
    workspace: Workspace,
    text_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    image: tuple[float, float],
    text: tuple[float, float],
    both: tuple[float, float],
) -> None:
    bounds = {"image": image, "text": text}
    assert together(bounds) == {"image": both, "text": both}
    monkeypatch.setattr(unseen_classes, "choose", lambda *_: bounds)
    monkeypatch.setattr(EncoderConfig, "is_paired", True)
    config = settings(text_model, encoder=FROZEN, labels=GROUPS)
    challenger = run(config, workspace, store(workspace, rows()))
    steps = candidates_of(challenger, None, None)[1:]
    nearest, furthest = both
    assert [c.alphas for c in steps] == [(a, a) for a in STEPS if nearest <= a <= furthest]


def test_a_shorter_training_never_sees_what_it_left_out(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[FitJob] = []
    monkeypatch.setattr(unseen_classes, "fit", lambda job: (jobs.append(job), fit(job))[1])
    config = settings(text_model, encoder=FROZEN, labels=GROUPS, links=[{"column": "attributes.alike"}])
    info = run(config, workspace, store(workspace, rows())).info
    assert len({job.folder for job in jobs}) == len(jobs) == info["unseen_classes"]["num_trainings"] == 2
    for job in jobs:
        left, right, _ = job.supervision.pairs
        assert len(left)
        assert set(left.tolist()) | set(right.tolist()) <= set(job.trained.tolist())
        assert (job.config.epoch_steps, job.config.max_epochs) == (2, 2)
    one, other = (set(job.trained.tolist()) for job in jobs)
    assert len(one) < info["counts"]["splits"]["train"] > len(other)
    assert len(one | other) == info["counts"]["splits"]["train"]  # each class is left out once at most
    assert info["unseen_classes"]["num_classes"] >= 2 * MIN_CLASSES
    assert info["unseen_classes"]["num_products"] == len(one ^ other)
    assert set(info["unseen_classes"]["scores"]) == {"image", "text"}
    nearest, furthest = min(info["wise_ft_alphas"]), max(info["wise_ft_alphas"])
    assert info["wise_ft_alphas"] == [alpha for alpha in STEPS if nearest <= alpha <= furthest]
    assert nearest == STEPS[0] or info["base_is_behind"]
    decision = next(d for d in info["decisions"] if d["setting"] == "evaluation.wise_ft_alphas")
    assert "left out" in decision["because"]


def test_many_classes_left_out_at_once_leave_no_doubt(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[FitJob] = []
    monkeypatch.setattr(unseen_classes, "fit", lambda job: (jobs.append(job), fit(job))[1])
    monkeypatch.setattr(unseen_classes, "_ENOUGH_CLASSES", MIN_CLASSES)
    config = settings(text_model, encoder=FROZEN, labels=GROUPS)
    info = run(config, workspace, store(workspace, rows())).info
    (job,) = jobs
    assert info["unseen_classes"]["num_trainings"] == 1
    assert info["unseen_classes"]["num_products"] == info["counts"]["splits"]["train"] - len(job.trained) > 0


def test_where_classes_left_out_bear_no_step_only_the_base_is_a_candidate(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen_classes, "choose", lambda *_: {"image": (0.0, 0.0), "text": (0.0, 0.0)})
    config = settings(text_model, encoder=FROZEN, labels=GROUPS)
    challenger = run(config, workspace, store(workspace, rows()))
    assert (challenger.info["wise_ft_alphas"], challenger.info["base_is_behind"]) == ([], False)
    decision = next(d for d in challenger.info["decisions"] if d["setting"] == "evaluation.wise_ft_alphas")
    assert decision["value"] == "none"
    assert "bear no step" in decision["because"]
    assert [c.name for c in candidates_of(challenger, "encoders/old", None)] == ["champion", "base"]


@pytest.mark.parametrize("is_named", [True, False])
def test_texts_that_name_their_class_ask_for_no_step(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    asked: list[set[str]] = []
    both = {"image": (0.5, 0.5), "text": (0.5, 0.5)}
    monkeypatch.setattr(unseen_classes, "choose", lambda _, given: (asked.append(given), both)[1])
    products = rows()
    for row, _ in products if is_named else ():
        row["title"] += f" of {row['item_group_id']}"
    config = settings(text_model, encoder=FROZEN, labels=GROUPS)
    info = run(config, workspace, store(workspace, products)).info
    assert asked == [{"text"} if is_named else set()]
    assert (info["wise_ft_alphas"], info["base_is_behind"]) == ([0.5], True)


@pytest.mark.parametrize(
    ("encoder", "training", "alphas", "because"),
    [
        (None, {}, [1.0], "starts at random"),
        (FROZEN, {}, [0.25, 0.5], "too few classes of category"),
        (FROZEN, {"unseen_share": 0, "labels": GROUPS}, [0.25, 0.5], "no classes were left out"),
    ],
)
def test_without_classes_to_leave_out(
    workspace: Workspace,
    text_model: Path,
    encoder: dict[str, Any] | None,
    training: dict[str, Any],
    alphas: list[float],
    because: str,
) -> None:
    config = settings(text_model, encoder=encoder, **training)
    info = run(config, workspace, store(workspace, rows())).info
    assert info["wise_ft_alphas"] == alphas
    assert (info["base_is_behind"], info["unseen_classes"]) == (False, None)
    assert because in info["decisions"][-1]["because"]


def test_a_config_that_says_how_far_saves_the_second_training(
    workspace: Workspace, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen_classes, "fit", lambda job: pytest.fail("a second training"))
    config = settings(text_model, encoder=FROZEN, labels=GROUPS)
    evaluation = config.evaluation.model_copy(update={"wise_ft_alphas": (0.5,)})
    told = config.model_copy(update={"evaluation": evaluation})
    info = run(told, workspace, store(workspace, rows())).info
    assert info["trained"]
    assert "wise_ft_alphas" not in info
    monkeypatch.undo()
    assert "wise_ft_alphas" in run(config, workspace, "snapshots/night").info
