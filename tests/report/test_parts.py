import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.report import charts, formatting, projection_2d
from recsys.report.examples import choose, neighbours
from recsys.report.facts import training_facts
from recsys.report.product_cards import Shelf, thumbnail
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import EmbeddingSet
from recsys.workspace.snapshot import Snapshot
from tests.report.nights import embeddings, products, snapshot

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(numbers, st.floats(1e-3, 1e6), st.integers(3, 8))
def test_ticks_are_round_few_and_within(low: float, span: float, count: int) -> None:
    found = charts.ticks(low, low + span, count)
    slack = span * 1e-6
    assert all(low - slack <= t <= low + span + slack for t in found)
    assert len(found) <= 2 * count
    if len(found) > 2:
        steps = np.diff(found)
        assert np.allclose(steps, steps[0], rtol=1e-3)


def test_ticks_of_whole_numbers_are_whole() -> None:
    assert charts.ticks(0, 2, whole=True) == [0, 1, 2]
    assert charts.ticks(3, 3) == [3]
    assert charts.ticks(0, math.inf) == [0]


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
def test_lines_stay_inside_their_frame_and_keep_order(points: list[tuple[float, float]]) -> None:
    chart = charts.line_chart({"a": points}, x_label="x")
    assert chart is not None
    placed = [tuple(map(float, pair.split(","))) for pair in chart.lines[0].path[1:].split("L")]
    assert len(placed) == len(points)
    for x, y in placed:
        assert chart.left - 0.01 <= x <= chart.right + 0.01
        assert chart.top - 0.01 <= y <= chart.bottom + 0.01
    higher = max(range(len(points)), key=lambda i: points[i][1])
    assert placed[higher][1] <= min(y for _, y in placed) + 0.01


def test_what_is_not_finite_is_not_drawn() -> None:
    assert charts.line_chart({"a": [(0, math.nan), (1, math.inf)], "b": []}, x_label="x") is None
    chart = charts.line_chart({"a": [(0, math.nan), (1, 2.0)]}, x_label="x")
    assert chart is not None
    assert len(chart.lines[0].points) == 1


@given(st.lists(numbers, min_size=1, max_size=20))
def test_a_scale_holds_its_rows(values: list[float]) -> None:
    scale = charts.scale([{"v": v} for v in values] + [{"v": None}], ("v",))
    at = [scale.at(v) for v in values]
    assert all(0 <= a <= 100 for a in at)
    assert np.all(np.diff(np.asarray(at)[np.argsort(values)]) >= 0)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.floats(0, 1))
def test_smoothing_keeps_x_and_stays_within_the_values(ys: list[float], share: float) -> None:
    smoothed = charts.smooth([(float(i), y) for i, y in enumerate(ys)], share)
    assert [x for x, _ in smoothed] == list(range(len(ys)))
    assert all(min(ys) - 1e-9 <= y <= max(ys) + 1e-9 for _, y in smoothed)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (9.97, "10 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert formatting.duration(seconds) == said


def test_what_became_of_judgements_is_one_sentence() -> None:
    counts = {
        "learnt": 12,
        "similar": 9,
        "not_similar": 3,
        "selecting": 2,
        "judging": 1,
        "left_out": 0,
        "gone": 4,
    }

    def said(judgements: dict[str, int] | None) -> str | None:
        info = {"counts": {"supervision": {"judgements": judgements} if judgements else {}}}
        made = Manifest(kind="encoders", id="x", created_at="", inputs={}, files={}, info=info)
        return training_facts(made)["judgements"]

    assert said(counts) == (
        "Of what people judged: 12 pairs learnt from (9 similar, 3 not), 2 help to pick the challenger, "
        "1 judge the candidates and 4 of products that are gone."
    )
    assert said(None) is None


def test_words_for_figures_metrics_and_lists() -> None:
    assert formatting.interval({"value": 0.61234, "low": 0.58, "high": 0.64}) == "0.612 (0.580 to 0.640)"
    assert formatting.interval({"value": 0.5, "low": None, "high": None}) == "0.500"
    assert formatting.interval(None) == "not measured"
    assert (formatting.signed(-0.0123), formatting.signed(0.5)) == ("−0.012", "+0.500")
    names = ["map@r", "ndcg@10", "recall@5", "hit@5", "r_precision", "precision@1"]
    assert [formatting.metric(n) for n in names] == [
        "MAP@R",
        "nDCG@10",
        "Recall@5",
        "Hit rate@5",
        "R-precision",
        "Precision@1",
    ]
    assert formatting.joined(["a", "b", "c"]) == "a, b and c"
    assert (formatting.joined(["a"]), formatting.joined([])) == ("a", "")
    assert (
        formatting.count(1, "query", "queries") + formatting.count(1200, "query", "queries")
        == "1 query1,200 queries"
    )
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


def test_examples_are_of_different_categories_and_always_the_same(
    shop: tuple[Snapshot, EmbeddingSet],
) -> None:
    chosen = choose(shop[0], 3)
    assert chosen == choose(shop[0], 3)
    assert len({int(id[1:]) % 3 for id in chosen}) == 3
    assert all(int(id[1:]) % 10 != 9 for id in chosen), "they have images"
    assert len(set(choose(shop[0], 8))) == 8
    lacking = [int(id[1:]) % 10 == 9 for id in choose(shop[0], 1000)]
    assert any(lacking)
    assert lacking == sorted(lacking), "those without an image come last"


def test_the_plane_keeps_categories_together_and_is_repeatable(shop: tuple[Snapshot, EmbeddingSet]) -> None:
    ids, vectors = projection_2d.sample(shop[1])
    points = projection_2d.project(vectors, seed=0)
    assert points is not None
    assert np.array_equal(points, projection_2d.project(vectors, seed=0))
    assert points.min() == 0
    assert points.max() == 1
    kinds = np.asarray([int(id[1:]) % 3 for id in ids])
    distance = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(len(points))
    assert (kinds[distance.argmin(1)] == kinds).mean() > 0.95


def test_a_sample_of_the_plane_is_stable_and_ascending(shop: tuple[Snapshot, EmbeddingSet]) -> None:
    ids, vectors = projection_2d.sample(shop[1], 20)
    assert ids == sorted(ids)
    assert set(ids) <= set(projection_2d.sample(shop[1], 40)[0])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_planes_of_few_or_equal_products() -> None:
    assert projection_2d.project(np.ones((3, 4), np.float32), seed=0) is None
    points = projection_2d.project(np.ones((30, 4), np.float32), seed=0)
    assert points is not None
    assert np.isfinite(points).all()


def test_thumbnails_fit_and_broken_bytes_give_none(shop: tuple[Snapshot, EmbeddingSet]) -> None:
    shelf = Shelf(shop[0])
    shelf.fetch(["P0000", "P0009", "nobody"])
    made = shelf.thumbnail("P0000", 32)
    assert made is not None
    assert (made.width, made.height) == (30, 20)
    assert shelf.thumbnail("P0000", 32) is made
    assert shelf.thumbnail("P0009") is None
    assert shelf.thumbnail("nobody") is None
    assert shelf.card("nobody")["title"] == "nobody"
    assert shelf.thumbnails() == [made]
    assert thumbnail(b"not an image", "x", 32) is None


def test_a_lost_image_shard_costs_images_not_the_report(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    rows = products(5)
    rows[0]["images"] = [b"\0" * 31 + b"\1"]
    catalog = snapshot(workspace, rows[1:], [])
    rows_path = workspace.path(catalog) / "products.parquet"
    import pyarrow as pa
    import pyarrow.parquet as pq

    from recsys.workspace.product import PRODUCTS

    pq.write_table(pa.Table.from_pylist(rows, schema=PRODUCTS), rows_path)
    shelf = Shelf(Snapshot(workspace, catalog))
    shelf.fetch(["P0000", "P0001"])
    assert shelf.thumbnail("P0000") is None
    assert shelf.thumbnail("P0001") is not None
