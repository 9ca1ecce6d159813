"""Tasks against a small table: which products are queries, which can be found, which are relevant."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.config import EvaluationConfig
from recsys.config.evaluation import TaskConfig
from recsys.errors import ArtifactError, ConfigError
from recsys.evaluation.products import Products, sample
from recsys.evaluation.tasks import PreparedTask, TaskPlan, plan_tasks, prepare
from recsys.workspace.product import PRODUCTS
from recsys.workspace.splits import HOLDOUT, SCHEMA, TEST, TRAIN, UNUSED, VALIDATION


def products(*rows: dict[str, Any]) -> Products:
    """Products p0, p1, … with the columns given; ``part`` (default train) and attributes by name."""
    table, splits = [], []
    for i, given in enumerate(rows):
        row = dict.fromkeys(PRODUCTS.names) | {"id": f"p{i}", "images": [], "attributes": []}
        row |= {"content_hash": bytes(16), "payload_hash": bytes(16)}
        row |= {k: v for k, v in given.items() if k in PRODUCTS.names}
        own = {k: v for k, v in given.items() if k not in PRODUCTS.names and k != "part"}
        row["attributes"] = list(own.items())
        table.append(row)
        part, component = given.get("part", TRAIN), given.get("item_group_id") or f"p{i}"
        splits.append({"id": f"p{i}", "component": component, "split": part})
    return Products(pa.Table.from_pylist(table, schema=PRODUCTS), pa.Table.from_pylist(splits, schema=SCHEMA))


def planned(shop: Products, task: dict[str, Any], **settings: Any) -> TaskPlan:
    return plan_tasks(EvaluationConfig(tasks=(TaskConfig(**{"gate": True, **task}),), **settings), shop)


def prepared(shop: Products, task: dict[str, Any], split: str = HOLDOUT, **flags: Any) -> PreparedTask:
    everyone = {"has_image": np.ones(len(shop), bool), "has_text": np.ones(len(shop), bool)}
    return prepare(planned(shop, task).tasks[0], split, shop, **(everyone | flags), resolve=str)


def relevant(task: PreparedTask) -> dict[int, list[int]]:
    """Query position → positions of the products relevant to it."""
    found = task.relevance.chunk(np.arange(len(task.queries))).relevant
    return {int(q): task.gallery[row].tolist() for q, row in zip(task.queries, found, strict=True)}


def test_held_out_products_query_all_and_never_find_themselves() -> None:
    shop = products(
        {"item_group_id": "a", "part": HOLDOUT},
        {"item_group_id": "a", "part": HOLDOUT},
        {"item_group_id": "b"},
        {"item_group_id": "c", "part": HOLDOUT},
        {"item_group_id": "d", "part": VALIDATION},
        {"item_group_id": "d", "part": VALIDATION},
    )
    task = {"name": "variants", "relevant": ["item_group_id"]}
    on_holdout = prepared(shop, task)
    assert relevant(on_holdout) == {0: [1], 1: [0]}
    assert on_holdout.num_without_relevant == 1
    assert len(on_holdout.gallery) == 6
    assert relevant(prepared(shop, task, VALIDATION)) == {4: [5], 5: [4]}


def test_no_query_finds_a_product_of_a_role_that_is_read_after_its_own() -> None:
    shop = products(*[{"label": "x", "part": p} for p in (TRAIN, UNUSED, VALIDATION, HOLDOUT, TEST)])
    task = {"name": "all", "relevant": ["label"]}
    plan = planned(shop, task)
    galleries = {role: found.tolist() for role, found in plan.tasks[0].galleries.items()}
    assert galleries == {VALIDATION: [0, 1, 2], HOLDOUT: [0, 1, 2, 3]}
    assert plan.pool.tolist() == [0, 1, 2, 3]
    recorded = plan_tasks(EvaluationConfig(tasks=(TaskConfig(gate=True, **task),)), shop, roles=(TEST, TRAIN))
    galleries = {role: found.tolist() for role, found in recorded.tasks[0].galleries.items()}
    assert galleries == {TEST: [0, 1, 2, 3, 4], TRAIN: [0, 1, 2, 3, 4]}


def test_columns_combine_and_a_missing_value_is_equal_to_nothing() -> None:
    row = {"product_type": "Shoe", "gender": "men", "tone": "red"}
    no_gender = {**row, "gender": None}
    shop = products({**row, "part": HOLDOUT}, row, {**row, "tone": "blue"}, no_gender, row,
                    {**no_gender, "part": HOLDOUT})  # fmt: skip
    task = prepared(shop, {"name": "strict", "relevant": ["product_type", "gender", "tone"]})
    assert relevant(task) == {0: [1, 4]}
    assert task.num_without_relevant == 1


def test_filters_by_attribute_choose_queries_and_gallery_within_the_roles() -> None:
    shop = products(
        {"kind": "photo", "own": "a", "label": "x", "part": HOLDOUT},
        {"kind": "photo", "own": "b", "label": "x"},
        {"kind": "icon", "own": "a", "label": "x", "part": HOLDOUT},
        {"kind": "photo", "own": "b", "label": "x", "part": VALIDATION},
        {"kind": "photo", "own": "b", "label": "x", "part": TEST},
    )
    task = {
        "name": "photos", "relevant": ["label"],
        "queries": {"kind": "photo"}, "gallery": {"kind": "photo", "own": ["b", "c"]},
    }  # fmt: skip
    assert relevant(prepared(shop, task)) == {0: [1, 3]}
    assert relevant(prepared(shop, task, VALIDATION)) == {3: [1]}
    config = EvaluationConfig(tasks=(TaskConfig(gate=True, **task),))
    final = plan_tasks(config, shop, roles=(TEST,)).tasks[0]
    assert {role: queries.tolist() for role, queries in final.queries.items()} == {TEST: [4]}


def test_unseen_classes_are_searched_among_their_own_split() -> None:
    shop = products(*[{"label": "x", "part": p} for p in (HOLDOUT, HOLDOUT, TRAIN, VALIDATION, VALIDATION)])
    task = {"name": "unseen", "relevant": ["label"], "gallery_split": "same"}
    assert relevant(prepared(shop, task)) == {0: [1], 1: [0]}
    assert relevant(prepared(shop, task, VALIDATION)) == {3: [4], 4: [3]}


def test_links_name_products_or_item_groups() -> None:
    shop = products(
        {"part": HOLDOUT, "related": "g2| p4 |gone", "item_group_id": "g1"},
        {"item_group_id": "g2", "upsell": "p0"},
        {"item_group_id": "g2"},
        {"item_group_id": "g1"},
        {},
    )
    task = {"name": "linked", "linked": ["related", "upsell"]}
    assert relevant(prepared(shop, task)) == {0: [1, 2, 4]}


def test_variants_of_the_query_can_be_left_out() -> None:
    shop = products(
        {"part": HOLDOUT, "related": "g1|g2", "item_group_id": "g1"},
        {"item_group_id": "g1"},
        {"item_group_id": "g2"},
    )
    task = {"name": "linked", "linked": ["related"]}
    assert relevant(prepared(shop, task)) == {0: [1, 2]}
    fit = prepared(shop, {**task, "exclude_item_group": True})
    assert relevant(fit) == {0: [2]}
    assert fit.relevance.chunk(np.array([0])).hidden.tolist() == [[True, True, False]]


def test_collapsed_results_are_item_groups() -> None:
    """p0 and p1 are one product; its links reach g2 through either colour, and p5, which has no group."""
    shop = products(
        {"part": HOLDOUT, "related": "p3|p5", "item_group_id": "g1"},
        {"part": HOLDOUT, "related": "g2", "item_group_id": "g1"},
        {"item_group_id": "g2"},
        {"item_group_id": "g2"},
        {"item_group_id": "g3"},
        {"part": HOLDOUT, "related": "g1"},
    )
    task = {"name": "linked", "linked": ["related"], "collapse_item_groups": True, "metrics": ["recall@9"]}
    fit = prepared(shop, task)
    assert fit.queries.tolist() == [0, 5]
    assert fit.num_results == 4
    assert fit.depths.tolist() == [4, 4]
    hidden, found, _ = fit.relevance.chunk(np.arange(2))
    groups = [fit.members(result).tolist() for result in range(fit.num_results)]
    assert [[g for g, shown in zip(groups, row, strict=True) if shown] for row in found] == [
        [[2, 3], [5]], [[0, 1]],
    ]  # fmt: skip
    assert [[g for g, own in zip(groups, row, strict=True) if own] for row in hidden] == [[[0, 1]], [[5]]]


def test_judged_pairs_count_either_way(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("left_id,right_id,label\np0,p1,1\np2,p0,similar\np0,p3,0\np9,p0,1\n")
    shop = products({"part": HOLDOUT}, {}, {}, {})
    assert relevant(prepared(shop, {"name": "judged", "pairs": str(path)})) == {0: [1, 2]}


def test_text_finds_its_own_image_among_the_products_that_have_one() -> None:
    shop = products(*[{"part": HOLDOUT} for _ in range(3)])
    task = {"name": "words", "kind": "text_to_image", "relevant": ["id"], "metrics": ["recall@1"]}
    fit = prepared(
        shop, task, has_image=np.array([True, False, True]), has_text=np.array([True, True, False])
    )
    assert relevant(fit) == {0: [0]}
    assert fit.gallery.tolist() == [0, 2]
    assert fit.num_without_relevant == 1  # p1 has words, but no image to find


@pytest.mark.parametrize(("modality", "queries"), [("image", [0, 2]), ("text", [0, 1]), ("fused", [0, 1, 2])])
def test_products_without_a_modality_take_no_part_in_its_tasks(modality: str, queries: list[int]) -> None:
    shop = products(*[{"part": HOLDOUT, "label": "x"} for _ in range(4)])
    fit = prepared(
        shop, {"name": "t", "relevant": ["label"], "modality": modality},
        has_image=np.array([True, False, True, False]), has_text=np.array([True, True, False, False]),
    )  # fmt: skip
    assert fit.queries.tolist() == queries
    assert fit.gallery.tolist() == queries


def test_depths_reach_k_and_r_but_not_beyond_the_gallery() -> None:
    shop = products(*[{"part": HOLDOUT, "label": "x"} for _ in range(6)], {"part": HOLDOUT, "label": "y"})
    deep = prepared(shop, {"name": "t", "relevant": ["label"], "metrics": ["map@r", "recall@2"]})
    assert deep.depths.tolist() == [5] * 6
    far = prepared(shop, {"name": "t", "relevant": ["label"], "metrics": ["recall@50"]})
    assert far.depths.tolist() == [7] * 6


def test_graded_relevance_is_for_ndcg() -> None:
    row = {"product_type": "Shoe", "part": HOLDOUT}
    shop = products({**row, "item_group_id": "a"}, {**row, "item_group_id": "a"}, row)
    grades = [{"relevant": ["item_group_id"], "grade": 3}, {"relevant": ["product_type"], "grade": 1}]
    task = {"name": "t", "relevant": ["item_group_id"], "grades": grades, "metrics": ["ndcg@2", "recall@2"]}
    fit = prepared(shop, task)
    assert fit.num_relevant.tolist() == [1, 1]
    assert fit.relevance.chunk(np.arange(2)).grades.tolist() == [[0, 3, 1], [3, 0, 1]]


def test_the_default_tasks_are_those_that_the_catalog_has_columns_for() -> None:
    full = products({"item_group_id": "a", "product_type": "Shoe", "part": HOLDOUT})
    assert [t.config.name for t in plan_tasks(EvaluationConfig(), full).tasks] == [
        "variants", "variants_image", "variants_text",
        "category", "category_image", "category_text",
        "words",
    ]  # fmt: skip
    bare = plan_tasks(EvaluationConfig(), products({"part": HOLDOUT}))
    assert [t.config.name for t in bare.tasks] == ["words"]
    assert len(bare.notes) == 2


def test_a_large_gallery_is_sampled_by_whole_components_those_of_queries_first() -> None:
    rows = [{"item_group_id": f"g{i // 3}", "part": HOLDOUT if i >= 297 else TRAIN} for i in range(300)]
    shop = products(*rows)
    found = planned(shop, {"name": "variants", "relevant": ["item_group_id"]}, max_gallery=100)
    assert len(found.pool) == 100
    assert {297, 298, 299} <= set(found.pool.tolist())
    assert found.tasks[0].galleries[HOLDOUT].tolist() == found.pool.tolist()
    assert "sample of 100 of 300" in found.notes[0]
    whole = [sum(p // 3 == g for p in found.pool) for g in range(100)]
    assert sum(0 < count < 3 for count in whole) <= 1


def test_many_queries_are_sampled_the_same_way_every_time() -> None:
    shop = products(*[{"label": "x", "part": HOLDOUT} for _ in range(50)])
    task = {"name": "t", "relevant": ["label"]}
    one, again = (planned(shop, task, max_queries=10).tasks[0].queries[HOLDOUT] for _ in range(2))
    assert len(one) == 10
    assert one.tolist() == again.tolist()
    assert "10 of 50" in planned(shop, task, max_queries=10).notes[0]
    names = [f"p{i}" for i in range(50)]
    fewer = {names[i] for i in sample(names[:40], 10)}
    assert len(fewer & {names[i] for i in sample(names, 10)}) >= 5  # new products move few old ones


def test_unknown_columns_are_named_before_anything_is_embedded() -> None:
    shop = products({"label": "x", "part": HOLDOUT})
    for wrong in (
        {"relevant": ["lable"]},
        {"relevant": ["label"], "queries": {"knd": "photo"}},
        {"relevant": ["label"], "breakdown_by": "typ"},
        {"linked": ["related"]},
        {"relevant": ["label"], "grades": [{"relevant": ["grp"], "grade": 2}]},
    ):
        with pytest.raises(ConfigError, match=r"Task t: .* neither a column nor a custom attribute"):
            planned(shop, {"name": "t", **wrong})


def test_a_split_of_another_snapshot_is_refused() -> None:
    shop = products({}, {})
    other = pa.Table.from_pylist([{"id": "p0", "component": "a", "split": TRAIN}], schema=SCHEMA)
    with pytest.raises(ArtifactError, match="others"):
        Products(shop._table, other)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({}, "what is relevant"),
        ({"relevant": ["x"], "metrics": ["recall"]}, "unknown metrics"),
        ({"relevant": ["x"], "metrics": ["recall@0"]}, "unknown metrics"),
        ({"relevant": ["x"], "main_metric": "recall@7"}, "not among"),
        ({"relevant": ["x"], "collapse_item_groups": True, "kind": "text_to_image"}, "item tasks"),
        ({"relevant": ["x"], "modality": "image", "image_weight": 0.5}, "fused"),
        ({"relevant": ["x"], "metrics": ["agreement@10"]}, "judged pairs alone"),
        ({"pairs": "x.csv", "relevant": ["x"], "metrics": ["agreement@10"]}, "judged pairs alone"),
        ({"pairs": "x.csv", "metrics": ["agreement@10", "map@r"]}, "judged pairs alone"),
        (
            {"pairs": "x.csv", "metrics": ["agreement@9"], "grades": [{"relevant": ["x"], "grade": 2}]},
            "judged pairs alone",
        ),
    ],
)
def test_tasks_that_make_no_sense_are_refused(task: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TaskConfig(name="t", **task)


GATING = TaskConfig(name="t", relevant=("x",), gate=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tasks": (GATING, GATING)}, "unique"),
        ({"tasks": (GATING.model_copy(update={"gate": False}),)}, "no task gates"),
        ({"wise_ft_alphas": (0.5, 0.25)}, "ascend"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EvaluationConfig(**settings)
