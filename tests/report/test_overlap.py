"""Overlap of nearest neighbours: a circle with a known answer, an exhaustive search, the report's section."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.report import build, facts, overlap
from recsys.report.overlap import Gallery, common_products, compare
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import SET_KIND, EmbeddingSet, Float32
from recsys.workspace.snapshot import Snapshot
from tests.report.nights import Nights, embedding_set, embeddings, first_night, products, snapshot
from tests.report.test_run import Page, report

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
    for row in rows:
        row["attributes"] = [("fit", "slim")]
    catalog = snapshot(workspace, rows, [])
    sets = [EmbeddingSet(workspace, embeddings(workspace, catalog, rows, seed).ref) for seed in (0, 1)]
    first, again = (
        compare(Snapshot(workspace, catalog), *sets, image_weight=0.5, breakdown_by="fit") for _ in range(2)
    )
    assert first == again
    assert first is not None
    assert (first["num_queries"], first["num_products"]) == (12, 60)
    assert sum(first["distribution"]) == 12
    assert [(c["name"], c["num_queries"]) for c in first["categories"]] == [("slim", 12)]


def test_nothing_in_common_is_nothing_to_compare(workspace: Workspace) -> None:
    earlier, later = products(30)[:15], products(30)[15:]
    catalogs = [snapshot(workspace, rows, []) for rows in (earlier, later)]
    sets = [
        EmbeddingSet(workspace, embeddings(workspace, catalog, rows).ref)
        for catalog, rows in zip(catalogs, (earlier, later), strict=True)
    ]
    assert (
        compare(Snapshot(workspace, catalogs[1]), *sets, image_weight=0.5, breakdown_by="product_type")
        is None
    )


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
        both = {int(n["id"][1:]) // 3 for n in product["before"]} & {
            int(n["id"][1:]) // 3 for n in product["after"]
        }
        for side in ("before", "after"):
            kept = {int(n["id"][1:]) // 3 for n in product[side] if n["kept"]}
            assert both <= kept
            assert len(kept) <= product["num_kept"]
    numbers = [p["num_kept"] for p in found["changed"]]
    assert numbers == sorted(numbers)
    assert max(numbers) > 0


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path / "workspace")


def champions(nights: Nights) -> list[Manifest]:
    """Return the sets of the champion's vectors, oldest first."""
    return [s for s in nights.workspace.list(SET_KIND) if s.inputs["encoder"] == CHAMPION]


def section(page: Page, html: str) -> Page | None:
    """Return the section on what changes, parsed."""
    if "overlap" not in [s["id"] for s in page.all("section")]:
        return None
    return Page(html.split('<section id="overlap">')[1].split("</section>")[0])


def test_a_takeover_shows_what_changes_for_shoppers(nights: Nights) -> None:
    page, data, summary, html = report(nights, before=products(58))
    found = section(page, html)
    assert found is not None
    (before,) = champions(nights)
    (manifest,) = nights.workspace.list("reports")
    overlap = data["overlap"]
    assert overlap["embeddings"] == before.ref == manifest.inputs["embeddings_before"]
    assert before.ref in [p["ref"] for p in data["provenance"] if p["what"] == "embeddings before"]
    assert (overlap["num_products"], overlap["num_queries"]) == (58, 58)
    sentence = facts.overlap_sentence(overlap)
    assert sentence is not None
    assert f"most similar to each product, {10 * overlap['value']:.1f} on average (" in sentence
    assert sentence in found.text
    assert sentence in " ".join(summary.split())
    first = overlap["changed"][0]
    shown = found.text.split("The other 15")[0]
    assert f"Product number {int(first['id'][1:])} " in shown
    assert f"keeps {first['num_kept'] or 'none'} of 10" in shown
    for word, side in (("new", "after"), ("gone", "before")):
        marked = [b for b in found.all("b") if b.get("class") == f"role {word}"]
        assert len(marked) == sum(not n["kept"] for p in overlap["changed"] for n in p[side]) > 0
    assert len(found.all("article")) == len(overlap["changed"]) == 20
    named = [n["id"] for p in overlap["changed"] for n in (p, *p["before"], *p["after"])]
    assert set(named) <= data["products"].keys()


def test_a_kept_champion_and_a_first_night_change_nothing(nights: Nights) -> None:
    def keep(record: dict[str, Any]) -> None:
        record |= {"decision": "keep", "chosen": {"name": "champion", "ref": CHAMPION}}

    for evaluation in (keep, first_night):
        page, data, summary, html = report(nights, evaluation=evaluation)
        assert champions(nights)
        assert section(page, html) is None
        assert data["overlap"] is None
        assert "#overlap" not in [a["href"] for a in page.all("a")]
        assert "What changes" not in page.text + summary


@pytest.mark.parametrize("lost", ["set", "shard"])
def test_vectors_that_are_gone_are_said_to_be_gone(nights: Nights, lost: str) -> None:
    refs = nights.refs()
    (before,) = champions(nights)
    nights.workspace.delete(before if lost == "set" else nights.workspace.get(before.info["shards"][0]))
    manifest = build(nights.config, nights.workspace, run_id="gone", **refs)
    folder = nights.workspace.path(manifest)
    html = (folder / "report.html").read_text(encoding="utf-8")
    found = section(Page(html), html)
    assert found is not None
    sentence = "The vectors of the encoder that served before are gone: nothing can be compared."
    assert found.text == f"What changes for shoppers {sentence}"
    assert sentence in " ".join((folder / "summary.txt").read_text(encoding="utf-8").split())
    assert "embeddings_before" not in manifest.inputs


def test_too_few_products_in_common_are_said_to_be_too_few(nights: Nights) -> None:
    page, data, _, html = report(nights, before=products(33))  # of 11 groups: its own and ten others
    found = section(page, html)
    assert found is not None
    assert found.text == f"What changes for shoppers {data['overlap']['missing']}"
    assert "Too few products" in found.text
    _, data, _, _ = report(nights, "one group more", before=products(34))
    assert data["overlap"]["num_products"] == 34


def test_the_newest_vectors_of_the_champion_are_compared(nights: Nights) -> None:
    nights.refs(before=products(50))
    _, data, _, _ = report(nights, before=products(57))
    older, newer = champions(nights)
    assert data["overlap"]["embeddings"] == newer.ref != older.ref
