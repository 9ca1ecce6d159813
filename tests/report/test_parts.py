import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.report import charts, facts, formatting
from recsys.report.cards import ProductCards, thumbnail
from recsys.report.vectors import choose_examples, map_sample, neighbours, project_2d
from recsys.workspace import Workspace
from recsys.workspace.embeddings import EmbeddingSet
from recsys.workspace.product import PRODUCTS
from recsys.workspace.snapshot import Snapshot
from tests.report.nights import embeddings, products, snapshot

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
def test_lines_stay_inside_their_frame_and_keep_order(points: list[tuple[float, float]]) -> None:
    chart = charts.line_chart({"a": points}, x_label="x")
    assert chart is not None
    placed = [tuple(map(float, pair.split(","))) for pair in chart["lines"][0]["path"][1:].split("L")]
    assert len(placed) == len(points)
    for x, y in placed:
        assert chart["left"] - 0.01 <= x <= chart["right"] + 0.01
        assert 0 <= y <= chart["bottom"] + 0.01
    highest = max(range(len(points)), key=lambda i: points[i][1])
    assert placed[highest][1] <= min(y for _, y in placed) + 0.01


def test_what_is_not_finite_is_not_drawn() -> None:
    assert charts.line_chart({"a": [(0, math.nan), (1, math.inf)], "b": []}, x_label="x") is None
    chart = charts.line_chart({"a": [(0, math.nan), (1, 2.0)]}, x_label="x")
    assert chart is not None
    assert len(chart["lines"][0]["points"]) == 1


def test_judgements_are_accounted_for_in_one_sentence() -> None:
    counts = {
        "trained_on": 12,
        "similar": 9,
        "not_similar": 3,
        "validation": 2,
        "holdout": 1,
        "unused": 0,
        "unknown": 4,
    }
    assert facts._judgements(counts) == (
        "Of people's judgements: 12 pairs learnt from (9 similar, 3 not), 2 help to pick the challenger, "
        "1 help the gate decide and 4 of products that are gone."
    )
    assert facts._judgements(None) is None


def test_numbers_and_names_as_people_read_them() -> None:
    durations = [formatting.duration(s) for s in (None, 0.04, 9.97, 59.6, 185, 7800)]
    assert durations == ["–", "0.0 s", "10 s", "1 min 0 s", "3 min 5 s", "2 h 10 min"]
    assert formatting.interval({"value": 0.61234, "low": 0.58, "high": 0.64}) == "0.612 (0.580 to 0.640)"
    assert formatting.interval({"value": 0.5, "low": None, "high": None}) == "0.500"
    assert formatting.interval(None) == "not measured"
    names = [formatting.metric(n) for n in ("map@r", "ndcg@10", "recall@5", "hit@5", "r_precision")]
    assert names == ["MAP@R", "nDCG@10", "Recall@5", "Hit rate@5", "R-precision"]
    assert [formatting.joined(list(s)) for s in ("", "a", "abc")] == ["", "a", "a, b and c"]
    assert formatting.count(1200, "query", "queries") == "1,200 queries"
    assert formatting.reason("image_truncated") == "image is cut off"
    assert formatting.reason("some_new_code") == "some new code"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, EmbeddingSet]:
    workspace = Workspace(tmp_path_factory.mktemp("shop"))
    rows = products(90)
    catalog = snapshot(workspace, rows, [])
    return Snapshot(workspace, catalog), EmbeddingSet(workspace, embeddings(workspace, catalog, rows).ref)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_neighbours_are_those_of_an_exhaustive_search(
    shop: tuple[Snapshot, EmbeddingSet], weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = shop[1]
    whole = embedded.select(np.arange(len(embedded))).vectors
    score = weight * whole.image @ whole.image.T + (1 - weight) * whole.text @ whole.text.T
    np.fill_diagonal(score, -2)
    batches = EmbeddingSet.batches
    monkeypatch.setattr(EmbeddingSet, "batches", lambda self: batches(self, 7))
    ids = embedded.ids()
    found = neighbours(embedded, [ids[3], "missing", ids[50]], count=6, image_weight=weight)
    assert list(found) == [ids[3], ids[50]]
    for q in (3, 50):
        expected = np.argsort(-score[q], kind="stable")[:6]
        assert [n["id"] for n in found[ids[q]]] == [ids[i] for i in expected]
        for n in found[ids[q]]:
            assert n["score"] == pytest.approx(
                weight * n["image_score"] + (1 - weight) * n["text_score"], abs=1e-6
            )


def test_examples_are_of_different_categories_and_those_without_images_come_last(
    shop: tuple[Snapshot, EmbeddingSet],
) -> None:
    chosen = choose_examples(shop[0], 3)
    assert chosen == choose_examples(shop[0], 3)
    assert len({int(id[1:]) % 3 for id in chosen}) == 3
    lacking = [int(id[1:]) % 10 == 9 for id in choose_examples(shop[0], 1000)]
    assert lacking == sorted(lacking)
    assert any(lacking)


def test_the_map_keeps_categories_together_and_is_repeatable(shop: tuple[Snapshot, EmbeddingSet]) -> None:
    ids, vectors = map_sample(shop[1])
    points = project_2d(vectors, seed=0)
    assert points is not None
    assert np.array_equal(points, project_2d(vectors, seed=0))
    assert points.min() == 0
    assert points.max() == 1
    kinds = np.asarray([int(id[1:]) % 3 for id in ids])
    distance = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(len(points))
    assert (kinds[distance.argmin(1)] == kinds).mean() > 0.95


def test_a_map_of_few_or_equal_products_and_of_a_stable_sample(shop: tuple[Snapshot, EmbeddingSet]) -> None:
    assert project_2d(np.ones((3, 4), np.float32), seed=0) is None
    assert np.isfinite(project_2d(np.ones((30, 4), np.float32), seed=0)).all()
    ids, _ = map_sample(shop[1], 20)
    assert set(ids) <= set(map_sample(shop[1], 40)[0])


def test_thumbnails_fit_and_broken_bytes_give_none(shop: tuple[Snapshot, EmbeddingSet]) -> None:
    cards = ProductCards(shop[0])
    cards.fetch(["P0000", "P0009", "nobody"])
    made = cards.thumbnail("P0000", 32)
    assert made is not None
    assert (made.width, made.height) == (32, 21)
    assert cards.thumbnail("P0000", 32) is made
    assert cards.thumbnail("P0009") is None
    assert cards.thumbnail("nobody") is None
    assert cards.card("nobody")["title"] == "nobody"
    assert cards.thumbnails() == [made]
    assert thumbnail(b"not an image", "x", 32) is None


def test_a_lost_image_shard_costs_images_not_the_report(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rows = products(5)
    rows[0]["images"] = [b"\0" * 31 + b"\1"]
    catalog = snapshot(workspace, rows[1:], [])
    opened = Snapshot(workspace, catalog)
    pq.write_table(pa.Table.from_pylist(rows, schema=PRODUCTS), opened.products_path)
    cards = ProductCards(opened)
    cards.fetch(["P0000", "P0001"])
    assert cards.thumbnail("P0000") is None
    assert cards.thumbnail("P0001") is not None
