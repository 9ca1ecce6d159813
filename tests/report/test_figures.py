"""Figures of the vectors: circles with known answers, a hub, products that are moved away, item groups."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from recsys.report import figures as report_figures
from recsys.report.figures import ItemGroups, measure
from recsys.workspace import Workspace
from recsys.workspace.embeddings import EmbeddingSet
from tests.report.catalogs import Catalog, circle, products, unit
from tests.report.nights import embedding_set, snapshot
from tests.report.nights import products as rows


def figures(now: Catalog, then: Catalog | None = None, limit: float | None = None) -> Any:
    return measure(now, then, isolation_limit=limit, breakdown_by="product_type")  # type: ignore[arg-type]


def forty(**moved: float) -> Catalog:
    return circle({f"a{n:02d}": moved.get(f"a{n:02d}", n) for n in range(40)}, 40)


def test_churn_of_one_of_forty_that_moves_to_the_other_side_of_a_circle() -> None:
    """The ten nearest are five on each side: the ten it leaves and the ten it joins exchange one each."""
    found = figures(forty(a00=20.25), forty())
    churn = found["figures"]["churn"]
    assert churn["value"] == pytest.approx((10 + 20 * 1) / 400)
    assert churn["low"] < churn["value"] < churn["high"]
    assert found["categories"] == {"a": {"num_products": 40, "churn": pytest.approx(30 / 400)}}


def test_nothing_churns_where_nothing_changes_and_all_where_all_change_places() -> None:
    assert figures(forty(), forty())["figures"]["churn"] == {"value": 0, "low": 0, "high": 0}
    places = {f"a{n:02d}": float(17 * n % 40) for n in range(40)}
    neighbours = {d % 40 for d in range(-5, 6)} - {0}
    kept = len(neighbours & {17 * d % 40 for d in neighbours})  # the permutation is linear: the same for each
    found = figures(circle(places, 40), forty())["figures"]["churn"]
    assert found["value"] == pytest.approx(1 - kept / 10)
    assert found["value"] >= 0.6


def test_new_and_gone_products_change_the_lists_that_they_enter_and_leave() -> None:
    """A new one in a gap is in the lists of five on each side, and a gone one was in those of ten."""
    now = circle({f"a{n:02d}": float(n) for n in range(1, 40)} | {"-new": 20.5}, 40)
    found = figures(now, forty())
    assert (found["num_products"], found["num_new"]) == (40, 1)
    assert found["figures"]["churn"]["value"] == pytest.approx((10 + 10) / 390)
    assert found["categories"]["a"]["num_products"] == 39


def test_churn_is_told_by_category() -> None:
    """Two circles far from each other, one of them turned into other places."""
    rng = np.random.default_rng(0)
    then = {f"{kind}{n}": v for kind in "ab" for n, v in enumerate(unit(rng.normal(size=(40, 8))))}
    for name, vector in then.items():
        then[name] = np.concatenate([vector, [0.0] * 8] if name[0] == "a" else [[0.0] * 8, vector])
    now = dict(then)
    for n, m in enumerate(rng.permutation(40)):
        now[f"b{n}"] = then[f"b{m}"]
    found = figures(Catalog(now), Catalog(then))
    assert found["categories"]["a"]["churn"] == 0
    assert found["categories"]["b"]["churn"] > 0.5
    assert found["figures"]["churn"]["value"] == pytest.approx(found["categories"]["b"]["churn"] / 2)


def test_a_hub_is_seen_as_hubness_and_as_products_that_nothing_leads_to() -> None:
    """Sixty products with an axis each, and eleven that are near to all: these are in every list."""
    rng = np.random.default_rng(1)
    axes = dict(zip((f"a{n}" for n in range(60)), np.eye(60, dtype=np.float32), strict=True))
    middle = unit(np.ones((11, 60)) + rng.normal(scale=0.01, size=(11, 60)))
    hubs = dict(zip((f"b{n}" for n in range(11)), middle, strict=True))
    found = figures(Catalog(axes | hubs))["figures"]
    assert found["antihubs"]["value"] == pytest.approx(60 / 71)
    assert found["hubness"]["value"] > 1.5
    even = figures(forty())["figures"]
    assert even["antihubs"]["value"] == 0
    assert even["hubness"]["value"] == pytest.approx(0, abs=1e-9)


def test_hubness_and_antihubs_are_those_of_an_exhaustive_search() -> None:
    vectors = products(np.random.default_rng(8), 400)
    score = np.stack(vectors) @ np.stack(vectors).T
    np.fill_diagonal(score, -2)
    counts = np.bincount(np.argsort(-score, axis=1)[:, :10].ravel(), minlength=400)
    found = figures(Catalog({f"a{n}": v for n, v in enumerate(vectors)}))["figures"]
    assert found["hubness"]["value"] == pytest.approx(scipy.stats.skew(counts))
    assert found["antihubs"]["value"] == pytest.approx((counts == 0).mean())
    assert 0 < (counts == 0).sum() < (counts <= 1).sum()  # or the test could not tell


def test_products_are_isolated_by_the_measure_of_the_encoders_first_night() -> None:
    rng = np.random.default_rng(2)
    shop = {f"a{n}": v for n, v in enumerate(products(rng, 400))}
    first = figures(Catalog(shop))
    assert first["figures"]["isolated"]["value"] == pytest.approx(0.05, abs=0.003)
    assert "drift" not in first["figures"]
    assert "churn" not in first["figures"]
    assert first["num_new"] is None
    alone = {f"b{n}": v for n, v in enumerate(unit(rng.normal(size=(40, 24))))}  # of no kind
    later = figures(Catalog(shop | alone), limit=first["isolation_limit"])
    assert later["isolation_limit"] == first["isolation_limit"]
    assert later["figures"]["isolated"]["value"] == pytest.approx((0.05 * 400 + 40) / 440, abs=0.01)


def test_new_products_that_are_moved_away_drift_and_others_do_not() -> None:
    rng = np.random.default_rng(3)
    shop = {f"a{n}": v for n, v in enumerate(products(rng, 600))}
    for shift, low, high in ((0.0, 0.0, 0.1), (8.0, 0.9, 1.0)):
        new = {f"b{n}": v for n, v in enumerate(products(rng, 200, shift=shift))}
        drift = figures(Catalog(shop | new), Catalog(shop))["figures"]["drift"]
        assert low <= drift["value"] <= high
        assert drift["low"] <= drift["value"] <= drift["high"]


@pytest.mark.parametrize(("standing", "new"), [(600, 29), (149, 60)])
def test_of_few_products_no_drift_is_told(standing: int, new: int) -> None:
    rng = np.random.default_rng(4)
    then = {f"a{n}": v for n, v in enumerate(products(rng, standing))}
    now = then | {f"b{n}": v for n, v in enumerate(products(rng, new))}
    assert "drift" not in figures(Catalog(now), Catalog(then))["figures"]


@pytest.mark.parametrize("count", [0, 1, 10])
def test_a_tiny_catalog_has_no_figures(count: int) -> None:
    places = {f"a{n}": float(n) for n in range(count)}
    found = figures(circle(places, 40), circle(places, 40))
    assert (found["figures"], found["num_products"]) == ({}, count)


def test_a_sample_stays_the_same_while_the_catalog_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that new products push out of the sample are no churn."""
    rng = np.random.default_rng(5)
    then = {f"a{n}": v for n, v in enumerate(products(rng, 500))}
    now = then | {f"b{n}": v for n, v in enumerate(products(rng, 20))}
    whole = figures(Catalog(now), Catalog(then))
    monkeypatch.setattr(report_figures, "MAX_PRODUCTS", 260)
    sampled = figures(Catalog(now), Catalog(then))
    assert (whole["num_products"], sampled["num_products"]) == (520, 260)
    churn = [found["figures"]["churn"]["value"] for found in (whole, sampled)]
    assert churn[1] == pytest.approx(churn[0], abs=0.02)
    assert 0.01 < churn[0] < 0.08  # 20 of 520 are new


def test_variants_count_as_one_product(tmp_path: Path) -> None:
    """The first of an item group stands for it; a product without one is a group of its own."""
    workspace = Workspace(tmp_path)
    catalog = rows(60)  # groups of three
    for row in catalog[30:]:
        row["item_group_id"] = None
    vectors = unit(np.random.default_rng(6).normal(size=(60, 4)))
    stored = snapshot(workspace, catalog, [])
    embedded = embedding_set(workspace, stored, catalog, (vectors, vectors[::-1].copy()), "encoders/e")
    groups = ItemGroups(workspace, EmbeddingSet(workspace, embedded.ref))
    assert groups.first == {f"G{n}": 3 * n for n in range(10)} | {f"P{n:04d}": n for n in range(30, 60)}
    assert groups.labels(["G1", "P0031"], "product_type") == ["Home > Mugs", "Home > Lamps"]
    found = groups.vectors(["P0031", "G1"])
    assert found == pytest.approx(
        np.concatenate([vectors[[31, 3]], vectors[::-1][[31, 3]]], axis=1) / np.sqrt(2), abs=1e-6
    )
    measured = measure(groups, groups, isolation_limit=None, breakdown_by="product_type")
    assert measured["num_products"] == 40
    assert measured["figures"]["churn"]["value"] == 0
