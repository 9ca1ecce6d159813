"""The task of people's judgements: what is in it, how it is scored, when it takes part in the decision."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.config import EvaluationConfig
from recsys.config.evaluation import TaskConfig
from recsys.evaluation.candidates import CHAMPION, TUNED
from recsys.evaluation.gate import gate_score, task_weights
from recsys.evaluation.products import Products
from recsys.evaluation.scores import PerQueryScores, TaskResult
from recsys.evaluation.tasks import PreparedTask, Task, judgements_task, plan_tasks, prepare
from recsys.workspace import Workspace
from recsys.workspace.judgements import commit
from recsys.workspace.splits import HOLDOUT, TEST, TRAIN, UNUSED, VALIDATION
from tests.evaluation import shop
from tests.evaluation.test_gate import compared, decided, result, scores
from tests.evaluation.test_run import Night
from tests.evaluation.test_tasks import products, relevant


def file_of(tmp_path: Path, *judged: tuple[str, str, str]) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("left_id,right_id,label\n" + "".join(f"{a},{b},{label}\n" for a, b, label in judged))
    return path


def task_of(tmp_path: Path, catalog: Products, *judged: tuple[str, str, str]) -> Task:
    task, _ = judgements_task(file_of(tmp_path, *judged), catalog, taken=(), max_queries=100)
    assert task is not None
    return task


def prepared(task: Task, catalog: Products, split: str) -> PreparedTask:
    everyone = np.ones(len(catalog), bool)
    return prepare(task, split, catalog, has_image=everyone, has_text=everyone, resolve=str)


def test_holdout_products_are_queries_and_no_judgement_both_selects_and_decides(tmp_path: Path) -> None:
    catalog = products(*({"part": p} for p in (TRAIN, TRAIN, VALIDATION, HOLDOUT, HOLDOUT, UNUSED, TEST)))
    task = task_of(
        tmp_path, catalog,
        ("p0", "p1", "similar"), ("p0", "p2", "similar"), ("p0", "p3", "similar"), ("p2", "p3", "similar"),
        ("p4", "p3", "not_similar"), ("p5", "p4", "similar"), ("p2", "gone", "similar"),
        ("p6", "p3", "similar"),
    )  # fmt: skip
    deciding, selecting = (prepared(task, catalog, split) for split in (HOLDOUT, VALIDATION))
    assert relevant(deciding) == {3: [0, 2], 4: [5]}
    assert deciding.num_not_similar.tolist() == [1, 1]
    assert deciding.gallery.tolist() == [0, 1, 2, 3, 4, 5]
    assert relevant(selecting) == {2: [0]}
    assert selecting.num_not_similar.tolist() == [0]
    assert selecting.gallery.tolist() == [0, 1, 2, 5]
    assert task.required.tolist() == [0, 2, 3, 4, 5]
    assert deciding.is_judgements


def test_a_query_that_was_only_judged_not_similar_counts(tmp_path: Path) -> None:
    catalog = products({"part": HOLDOUT}, {}, {})
    task = prepared(task_of(tmp_path, catalog, ("p0", "p1", "not_similar")), catalog, HOLDOUT)
    assert (task.num_relevant.tolist(), task.num_not_similar.tolist()) == ([0], [1])
    assert task.num_without_relevant == 0


def test_without_a_holdout_product_there_is_no_task_but_a_note(tmp_path: Path) -> None:
    catalog = products({}, {}, {"part": VALIDATION}, {"part": HOLDOUT})
    path = file_of(tmp_path, ("p0", "p1", "similar"), ("p0", "p2", "similar"))
    task, notes = judgements_task(path, catalog, taken=(), max_queries=9)
    assert task is None
    assert "2 judged pairs, none with a held-out product" in notes[0]


def test_its_products_are_embedded_even_if_others_are_sampled_and_its_name_is_unique(tmp_path: Path) -> None:
    catalog = products(*({"part": HOLDOUT if i == 0 else TRAIN, "label": f"{i // 2}"} for i in range(300)))
    path = file_of(tmp_path, ("p0", "p77", "similar"), ("p0", "p201", "not_similar"))
    own = TaskConfig(name="judgements", relevant=("label",), gate=True)
    plan = plan_tasks(EvaluationConfig(tasks=(own,), max_gallery=100), catalog, path)
    assert {0, 77, 201} <= set(plan.pool)
    assert len(plan.pool) < 110
    assert [t.config.name for t in plan.tasks] == ["judgements", "judgements_of_people"]
    assert relevant(prepared(plan.tasks[1], catalog, HOLDOUT)) == {0: [77]}


def judged(gain: float, **more: Any) -> PerQueryScores:
    one = scores(gain, **more)
    return replace(one, task="judgements", components=one.components + 10_000, is_judgements=True)


def test_a_few_judgements_weigh_what_their_queries_weigh() -> None:
    large, larger = scores(0.0, queries=400), scores(0.0, queries=1000, task="words")
    assert task_weights([large, larger]).tolist() == [1, 1]
    assert task_weights([large, larger, judged(0.0, queries=40)]).tolist() == [1, 1, 0.1]
    assert task_weights([large, judged(0.0, queries=4000)]).tolist() == [1, 1]
    assert task_weights([judged(0.0, queries=40)]).tolist() == [1]
    both = [large, judged(0.5, queries=40)]
    means = [float(e.values["tuned"].mean()) for e in both]
    assert gate_score(both, "tuned") == pytest.approx((means[0] + 0.1 * means[1]) / 1.1)


def test_a_gain_on_judgements_is_enough_in_a_tie_and_a_loss_is_refused() -> None:
    tie = scores(0.0, queries=2000, spread=0.04)
    gained, equal, lost = (
        compared(tie, judged(gain, queries=40, spread=0.05)) for gain in (0.1, 0.0, -0.2)
    )  # fmt: skip
    assert gained.accepted
    assert not equal.accepted
    assert not lost.accepted
    assert any("in task judgements" in r for r in lost.reasons)


def judged_result(queries: int, **levels: float) -> TaskResult:
    made = result("judgements", queries, **levels)
    return replace(made, task=replace(made.task, is_judgements=True))


@pytest.mark.parametrize(("queries", "takes_part"), [(19, False), (20, True)])
def test_judgements_take_part_from_a_number_of_queries_and_are_shown_before(
    queries: int, takes_part: bool
) -> None:
    usual = result(champion=0.4, base=0.3, tuned=0.4, queries=300)
    better = {"champion": 0.3, "base": 0.3, "tuned": 0.6}
    found = decided(
        (CHAMPION, "base", TUNED), [usual, judged_result(9, **better)],
        [usual, judged_result(queries, **better)], configured=False,
    )  # fmt: skip
    assert ("judgements" in found.gating) is takes_part
    assert (found.action == "promote") is takes_part
    assert any(f"{queries} held-out products" in n for n in found.notes) is not takes_part


def judgements_of(workspace: Workspace, label: str) -> str:
    """Every item group is judged against the next one of its type."""
    rows = [row for row, _ in shop.rows()]
    group = {row["item_group_id"]: row["id"] for row in reversed(rows)}
    fixed = {"weight": 1.0, "num_judges": 1, "updated_at": datetime(2026, 7, 1, tzinfo=UTC), "label": label}
    pairs = [
        {"left_id": group[f"G{t}-{g}"], "right_id": group[f"G{t}-{g + 1}"]} | fixed
        for t in range(6)
        for g in range(7)
    ]
    return commit(workspace, pairs, {}).ref


def test_a_night_with_judgements(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.blind)
    champion, gate = night.champion(shop.blind), {"min_judged_queries": 10, "min_components": 5}
    without, record_without = night.run(champion, gate=gate)
    assert night.run(champion, commit(workspace, [], {}).ref, gate=gate)[0] == without
    manifest, record = night.run(champion, judgements_of(workspace, "similar"), gate=gate)
    other, _ = night.run(champion, judgements_of(workspace, "not_similar"), gate=gate)
    assert len({without.id, manifest.id, other.id}) == 3
    assert manifest.inputs["judgements"].startswith("judgements/")
    *others, task = record["tasks"]
    expected = ("judgements", "Merchandisers' judgements", "agreement@10", True, 18)
    assert tuple(task[k] for k in ("name", "title", "main_metric", "gate", "num_queries")) == expected
    assert "judgements" in record["gate"]["tasks"]
    assert "judgements" in [c["name"] for c in record["gate"]["checks"]]
    assert others == record_without["tasks"]


def test_a_setting_of_judgements_changes_only_nights_with_judgements(
    workspace: Workspace, good: Path
) -> None:
    night, judged = Night(workspace, good), judgements_of(workspace, "similar")
    gates = [{"min_judged_queries": least} for least in (20, 30)]
    plain, with_judgements = (
        {night.run(None, ref, num_examples=0, gate=gate)[0].id for gate in gates} for ref in (None, judged)
    )  # fmt: skip
    assert (len(plain), len(with_judgements)) == (1, 2)
