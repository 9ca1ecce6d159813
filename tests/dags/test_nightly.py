"""The whole night in Airflow on a small sample: its result, and the same result through every failure."""

import contextlib
import csv
import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.sample_shop import run as sample
from recsys import config, index, nightly
from recsys.embedding import run as embedding
from recsys.feedback.store import FeedbackStore
from recsys.index.run import find_embeddings
from recsys.workspace import Workspace, open_workspace
from recsys.workspace.holds import holds
from tests.workspace.test_retention import put

TASKS = [
    "begin",
    "ingest",
    "judgements",
    "plan_training",
    "has_reason",
    "train",
    "evaluate",
    "choose",
    "plan",
    "embed",
    "collect",
    "publish",
    "report",
    "monitor",
    "scrub",
]
KINDS = (
    "snapshots",
    "judgements",
    "training-plans",
    "images",
    "splits",
    "encoders",
    "evaluations",
    "embeddings",
    "embedding-sets",
    "publications",
)

CONFIG = """
name = "a small shop"
[workspace]
root = "workspace"
[catalog]
feed = "catalog/feed.csv"
[catalog.guards]
allow_rejected = true
allow_rejected_images = true
[encoder]
dim = 32
[encoder.image]
kind = "small"
image_size = 48
[embedding]
shard_size = 30
[training]
max_epochs = 2
[training.split]
validation_share = 0.2
holdout_share = 0.3
[evaluation]
wise_ft_alphas = [0.5, 1]
"""

Harness = Callable[..., dict[str, Any]]


def shop(folder: Path) -> Path:
    """Draw a small shop in ``folder``, judge a few of its products and return the path of its config."""
    folder.mkdir()
    sample.run(folder / "catalog", num_products=70, seed=1, image_size=96)
    path = folder / "shop.toml"
    path.write_text(CONFIG)
    with (folder / "catalog" / "feed.csv").open(newline="", encoding="utf-8") as feed:
        ids = sorted({row["id"] for row in csv.DictReader(feed)} - {""})  # a feed has its faults
    loaded = config.load(path)
    with contextlib.closing(FeedbackStore.open(loaded, open_workspace(loaded))) as store:
        for number, (left, right) in enumerate(itertools.pairwise(ids)):
            store.judge(left, right, ("similar", "not_similar")[number % 2], "Maria")
    return path


def artifacts(path: Path) -> dict[str, list[str]]:
    """Return the ids of everything in the workspace, by kind."""
    workspace = open_workspace(config.load(path))
    return {kind: sorted(m.id for m in workspace.list(kind)) for kind in KINDS}


def without_names(path: Path) -> dict[str, Any]:
    """Return the same, publications by what they did: the names of their collections are never used twice."""
    done = [(m.inputs, m.info["action"]) for m in open_workspace(config.load(path)).list("publications")]
    return artifacts(path) | {"publications": done}


@pytest.fixture(scope="module")
def clean(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = shop(tmp_path_factory.mktemp("clean") / "shop")
    return path, harness("clean", RECSYS_CONFIG=str(path))


@pytest.mark.slow
def test_every_task_succeeds_and_the_catalog_is_published(clean: tuple[Path, dict[str, Any]]) -> None:
    path, ran = clean
    assert ran["state"] == "success", ran["log"][-5000:]
    assert ran["tasks"] == dict.fromkeys(TASKS, 1) | {"embed": 3}  # ~ 70 products in shards of 30
    assert max(Counter(ran["begun"]).values()) == 1  # nothing is made twice
    loaded = config.load(path)
    workspace = open_workspace(loaded)
    snapshot = workspace.get(workspace.read_pointer("catalog")["snapshot"])
    assert (
        index.status(loaded, workspace).items()
        >= {
            "snapshot": snapshot.ref,
            "num_products": snapshot.info["counts"]["products"],
            "encoder": workspace.list("evaluations")[-1].info["chosen"],
        }.items()
    )
    report = workspace.path(workspace.list("reports")[-1]) / "report.html"
    assert "<html" in report.read_text()


@pytest.mark.slow
def test_the_night_learns_from_what_people_judged_and_asks_the_rest(
    clean: tuple[Path, dict[str, Any]],
) -> None:
    workspace = open_workspace(config.load(clean[0]))
    (judgements,) = workspace.list("judgements")
    challenger = next(m for m in workspace.list("encoders") if m.info.get("role") == "challenger")
    evaluation = workspace.list("evaluations")[-1]
    assert challenger.inputs["judgements"] == evaluation.inputs["judgements"] == judgements.ref
    counts = challenger.info["counts"]["supervision"]["judgements"]
    assert judgements.info["num_pairs"] == sum(counts.values()) - counts["similar"] - counts["not_similar"]
    assert min(counts["trained_on"], counts["holdout"]) > 0
    assert "judgements" in evaluation.info["scores"]
    assert judgements.ref in (workspace.path(workspace.list("reports")[-1]) / "report.html").read_text()


@pytest.mark.slow
def test_a_run_that_fails_at_each_task_in_turn_and_is_cleared_gives_the_same(
    clean: tuple[Path, dict[str, Any]], harness: Harness, tmp_path: Path
) -> None:
    path = shop(tmp_path / "shop")
    ran = harness("fail-each", RECSYS_CONFIG=str(path))
    assert ran["state"] == "success", ran["log"][-5000:]
    assert sorted(ran["failed"]) == sorted(TASKS)
    assert max(Counter(ran["begun"]).values()) == 1
    assert without_names(path) == without_names(clean[0])
    assert weights(path) == weights(clean[0])


@pytest.mark.slow
def test_a_night_with_nothing_to_learn_from_publishes_the_champions_vectors_and_asks_no_holdout(
    clean: tuple[Path, dict[str, Any]], harness: Harness, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(clean[0].parent, folder)
    path = folder / clean[0].name
    path.write_text(CONFIG + "[training.retrain]\nchanged_share = 0.2\n")  # of few products one is a lot
    sample.run(folder / "catalog", num_products=70, seed=1, night=2, image_size=96)
    before, champion = artifacts(path), index.status(config.load(path), open_workspace(config.load(path)))
    ran = harness("fail-each", RECSYS_CONFIG=str(path), TEST_NIGHT="the-next")
    assert ran["state"] == "success", ran["log"][-5000:]
    assert ran["skipped"] == ["evaluate", "train"]
    assert sorted(ran["failed"]) == sorted(set(TASKS) - {"train", "evaluate"})
    assert "recsys | Nothing to learn from tonight: " in ran["log"]
    after, loaded = artifacts(path), config.load(path)
    assert {kind: after[kind] for kind in ("encoders", "evaluations", "splits")} == {
        kind: before[kind] for kind in ("encoders", "evaluations", "splits")
    }
    assert max(Counter(ran["begun"]).values()) == 1
    workspace = open_workspace(loaded)
    snapshot = workspace.read_pointer("catalog")["snapshot"]
    assert len(after["snapshots"]) == 2
    live = index.status(loaded, workspace)
    assert (live["snapshot"], live["encoder"]) == (snapshot, champion["encoder"])
    assert live["num_products"] == workspace.get(snapshot).info["counts"]["products"]
    report = workspace.path(workspace.list("reports")[-1]) / "report.html"
    assert "Nothing to learn from tonight: the champion stays." in report.read_text()

    forced = harness(
        "clean", RECSYS_CONFIG=str(path), TEST_NIGHT="forced", TEST_CONF='{"force_training": true}'
    )
    assert forced["state"] == "success", forced["log"][-5000:]
    assert "train" not in forced["skipped"]
    assert "recsys | Training tonight: it was asked for." in forced["log"]
    assert len(artifacts(path)["evaluations"]) == 2


def copy_of(clean: Path, tmp_path: Path) -> tuple[Path, config.Config, Workspace]:
    """Copy a shop; return the copy's configuration file, its settings and its workspace."""
    folder = tmp_path / "shop"
    shutil.copytree(clean.parent, folder)
    loaded = config.load(folder / clean.name)
    return folder / clean.name, loaded, open_workspace(loaded)


@pytest.mark.slow
def test_a_refresh_shows_new_prices_and_a_rollback_goes_back_under_them(
    clean: tuple[Path, dict[str, Any]], harness: Harness, tmp_path: Path
) -> None:
    path, loaded, workspace = copy_of(clean[0], tmp_path)
    before = artifacts(path)
    feed = path.parent / "catalog" / "feed.csv"
    with feed.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    id = live_ids(path)[0]
    for row in rows:
        if row["id"] == id:
            row["price"] = "1234.50 EUR"
    with feed.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    ran = harness("fail-each", RECSYS_CONFIG=str(path), TEST_DAG="catalog_refresh")
    assert ran["state"] == "success", ran["log"][-5000:]
    assert ran["skipped"] == ["embed"]
    assert artifacts(path)["embeddings"] == before["embeddings"]  # a price embeds nothing
    done = [m.info["action"] for m in workspace.list("publications") if m.id not in before["publications"]]
    assert done == ["payload", "nothing"]  # the cleared task finds nothing left to do
    assert price(path, id) == 1234.5
    champion, latest = index.live_encoder(loaded, workspace), nightly.latest_snapshot(workspace)

    other = next(m.ref for m in workspace.list("encoders") if m.ref != champion)
    night = workspace.list("snapshots")[0].ref  # as a night that began before the refresh
    made = embedding.run(loaded, workspace, night, other)
    published = nightly.publish(loaded, workspace, night, made.ref).info
    assert published["snapshot"] == latest
    refused = nightly.publish(  # as a refresh that began before the switch
        loaded, workspace, latest, find_embeddings(workspace, latest, str(champion)) or "", refresh=True
    ).info
    assert (refused["action"], refused["reason"]) == ("nothing", "Another encoder is in service.")
    assert index.live_encoder(loaded, workspace) == other

    back = harness("fail-each", RECSYS_CONFIG=str(path), TEST_DAG="index_rollback")
    assert back["state"] == "success", back["log"][-5000:]
    assert back["failed"] == ["rollback"]  # and the cleared task went back no further
    assert (index.live_encoder(loaded, workspace), list(holds(workspace))) == (champion, [other])
    assert price(path, id) == 1234.5
    nowhere = harness(
        "clean", RECSYS_CONFIG=str(path), TEST_DAG="index_rollback", TEST_NIGHT="again",
        TEST_CONF='{"collection": "nowhere", "as_it_was": true}',
    )  # fmt: skip
    assert nowhere["state"] == "failed"
    assert "There is no collection 'nowhere' to go back to." in nowhere["log"]


@pytest.mark.slow
def test_housekeeping_repairs_the_live_index_is_red_about_it_once_and_deletes_what_nothing_needs(
    clean: tuple[Path, dict[str, Any]], harness: Harness, tmp_path: Path
) -> None:
    path, loaded, workspace = copy_of(clean[0], tmp_path)
    garbage = put(workspace, "snapshots/nobodys", days=90)
    before, ids = artifacts(path), live_ids(path)
    with contextlib.closing(index.open_index(loaded, workspace)) as opened:
        live = opened.open()
        with opened.change(live.name, pending="") as writer:  # as nobody should
            writer.delete(ids[:1])
            writer.commit(live.metadata)

    red = harness("clean", RECSYS_CONFIG=str(path), TEST_DAG="housekeeping")
    assert red["state"] == "failed", red["log"][-5000:]
    assert f"{len(ids) - 1} products, expected {len(ids)}: 1 absent ({ids[0]})" in red["log"]
    assert "recsys | deleted 1 things" in red["log"]  # whatever the index was like
    assert workspace.find_ref(garbage) is None
    assert live_ids(path) == ids
    assert index.status(loaded, workspace)["collection"] != live.name

    ran = harness("fail-each", RECSYS_CONFIG=str(path), TEST_DAG="housekeeping", TEST_NIGHT="next-week")
    assert ran["state"] == "success", ran["log"][-5000:]
    assert sorted(ran["failed"]) == ["audit", "delete"]
    assert ran["begun"] == []  # nothing is wrong: nothing is written
    after = artifacts(path)
    assert len(after.pop("publications")) == len(before.pop("publications")) + 1
    assert after == before | {"snapshots": [id for id in before["snapshots"] if id != "nobodys"]}


def live_ids(path: Path) -> list[str]:
    loaded = config.load(path)
    with contextlib.closing(index.open_index(loaded, open_workspace(loaded))) as opened:
        return sorted(record.id for record in opened.open().records())


def price(path: Path, id: str) -> float:
    loaded = config.load(path)
    with contextlib.closing(index.open_index(loaded, open_workspace(loaded))) as opened:
        return float(opened.open().retrieve([id])[0].payload["price"])


def weights(path: Path) -> dict[str, bytes]:
    """Return every encoder's weights, byte for byte."""
    workspace: Workspace = open_workspace(config.load(path))
    return {
        f"{manifest.id}/{file.name}": file.read_bytes()
        for manifest in workspace.list("encoders")
        for file in sorted(workspace.path(manifest).glob("*.safetensors"))
    }
