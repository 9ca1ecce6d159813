"""Overlap of nearest neighbours: a circle with a known answer, and an exhaustive search."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.report import overlap
from recsys.report.overlap import Gallery, common_products, compare
from recsys.workspace import Workspace
from recsys.workspace.embeddings import EmbeddingSet, Float32
from recsys.workspace.snapshot import Snapshot
from tests.report.nights import embedding_set, embeddings, products, snapshot

CHAMPION = "encoders/champion"


def circle(places: np.ndarray[Any, Any], around: int) -> tuple[Float32, Float32]:
    """Return unit vectors at ``places`` of ``around`` on a circle, the same for both halves."""
    angles = 2 * np.pi * places / around
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return vectors, vectors


def ungrouped(count: int) -> list[dict[str, Any]]:
    rows = products(count)
    for row in rows:
        row["item_group_id"] = None
    return rows


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_one_of_forty_on_a_circle_moves_to_the_other_side(workspace: Workspace) -> None:
    """The ten nearest are five on each side, so the ten it leaves and the ten it joins exchange one each."""
    rows = ungrouped(40)
    catalog = snapshot(workspace, rows, [])
    places = np.arange(40, dtype=float)
    before = embedding_set(workspace, catalog, rows, circle(places, 40), CHAMPION)
    places[0] = 20.25
    after = embedding_set(workspace, catalog, rows, circle(places, 40), "encoders/tuned")
    found = compare(
        Snapshot(workspace, catalog), *(EmbeddingSet(workspace, m.ref) for m in (before, after)),
        image_weight=0.5, breakdown_by="product_type",
    )  # fmt: skip
    assert found is not None
    assert found["value"] == pytest.approx((9 * 20 + 10 * 19) / 400)
    assert found["low"] < found["value"] < found["high"] <= 1
    assert found["distribution"] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 20, 19]
    assert (found["num_products"], found["num_queries"]) == (40, 40)
    assert len(found["changed"]) == 20
    first = found["changed"][0]
    assert (first["id"], first["num_kept"]) == ("P0000", 0)
    assert {n["id"] for n in first["before"]} == {f"P{n:04d}" for n in (37, 38, 39, 1, 2, 3)}
    assert [n["id"] for n in first["after"]] == [f"P{n:04d}" for n in (20, 21, 19, 22, 18, 23)]
    assert not any(n["kept"] for side in ("before", "after") for n in first[side])
    assert first["after"][0]["score"] == pytest.approx(np.cos(np.pi / 80))
    assert all(p["num_kept"] == 9 for p in found["changed"][1:])
    by_size = [(c["name"], c["num_queries"]) for c in found["categories"]]
    assert by_size == [("Home > Mugs", 14), ("Home > Lamps", 13), ("Wear > Shoes", 13)]
    assert sum(c["value"] * c["num_queries"] for c in found["categories"]) == pytest.approx(
        40 * found["value"]
    )


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_neighbours_are_those_of_an_exhaustive_search(
    workspace: Workspace, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups of one to nine variants, one of them larger than a batch."""
    monkeypatch.setattr(overlap, "_BATCH_SIZE", 7)
    rows = products(90)
    embedded = EmbeddingSet(workspace, embeddings(workspace, snapshot(workspace, rows, []), rows).ref)
    rng = np.random.default_rng(1)
    positions = rng.permutation(90)
    starts = np.concatenate([[0], np.cumsum(rng.permutation([1, 2, 3, 4, 5, 6, 9] * 3))])
    assert starts[-1] == 90
    side = Gallery(embeddings=embedded, positions=positions, starts=starts[:-1], image_weight=weight)
    whole = embedded.select(positions).vectors
    score = weight * whole.image @ whole.image.T + (1 - weight) * whole.text @ whole.text.T
    queries = rng.permutation(90)[:40]
    nearest = side.nearest(queries)
    for query, groups in zip(queries, nearest, strict=True):
        best = np.maximum.reduceat(score[query], starts[:-1])
        best[side.group_of(np.array([query]))] = -2
        assert groups.tolist() == np.argsort(-best, kind="stable")[:10].tolist()
        shown = side.shown(query, groups[:2], np.array([True, False]))
        assert [n["score"] for n in shown] == pytest.approx(best[groups[:2]].tolist(), abs=1e-6)
        assert [n["kept"] for n in shown] == [True, False]


def test_only_products_of_both_sets_with_equal_content_are_compared(workspace: Workspace) -> None:
    earlier, later = products(30)[:25], products(30)[5:]
    later[3]["content_hash"] = hashlib.md5(b"another title").digest()
    old, new = (
        EmbeddingSet(workspace, embeddings(workspace, snapshot(workspace, rows, []), rows).ref)
        for rows in (earlier, later)
    )
    for found, one in zip(common_products(old, new), (old, new), strict=True):
        assert [one.ids()[p] for p in found] == [f"P{n:04d}" for n in range(5, 25) if n != 8]


def test_where_the_encoders_read_other_columns_contents_say_nothing(workspace: Workspace) -> None:
    rows = products(30)
    catalog = snapshot(workspace, rows, [])
    before = EmbeddingSet(workspace, embeddings(workspace, catalog, rows).ref)
    for row in rows[1:]:
        row["content_hash"] = hashlib.md5(row["id"].encode()).digest()
    after = EmbeddingSet(workspace, embeddings(workspace, catalog, rows).ref)
    assert [len(found) for found in common_products(before, after)] == [30, 30]


def test_of_many_products_a_sample_is_looked_at_among_all(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "MAX_QUERIES", 12)
    rows = ungrouped(60)
    catalog = snapshot(workspace, rows, [])
    sets = [EmbeddingSet(workspace, embeddings(workspace, catalog, rows, seed).ref) for seed in (0, 1)]
    first, again = (
        compare(Snapshot(workspace, catalog), *sets, image_weight=0.5, breakdown_by="brand") for _ in range(2)
    )
    assert first == again
    assert first is not None
    assert (first["num_queries"], first["num_products"]) == (12, 60)
    assert sum(first["distribution"]) == 12


def test_one_of_an_item_group_is_shown(workspace: Workspace) -> None:
    rows = products(60)  # groups of three
    catalog = snapshot(workspace, rows, [])
    sets = [EmbeddingSet(workspace, embeddings(workspace, catalog, rows, seed).ref) for seed in (0, 1)]
    found = compare(Snapshot(workspace, catalog), *sets, image_weight=0.5, breakdown_by="product_type")
    assert found is not None
    groups = [int(p["id"][1:]) // 3 for p in found["changed"]]
    assert len(groups) == len(set(groups))
    for product, group in zip(found["changed"], groups, strict=True):
        for side in ("before", "after"):
            shown = [int(n["id"][1:]) // 3 for n in product[side]]
            assert len(shown) == len(set(shown))
            assert group not in shown
    kept = [p["num_kept"] for p in found["changed"]]
    assert kept == sorted(kept)
