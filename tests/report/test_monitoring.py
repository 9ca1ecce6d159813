"""What is unusual: limits by hand, a stationary catalog that alarms nobody, a shifted one; the report."""

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import nightly
from recsys.config.monitoring import MonitoringConfig
from recsys.errors import UnusualError
from recsys.report import build, vectors
from recsys.report.figures import measure
from recsys.report.monitoring import compare, curves, usual
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import SET_KIND
from recsys.workspace.monitoring import POINTER
from recsys.workspace.retention import find_garbage, refs_in
from tests.report.catalogs import Catalog, products
from tests.report.catalogs import nights as stationary
from tests.report.nights import PUBLICATION, Nights, embeddings, snapshot
from tests.report.nights import products as rows
from tests.report.test_run import Page, report

SETTINGS = MonitoringConfig()


def night(value: float, name: str = "churn", **others: Any) -> dict[str, Any]:
    """A night on which one figure was known."""
    figures = {name: {"value": value, "low": None, "high": None}}
    base = {"figures": figures, "encoder_changed": False, "unusual": {}}
    return base | others


def test_what_is_usual_is_the_median_and_six_robust_deviations() -> None:
    earlier = [night(v) for v in (0.1, 0.12, 0.2, 0.14, 0.16, 0.9, 0.11)]
    found = usual(SETTINGS, night(0), earlier, "churn")
    assert found["median"] == 0.14
    assert found["limit"] == pytest.approx(0.14 + 6 * 1.4826 * 0.03)  # deviations .04 .02 .06 0 .02 .76 .03


def test_a_small_change_is_never_unusual() -> None:
    for name, least in (("churn", 0.05), ("drift", 0.05), ("hubness", 0.5)):
        found = usual(SETTINGS, night(0, name), [night(0.1, name)] * 30, name)
        assert found == {"median": 0.1, "limit": pytest.approx(0.1 + least)}


def test_few_nights_say_nothing_and_old_ones_no_more() -> None:
    assert usual(SETTINGS, night(0), [], "churn") == {"median": None, "limit": None}
    assert usual(SETTINGS, night(0), [night(0.1)] * 6, "churn") == {"median": 0.1, "limit": None}
    assert usual(SETTINGS, night(0), [night(0.9)] * 40 + [night(0.1)] * 30, "churn")["median"] == 0.1


def test_churn_is_compared_with_nights_on_which_the_encoder_changed_if_it_did() -> None:
    both = [night(0.1), night(0.6, encoder_changed=True)] * 10
    assert usual(SETTINGS, night(0), both, "churn")["median"] == 0.1
    assert usual(SETTINGS, night(0, encoder_changed=True), both, "churn")["median"] == 0.6
    others = [night(0.1, "hubness"), night(0.6, "hubness", encoder_changed=True)] * 10
    assert usual(SETTINGS, night(0, "hubness"), others, "hubness")["median"] == pytest.approx(0.35)


def test_a_limit_of_ones_own_counts_from_the_first_night() -> None:
    found = compare(MonitoringConfig(limits={"churn": 0.3}), night(0.31), [])
    assert found["usual"] == {"churn": {"median": None, "limit": 0.3}}
    assert list(found["unusual"]) == ["churn"]
    assert found["alarms"] == ["Neighbours that changed: 0.310 tonight, unusual above 0.300."]


def test_all_of_an_interval_lies_above_the_limit_and_only_the_first_such_night_alarms() -> None:
    earlier = [night(0.1)] * 10
    wide, narrow = night(0.5), night(0.5)
    wide["figures"]["churn"] |= {"low": 0.14, "high": 0.86}
    narrow["figures"]["churn"] |= {"low": 0.45, "high": 0.55}
    assert compare(SETTINGS, wide, earlier)["unusual"] == {}
    first = compare(SETTINGS, narrow, earlier)
    assert first["unusual"] == {"churn": first["alarms"][0]}
    assert first["alarms"] == ["Neighbours that changed: 0.500 tonight, usually 0.100, unusual above 0.150."]
    again = compare(SETTINGS, narrow, [*earlier, narrow | first])
    assert (again["unusual"], again["alarms"]) == (first["unusual"], [])


def follow(catalogs: Any) -> list[dict[str, Any]]:
    """Return what is found on each night of a catalog under one encoder."""
    earlier: list[dict[str, Any]] = []
    then, limit = None, None
    for now in catalogs:
        found = measure(now, then, isolation_limit=limit, breakdown_by="product_type")
        found |= {"encoder_changed": False}
        earlier.append(found | compare(SETTINGS, found, earlier))
        then, limit = now, found["isolation_limit"]
    return earlier


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_of_two_hundred_nights_of_a_stationary_catalog_next_to_none_alarms(seed: int) -> None:
    """Every fifth product is replaced each night, by others of the same kinds."""
    found = follow(stationary(seed, size=200, turnover=40, count=200))
    assert all(set(n["figures"]) == {"drift", "isolated", "churn", "hubness", "antihubs"} for n in found[1:])
    assert all(n["usual"][name]["limit"] is not None for n in found[10:] for name in n["figures"])
    assert sum(bool(n["unusual"]) for n in found) <= 10  # 5%


def test_the_night_on_which_products_of_another_kind_come_alarms() -> None:
    *before, last = stationary(3, size=300, turnover=36, count=12)
    moved = enumerate(products(np.random.default_rng(4), 60, shift=8.0))
    standing = {name: last.vectors([name])[0] for name in last.first}
    mixed = Catalog(standing | {f"z{n}": vector for n, vector in moved})
    *quiet, found = follow([*before, mixed])
    assert not any(n["unusual"] for n in quiet)
    assert found["unusual"]["drift"].startswith("New products unlike the others: ")
    assert found["unusual"]["drift"] in found["alarms"]


# -- the report ------------------------------------------------------------------------------------


def kept(record: dict[str, Any]) -> None:
    """The champion stays, so that the report compares no encoders."""
    record |= {"decision": "keep"}


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    monkeypatch.setattr(vectors, "project_2d", lambda *_, seed: None)  # no map, which takes a second
    return Nights(tmp_path / "workspace")


def remember(nights: Nights, number: int, last: Manifest, **others: Any) -> None:
    """Commit the report of an earlier night, with nothing but what monitoring found."""
    figures = {"churn": 0.01, "isolated": 0.05, "hubness": 0.4, "antihubs": 0.02}
    found = {
        "run_id": f"night {number}", "at": f"2026-11-{number + 1:02d}T01:00:00+00:00",
        "encoder": last.inputs["encoder"], "embeddings": last.ref, "before": last.ref,
        "encoder_changed": False, "num_products": 20, "num_new": 0,
        "isolation_limit": 0.2, "figures": {n: {"value": v, "low": v, "high": v} for n, v in figures.items()},
        "usual": {n: {"median": v, "limit": v + 0.05} for n, v in figures.items()}, "unusual": {},
        "alarms": [], "categories": {"Home > Mugs": {"num_products": 7, "churn": 0.01}},
        "scores": {"title": "Variants", "metric": "map@r", "values": {"Home > Mugs": 0.5 + number / 100}},
    }  # fmt: skip
    with nights.workspace.create("reports", f"night{number:02d}") as draft:
        draft.info["monitoring"] = found | others


def last_set(nights: Nights, seed: int = 0) -> Manifest:
    """Commit last night's vectors under tonight's encoder; with another seed every product lies elsewhere."""
    catalog = snapshot(nights.workspace, rows(58), [])
    return embeddings(nights.workspace, catalog, rows(58), seed)


def section(html: str) -> Page:
    return Page(html.split('<section id="monitoring">')[1].split("</section>")[0])


def newest(nights: Nights) -> Manifest:
    return nights.workspace.list("reports")[-1]


def test_a_first_night_shows_figures_and_alarms_nobody(nights: Nights) -> None:
    with nights.workspace.create("reports", "of-an-earlier-release") as draft:
        draft.info["run_id"] = "before"
    _, facts, summary, html = report(nights, evaluation=kept)
    found = facts["monitoring"]["night"]
    assert facts["monitoring"]["earlier"] == []
    assert set(found["figures"]) == {"isolated", "hubness", "antihubs"}
    assert (found["num_products"], found["before"], found["encoder_changed"]) == (20, None, None)
    assert found["scores"]["values"]["Wear > Shoes"] == 0.66  # of the encoder that the gate chose
    shown = section(html)
    assert "Nothing is unusual about the vectors that were published." in shown.text
    assert "Neighbours that changed" in shown.text
    assert "not measured" in shown.text
    assert shown.all("svg") == []  # one night is no curve
    assert "Unusual tonight" not in summary
    assert len(facts["headline"]) == 3
    assert nights.workspace.read_pointer(POINTER) == found == newest(nights).info["monitoring"]
    assert nightly.monitor(nights.workspace, newest(nights).ref) == 0
    assert nightly.monitor(nights.workspace, "reports/of-an-earlier-release") == 0


def test_a_night_on_which_every_product_moved_is_unusual_and_alarms_once(
    nights: Nights, caplog: pytest.LogCaptureFixture
) -> None:
    last = last_set(nights, seed=7)
    for number in range(8):
        remember(nights, number, last)
    page, facts, summary, html = report(nights, evaluation=kept)
    found = facts["monitoring"]["night"]
    assert "churn" in found["unusual"]
    said = next(s for s in found["alarms"] if s.startswith("Neighbours that changed: "))
    assert said.endswith("tonight, usually 0.010, unusual above 0.060.")
    for text in (section(html).text, " ".join(summary.split())):
        assert said in text
    assert facts["headline"][3].endswith("unusual.")
    assert facts["headline"][3] in page.text
    assert said in [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    warned = [a for tag, a in section(html).tags if tag == "tr" and a.get("class") == "warning"]
    assert len(warned) == len(found["unusual"])
    charts = [svg["aria-label"] for svg in section(html).all("svg")]
    assert "Neighbours that changed: each night, unusual above" in charts
    assert "The gate’s scores by category: A product finds its variants, MAP@R: " in " ".join(
        map(str, charts)
    )
    assert (found["before"], newest(nights).inputs["embeddings_last_night"]) == (last.ref, last.ref)
    assert any(row["ref"] == last.ref for row in facts["provenance"])
    with pytest.raises(UnusualError, match="Neighbours that changed") as raised:
        nightly.monitor(nights.workspace, newest(nights).ref)
    assert raised.value.retryable is False
    # The next night lies as far from the usual again: it is said, and alarms nobody.
    remember(nights, 9, last, unusual=found["unusual"])
    _, facts, _, _ = report(nights, "manual__2", evaluation=kept)
    assert facts["monitoring"]["night"]["unusual"] == found["unusual"]
    assert nightly.monitor(nights.workspace, newest(nights).ref) == len(found["unusual"])


def test_without_last_nights_vectors_there_is_no_churn(
    nights: Nights, caplog: pytest.LogCaptureFixture
) -> None:
    last = last_set(nights)
    remember(nights, 1, last)
    nights.workspace.delete(last)
    _, facts, _, _ = report(nights, evaluation=kept)
    assert "churn" not in facts["monitoring"]["night"]["figures"]
    assert facts["monitoring"]["night"]["isolation_limit"] == 0.2  # of the same encoder
    assert "are not compared with those of the night before" in caplog.text


def test_another_encoder_has_a_measure_of_its_own(nights: Nights) -> None:
    remember(nights, 1, last_set(nights), encoder="encoders/other")
    _, facts, _, _ = report(nights, evaluation=kept)
    found = facts["monitoring"]["night"]
    assert (found["encoder_changed"], found["isolation_limit"] == 0.2) == (True, False)


def test_a_report_that_was_killed_is_written_again_with_the_same_figures(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(nights, 1, last_set(nights))
    refs = nights.refs(evaluation=kept)
    with monkeypatch.context() as killed:
        killed.setattr(Workspace, "_commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(nights.config, nights.workspace, run_id="r", **refs)
    first = nights.workspace.read_pointer(POINTER)
    manifest = build(nights.config, nights.workspace, run_id="r", **refs)
    again = manifest.info["monitoring"]
    assert first is not None
    assert first | {"at": again["at"]} == again
    refs = nights.refs(evaluation=kept, publication=PUBLICATION | {"action": "nothing"})  # cleared before it
    manifest = build(nights.config, nights.workspace, run_id="r", **refs)
    facts = json.loads((nights.workspace.path(manifest) / "report.json").read_text())
    assert [n["run_id"] for n in facts["monitoring"]["earlier"]] == ["night 1"]
    assert facts["monitoring"]["night"]["figures"] == again["figures"]


def test_curves_count_the_nights_backwards_and_leave_out_what_is_not_known() -> None:
    def found(churn: float | None, categories: dict[str, float], scores: dict[str, float] | None) -> Any:
        return {
            "figures": {} if churn is None else {"churn": {"value": churn}},
            "usual": {} if churn is None else {"churn": {"median": 0.1, "limit": 0.2}},
            "categories": {name: {"churn": value} for name, value in categories.items()},
            "scores": scores and {"values": scores},
        }

    earlier = [found(0.1, {"a": 0.1}, {"a": 0.5}), found(None, {}, {"x > b": 0.7, "a": 0.6})]
    drawn = curves({"earlier": earlier, "night": found(0.3, {"x > b": 0.2, "y > b": 0.1}, None)})
    assert drawn["churn"] == {
        "each night": [(-2, 0.1), (0, 0.3)],
        "unusual above": [(-2, 0.2), (0, 0.2)],
    }
    assert drawn["drift"] == {"each night": [], "unusual above": []}
    assert drawn["categories"] == {"x > b": [(0, 0.2)], "y > b": [(0, 0.1)]}
    assert drawn["scores"] == {"b": [(-1, 0.7)], "a": [(-2, 0.5), (-1, 0.6)]}


def test_housekeeping_keeps_what_the_next_night_compares_with(nights: Nights) -> None:
    report(nights, evaluation=kept)
    night = nights.workspace.read_pointer(POINTER)
    assert night is not None
    later = datetime.now(UTC) + timedelta(days=99)
    garbage = find_garbage(nights.workspace, refs_in(night), since=later, reports_since=later)
    gone = {item.path for item in garbage}
    assert gone & {made.ref for made in nights.workspace.list(SET_KIND)}  # the champion's
    assert not gone & {night["embeddings"], *nights.workspace.get(night["embeddings"]).inputs.values()}
