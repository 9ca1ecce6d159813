"""Several processes at once, and processes killed at any moment."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from recsys import index as public
from recsys.config import Config, IndexConfig
from recsys.index.run import run
from recsys.workspace import Workspace
from tests.index.catalogs import Product, products, publish_inputs
from tests.index.conftest import SERVER_URL
from tests.index.processes import publish, watch
from tests.index.test_publish import contents, expected, next_night
from tests.workers import Worker

_LONGEST_S = 0.8
"""Moments of a kill are drawn from 0 to this: about what a whole publication here takes."""


@pytest.fixture
def index_settings(engine: str, index_settings: dict[str, object]) -> dict[str, object]:
    if engine == "server" and not SERVER_URL:
        pytest.skip("an in-memory index has one process")
    return {**index_settings, "indexing_threshold_kb": 10}  # so that generations share files


def publish_through_kills(
    workspace: Workspace, settings: dict[str, object], refs: tuple[str, str], kills: int, seed: int
) -> dict[str, Any]:
    """Publish; kill -9 the process ``kills`` times at moments drawn over the time it takes."""
    generator = random.Random(seed)
    for _ in range(kills):
        worker = Worker(publish, workspace.root, settings, *refs)
        time.sleep(generator.uniform(0, _LONGEST_S))
        worker.kill()
        state = public.status(Config(index=IndexConfig.model_validate(settings)), workspace)
        assert state["collection"] is None or state["num_products"] > 0
    info: dict[str, Any] = Worker(publish, workspace.root, settings, *refs).result()
    return info


def relabel(catalog: list[Product], title: str) -> list[Product]:
    return [p.but(title=title) for p in catalog]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_build_survives_kills_at_any_moment(
    config: Config, index_settings: dict[str, object], workspace: Workspace, seed: int
) -> None:
    catalog = products(400)
    settings = {**index_settings, "batch_size": 20}
    refs = publish_inputs(workspace, catalog)
    info = publish_through_kills(workspace, settings, refs, 4, seed)
    assert info["collection"] == public.status(config, workspace)["collection"]
    manifest = run(config, workspace, *refs)
    assert manifest.info["action"] == "nothing"
    assert contents(config, workspace) == expected(workspace, manifest)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_change_and_a_switch_survive_kills_at_any_moment(
    config: Config, index_settings: dict[str, object], workspace: Workspace, seed: int
) -> None:
    catalog = products(200)
    settings = {**index_settings, "batch_size": 20}
    first = run(config, workspace, *publish_inputs(workspace, catalog))
    changed = relabel(next_night(catalog), "the next night")
    refs = publish_inputs(workspace, changed)
    publish_through_kills(workspace, settings, refs, 4, seed)
    manifest = run(config, workspace, *refs)
    assert manifest.info["action"] == "nothing"
    assert manifest.info["collection"] == first.info["collection"]
    assert contents(config, workspace) == expected(workspace, manifest)
    refs = publish_inputs(workspace, changed, encoder="e2")
    publish_through_kills(workspace, settings, refs, 3, seed)
    manifest = run(config, workspace, *refs)
    assert public.live_encoder(config, workspace) == "encoders/e2"
    assert contents(config, workspace) == expected(workspace, manifest)


@pytest.mark.parametrize("engine", ["edge"], indirect=True)
def test_readers_in_other_processes_see_whole_publications_only(
    config: Config, index_settings: dict[str, object], workspace: Workspace, tmp_path: Path
) -> None:
    catalog = products(100)
    nights = [("night 0", "e1"), ("night 1", "e1"), ("night 2", "e1"), ("night 3", "e2"), ("night 4", "e2")]
    snapshots = {}
    readers: list[Worker] = []
    for title, encoder in nights:
        refs = publish_inputs(workspace, relabel(catalog, title), encoder=encoder)
        snapshots[refs[0]] = (title, f"encoders/{encoder}")
        run(config, workspace, *refs)
        if not readers:
            stop = tmp_path / "stop"
            readers = [Worker(watch, workspace.root, index_settings, str(stop)) for _ in range(2)]
    stop.touch()
    for seen in (r.result() for r in readers):
        for state in seen:
            title, encoder_ref = snapshots[state["snapshot"]]
            assert state["titles"] == {title: len(catalog)}
            assert state["encoder"] == encoder_ref
            assert state["neighbour_titles"] == [title] * 5
        assert len(seen) >= 2
        assert seen[-1]["snapshot"] == refs[0]
