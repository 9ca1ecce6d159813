"""The gate's task of people's judgements: what it asks, what it counts, when it takes part."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.config import EvaluationConfig
from recsys.config.evaluation import TaskConfig
from recsys.evaluation import run as stage
from recsys.evaluation.candidates import CHAMPION, TUNED
from recsys.evaluation.evaluator import Outcome, judged_task
from recsys.evaluation.gate import check_challenger as verdict
from recsys.evaluation.gate import score
from recsys.evaluation.products import Products
from recsys.evaluation.scores import Evidence, weights
from recsys.evaluation.tasks import Task, plan, ready
from recsys.metrics.retrieval import Ranked, compute
from recsys.workspace import Workspace
from recsys.workspace.evaluations import FILE
from recsys.workspace.judgements import commit
from recsys.workspace.splits import UNUSED
from tests.evaluation import shop
from tests.evaluation.test_decision import night, outcome
from tests.evaluation.test_gate import GATE, evidence
from tests.evaluation.test_run import Night
from tests.evaluation.test_tasks import HOLDOUT, TRAIN, VALIDATION, answers, products

BOTH = (VALIDATION, HOLDOUT)


def file_of(tmp_path: Path, *said: tuple[str, str, str]) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("left_id,right_id,label\n" + "".join(f"{a},{b},{label}\n" for a, b, label in said))
    return path


def asked(tmp_path: Path, catalog: Products, *said: tuple[str, str, str], **more: Any) -> Task | None:
    settings: dict[str, Any] = {"taken": (), "max_queries": 100} | more
    return judged_task(file_of(tmp_path, *said), catalog, BOTH, **settings)[0]


def prepared(task: Task, catalog: Products, split: str) -> Any:
    everyone = np.ones(len(catalog), bool)
    return ready(task, split, catalog, has_image=everyone, has_text=everyone, resolve=str)


def test_held_out_ends_ask_and_no_judgement_both_selects_and_judges(tmp_path: Path) -> None:
    catalog = products(*({"part": p} for p in (TRAIN, TRAIN, VALIDATION, HOLDOUT, HOLDOUT, UNUSED)))
    task = asked(
        tmp_path, catalog,
        ("p0", "p1", "similar"), ("p0", "p2", "similar"), ("p0", "p3", "similar"), ("p2", "p3", "similar"),
        ("p4", "p3", "not_similar"), ("p5", "p4", "similar"), ("p2", "gone", "similar"),
    )  # fmt: skip
    assert task is not None
    judging, selecting = (prepared(task, catalog, split) for split in (HOLDOUT, VALIDATION))
    assert answers(judging) == {3: [0, 2], 4: [5]}
    assert judging.num_wrong.tolist() == [1, 1]
    assert len(judging.gallery) == 6
    assert answers(selecting) == {2: [0]}
    assert selecting.num_wrong.tolist() == [0]
    assert not set(selecting.gallery) & {3, 4}
    assert task.required.tolist() == [0, 2, 3, 4, 5]
    assert judging.judged


def test_a_query_that_only_has_wrong_answers_counts(tmp_path: Path) -> None:
    catalog = products({"part": HOLDOUT}, {}, {})
    task = asked(tmp_path, catalog, ("p0", "p1", "not_similar"))
    assert task is not None
    fit = prepared(task, catalog, HOLDOUT)
    assert (fit.num_relevant.tolist(), fit.num_wrong.tolist(), fit.num_without_answer) == ([0], [1], 0)


def test_without_a_held_out_product_there_is_no_task_but_a_note(tmp_path: Path) -> None:
    catalog = products({}, {}, {"part": VALIDATION}, {"part": HOLDOUT})
    path = file_of(tmp_path, ("p0", "p1", "similar"), ("p0", "p2", "similar"))
    task, notes = judged_task(path, catalog, BOTH, taken=(), max_queries=9)
    assert task is None
    assert "2 pairs are judged, none of a held-out product" in notes[0]


def test_its_products_are_embedded_whatever_is_sampled_and_its_name_is_its_own(tmp_path: Path) -> None:
    catalog = products(*({"part": HOLDOUT if i == 0 else TRAIN, "label": f"{i // 2}"} for i in range(300)))
    path = file_of(tmp_path, ("p0", "p77", "similar"), ("p0", "p201", "not_similar"))
    own = TaskConfig(name="judgements", relevant=("label",), gate=True)
    made = plan(
        EvaluationConfig(tasks=(own,), max_gallery=100), catalog, BOTH,
        lambda taken: judged_task(path, catalog, BOTH, taken=taken, max_queries=9),
    )  # fmt: skip
    assert {0, 77, 201} <= set(made.pool)
    assert len(made.pool) < 110
    assert [t.config.name for t in made.tasks] == ["judgements", "judgements_of_people"]
    assert answers(prepared(made.tasks[1], catalog, HOLDOUT)) == {0: [77]}


def test_agreement_by_hand() -> None:
    hits = np.array([[True, False, False], [False, False, False], [False, False, False]])
    grades = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], np.uint8)
    num_relevant, num_wrong, ideal = np.array([2, 0, 0]), np.array([2, 1, 1]), np.zeros((3, 3), np.uint8)
    ranked = Ranked(hits, grades, num_relevant, ideal, num_wrong)
    values = compute(("agreement@1", "agreement@2", "agreement@3"), ranked)
    assert values["agreement@1"].tolist() == [0.75, 1, 1]
    assert values["agreement@2"].tolist() == [0.5, 1, 1]
    assert values["agreement@3"].tolist() == [0.5, 0, 1]


@given(st.lists(st.sampled_from(["right", "wrong", "nothing"]), min_size=2, max_size=10), st.data())
def test_moving_a_right_answer_up_or_a_wrong_one_down_never_hurts(marks: list[str], data: Any) -> None:
    if set(marks) == {"nothing"}:
        return
    i, k = data.draw(st.integers(1, len(marks) - 1)), data.draw(st.integers(1, len(marks)))
    worth = {"right": 1, "nothing": 0, "wrong": -1}
    swapped = [*marks[: i - 1], marks[i], marks[i - 1], *marks[i + 1 :]]
    counts = np.array([marks.count("right")]), np.array([marks.count("wrong")])

    def agreement(order: list[str]) -> float:
        hits = np.array([[m == "right" for m in order]])
        grades = np.array([[m != "nothing" for m in order]], np.uint8)
        ranked = Ranked(hits, grades, counts[0], np.zeros((1, 10), np.uint8), counts[1])
        return float(compute((f"agreement@{k}",), ranked)[f"agreement@{k}"][0])

    before, after = agreement(marks), agreement(swapped)
    assert 0 <= before <= 1
    if worth[marks[i]] >= worth[marks[i - 1]]:
        assert after >= before


@pytest.mark.parametrize(
    "task",
    [
        {"relevant": ["brand"], "metrics": ["agreement@10"]},
        {"pairs": "x.csv", "relevant": ["brand"], "metrics": ["agreement@10"]},
        {"pairs": "x.csv", "metrics": ["agreement@10", "map@r"]},
        {"pairs": "x.csv", "metrics": ["agreement@10"], "grades": [{"relevant": ["brand"], "grade": 2}]},
    ],
)
def test_agreement_is_about_judged_pairs_alone(task: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="judged pairs alone"):
        TaskConfig(name="x", **task)
    TaskConfig(name="x", pairs="x.csv", metrics=("agreement@3",))


def judged_evidence(gain: float, **more: Any) -> Evidence:
    e = evidence(gain, **more)
    return Evidence(task="judged", values=e.values, components=e.components + 10_000, judged=True)


def test_a_few_judgements_weigh_what_their_queries_weigh() -> None:
    large, larger = evidence(0.0, queries=400), evidence(0.0, queries=1000, task="words")
    assert weights([large, larger]).tolist() == [1, 1]
    assert weights([large, larger, judged_evidence(0.0, queries=40)]).tolist() == [1, 1, 0.1]
    assert weights([large, judged_evidence(0.0, queries=4000)]).tolist() == [1, 1]
    assert weights([judged_evidence(0.0, queries=40)]).tolist() == [1]
    both = [large, judged_evidence(0.5, queries=40)]
    means = [float(e.values["tuned"].mean()) for e in both]
    assert score(both, "tuned") == pytest.approx((means[0] + 0.1 * means[1]) / 1.1)


def test_a_few_noisy_judgements_do_not_close_a_gate_that_is_open() -> None:
    gains, noisy = evidence(0.03, queries=2000), judged_evidence(0.0, queries=30, spread=0.3)
    found = verdict([gains, noisy], reference="champion", challenger="tuned", config=GATE, seed=0)
    assert found.accepted
    as_any_other = Evidence(task="noisy", values=noisy.values, components=noisy.components)
    assert not verdict(
        [gains, as_any_other], reference="champion", challenger="tuned", config=GATE, seed=0
    ).accepted


def test_agreeing_more_with_people_is_reason_enough_in_a_tie_and_less_is_a_loss() -> None:
    tie = evidence(-0.001, queries=2000, spread=0.04)

    def found(gain: float) -> Any:
        few = judged_evidence(gain, queries=40, spread=0.05)
        return verdict([tie, few], reference="champion", challenger="tuned", config=GATE, seed=0)

    assert found(0.1).accepted
    assert "agrees more with what people judged" in found(0.1).reasons[0]
    assert not found(0.0).accepted
    assert not found(-0.2).accepted
    assert any("in task judged" in r for r in found(-0.2).reasons)


def judged_outcome(queries: int, **levels: float) -> Outcome:
    made = outcome("judged", queries, **levels)
    fit = type(made.task)(**{**vars(made.task), "judged": True})
    return Outcome(task=fit, values=made.values, components=made.components, labels=made.labels)


def test_judgements_take_part_from_a_number_of_queries_and_are_shown_before() -> None:
    usual = [outcome(champion=0.4, base=0.3, tuned=0.4, queries=300)]
    better = {"champion": 0.3, "base": 0.3, "tuned": 0.6}
    names = (CHAMPION, "base", TUNED)
    for queries, takes_part in ((19, False), (20, True)):
        found = night(
            names, [*usual, judged_outcome(9, **better)], [*usual, judged_outcome(queries, **better)],
            configured=False,
        )  # fmt: skip
        assert ("judged" in found.gating) is takes_part
        assert (found.action == "promote") is takes_part
        said = [n for n in found.notes if f"{queries} held-out products" in n]
        assert bool(said) is not takes_part


def judgements_of(workspace: Workspace, made: Night, label: str) -> str:
    """Each held-out group is judged against the next group of its type."""
    rows = [row for row, _ in shop.rows()]
    group = {row["item_group_id"]: row["id"] for row in reversed(rows)}
    fixed = {"weight": 1.0, "num_judges": 1, "updated_at": datetime(2026, 7, 1, tzinfo=UTC), "label": label}
    pairs = [
        {"left_id": group[f"G{t}-{g}"], "right_id": group[f"G{t}-{g + 1}"]} | fixed
        for t in range(6)
        for g in range(7)
    ]
    return commit(workspace, pairs, {}).ref


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.good_encoder(shop.settings(), tmp_path_factory.mktemp("good") / "encoder")


def test_a_night_with_judgements(workspace: Workspace, good: Path) -> None:
    made = Night(workspace, good, base=shop.blind)
    champion = made.champion(shop.blind)
    config = shop.settings(wise_ft_alphas=[], gate={"min_judged_queries": 10, "min_components": 5})

    def run(ref: str | None) -> Any:
        return stage.run(config, workspace, made.snapshot, made.tuned, champion, ref)

    without = run(None)
    assert run(commit(workspace, [], {}).ref) == without
    manifest = run(judgements_of(workspace, made, "similar"))
    assert manifest.id != without.id
    assert run(judgements_of(workspace, made, "not_similar")).id not in (manifest.id, without.id)
    assert manifest.inputs["judgements"].startswith("judgements/")
    record = json.loads((workspace.path(manifest) / FILE).read_text())
    task = next(t for t in record["tasks"] if t["name"] == "judgements")
    assert (task["title"], task["main_metric"], task["gate"]) == (
        "Merchandisers' judgements", "agreement@10", True,
    )  # fmt: skip
    assert task["num_queries"] == 18
    assert "judgements" in record["gate"]["tasks"]
    assert "judgements" in [c["name"] for c in record["gate"]["checks"]]
    assert record["tasks"][:-1] == json.loads((workspace.path(without) / FILE).read_text())["tasks"]


def test_a_setting_of_judgements_changes_no_night_without_them(workspace: Workspace, good: Path) -> None:
    made = Night(workspace, good)
    ids = {
        stage.run(
            shop.settings(wise_ft_alphas=[], gate={"min_judged_queries": n}),
            workspace,
            made.snapshot,
            made.tuned,
            None,
            ref,
        ).id
        for n in (20, 30)
        for ref in (None, judgements_of(workspace, made, "similar"))
    }
    assert len(ids) == 3
