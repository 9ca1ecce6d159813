"""Several processes at once, and processes killed at any moment."""

import random
import time
from pathlib import Path

import pytest

from recsys import index as public
from recsys.config import Config, IndexConfig
from recsys.index.run import run
from recsys.workspace import Workspace
from recsys.workspace.holds import holds
from tests.index.catalogs import Product, products, publish_inputs
from tests.index.conftest import SERVER_URL
from tests.index.processes import publish, roll_back, watch
from tests.index.test_publish import next_night, publish_and_compare
from tests.workers import Worker

_LONGEST_S = 0.8
"""Moments of a kill are drawn from 0 to this: about what a whole publication here takes."""


@pytest.fixture
def index_settings(engine: str, index_settings: dict[str, object]) -> dict[str, object]:
    if engine == "server" and not SERVER_URL:
        pytest.skip("an in-memory index has one process")
    # so that generations share files, and a server is changed in place
    return {**index_settings, "indexing_threshold_kb": 10, "change_in_place": 1.0}


def publish_through_kills(
    workspace: Workspace, settings: dict[str, object], refs: tuple[str, str], kills: int, seed: int
) -> None:
    """Publish; kill -9 the process ``kills`` times at moments drawn over the time it takes."""
    generator = random.Random(seed)
    for _ in range(kills):
        worker = Worker(publish, workspace.root, settings, *refs)
        time.sleep(generator.uniform(0, _LONGEST_S))
        worker.kill()
        state = public.status(Config(index=IndexConfig.model_validate(settings)), workspace)
        assert state["collection"] is None or state["num_products"] > 0
    Worker(publish, workspace.root, settings, *refs).result()


def relabel(catalog: list[Product], title: str) -> list[Product]:
    return [p.but(title=title) for p in catalog]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_build_a_change_and_a_switch_survive_kills_at_any_moment(
    config: Config, index_settings: dict[str, object], workspace: Workspace, seed: int
) -> None:
    settings, names = {**index_settings, "batch_size": 20}, []
    catalog = products(400)
    tonight = next_night(catalog)
    changed = [*relabel(tonight[:300], "the next night"), *tonight[300:]]
    for night, encoder, kills in ((catalog, "e1", 4), (changed, "e1", 4), (changed, "e2", 3)):
        refs = publish_inputs(workspace, night, encoder=encoder)
        publish_through_kills(workspace, settings, refs, kills, seed)
        info = publish_and_compare(config, workspace, refs).info
        assert (info["action"], info["encoder"]) == ("nothing", f"encoders/{encoder}")
        names.append(info["collection"])
    assert names[0] == names[1] != names[2] == public.status(config, workspace)["collection"]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_rollback_survives_kills_at_any_moment_and_goes_no_further(
    config: Config, index_settings: dict[str, object], workspace: Workspace, seed: int
) -> None:
    catalog, generator = products(400), random.Random(seed)
    yesterday = {e: publish_inputs(workspace, catalog, encoder=e) for e in ("e0", "e1", "e2")}
    names = [run(config, workspace, *refs).info["collection"] for refs in yesterday.values()]
    today = relabel(next_night(catalog), "today")
    refs = {e: publish_inputs(workspace, today, encoder=e) for e in ("e0", "e1", "e2")}
    run(config, workspace, *refs["e2"])

    def is_recorded() -> bool:
        return any(m.info["action"] == "rollback" for m in workspace.list("publications"))

    for _ in range(6):
        if not is_recorded():
            worker = Worker(roll_back, workspace.root, index_settings, refs["e1"][0])
            time.sleep(generator.uniform(0, _LONGEST_S))
            worker.kill()
            assert public.status(config, workspace)["collection"] in names[1:]
    if not is_recorded():
        Worker(roll_back, workspace.root, index_settings, refs["e1"][0]).result()
    assert public.status(config, workspace)["collection"] == names[1]
    assert list(holds(workspace)) == ["encoders/e2"]
    assert publish_and_compare(config, workspace, refs["e1"]).info["action"] == "nothing"


@pytest.mark.parametrize("engine", ["edge"], indirect=True)
def test_readers_in_other_processes_see_whole_publications_only(
    config: Config, index_settings: dict[str, object], workspace: Workspace, tmp_path: Path
) -> None:
    nights = [("night 0", "e1"), ("night 1", "e1"), ("night 2", "e1"), ("night 3", "e2"), ("night 4", "e2")]
    snapshots, readers = {}, []
    for title, encoder in nights:
        refs = publish_inputs(workspace, relabel(products(100), title), encoder=encoder)
        snapshots[refs[0]] = (title, f"encoders/{encoder}")
        run(config, workspace, *refs)
        if not readers:
            readers = [Worker(watch, workspace.root, index_settings, f"{tmp_path}/stop") for _ in range(2)]
    (tmp_path / "stop").touch()
    for seen in (r.result() for r in readers):
        for state in seen:
            title, encoder = snapshots[state["snapshot"]]
            assert state == {
                "titles": {title: 100}, "neighbour_titles": [title] * 5,
                "snapshot": state["snapshot"], "encoder": encoder,
            }  # fmt: skip
        assert len(seen) >= 2
        assert seen[-1]["snapshot"] == refs[0]
