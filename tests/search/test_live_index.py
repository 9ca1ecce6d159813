"""Following what is live: no result mixes two encoders, none is lost."""

import itertools
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys.config import Config
from recsys.errors import ArtifactError, NotFoundError, TransientError
from recsys.index import rollback, status
from recsys.search.finder import Finder
from recsys.search.live_index import LiveIndex
from recsys.search.query import SearchQuery
from recsys.workspace import Workspace
from tests.search import shops


@pytest.fixture(scope="module")
def config(text_model: Path) -> Config:
    return shops.settings(text_model)


@pytest.fixture(scope="module")
def published_twice(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose shop was published under encoder e0, then e1."""
    folder = tmp_path_factory.mktemp("published") / "workspace"
    shops.publish(config, Workspace(folder))
    shops.publish(config, Workspace(folder), seed=1)
    return folder


@pytest.fixture
def workspace(published_twice: Path, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(published_twice, tmp_path / "workspace"))


@pytest.fixture
def live(config: Config, workspace: Workspace) -> Iterator[LiveIndex]:
    opened = LiveIndex(config, workspace)
    yield opened
    opened.close()


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def scores(finder: Finder, name: str | None = None) -> tuple[str, list[tuple[str, float]]]:
    result = finder.search(SearchQuery(text="red thing", collection=name))
    return result.encoder, [(item.id, round(item.score, 4)) for item in result.items]


def test_before_anything_is_published_it_waits(config: Config, tmp_path: Path, published_twice: Path) -> None:
    empty = Workspace(tmp_path / "empty")
    live = LiveIndex(config, empty)
    live.start()
    assert not live.ready()
    with pytest.raises(ArtifactError, match="Nothing was published"):
        live.view()
    shops.publish(config, empty)
    until(live.ready)
    assert live.view().encoder_ref == "encoders/e0"
    live.close()


def test_it_follows_another_encoder_once_that_is_loaded(
    config: Config, workspace: Workspace, live: LiveIndex
) -> None:
    live.start()
    first = live.view()
    until(lambda: first.encoder_loaded)
    rollback.run(config, workspace, snapshot_ref=None)
    until(lambda: live.view() is not first)
    assert live.view().encoder_ref == "encoders/e0"
    assert live.view().encoder_loaded
    assert first.generation != live.view().generation


def test_new_products_show_and_the_encoder_is_not_loaded_again(
    config: Config, workspace: Workspace, live: LiveIndex, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "recsys.search"):
        live.start()
        first = live.view()
        until(lambda: first.encoder_loaded)
        shops.publish(config, workspace, seed=1, catalog=shops.rows(30))
        until(lambda: live.view() is not first)
    assert live.view().encoder_loaded
    assert caplog.text.count("loaded encoders/e1") == 1
    assert [f.id for f in live.view().autocomplete.find("p29")] == ["p29"]
    assert first.autocomplete.find("p29") == []  # a search that began with the old view goes on with it
    assert first.collection.count() == 24


def test_a_kept_collection_is_searched_with_its_own_encoder(config: Config, live: LiveIndex) -> None:
    live.start()
    finder = Finder(config, live)
    new, old = [c.name for c in live.kept()]
    assert scores(finder, old)[0] == "encoders/e0"
    assert scores(finder, new) == scores(finder)
    assert scores(finder)[0] == "encoders/e1"
    assert scores(finder, old)[1] != scores(finder, new)[1]
    with pytest.raises(NotFoundError, match="no collection 'nope'"):
        live.view("nope")


def test_a_lost_encoder_leaves_queries_by_id_and_is_loaded_once_it_is_back(
    config: Config, workspace: Workspace, live: LiveIndex, caplog: pytest.LogCaptureFixture
) -> None:
    folder = workspace.path(workspace.get("encoders/e1"))
    folder.rename(folder.with_name("lost"))
    with caplog.at_level(logging.ERROR):
        live.start()
        finder = Finder(config, live)
        assert finder.search(SearchQuery(like=("p00",))).items
        with pytest.raises(TransientError, match="encoders/e1 cannot be loaded"):
            scores(finder)
        until(lambda: "cannot be answered" in caplog.text)
    folder.with_name("lost").rename(folder)
    assert scores(finder)[1]


def test_no_result_mixes_encoders_while_the_alias_moves_to_and_fro(
    config: Config, workspace: Workspace, live: LiveIndex
) -> None:
    live.start()
    finder = Finder(config, live)
    until(lambda: live.view().encoder_loaded)
    expected = dict(scores(finder, info.name) for info in live.kept())
    assert len(expected) == 2
    stop, seen, wrong = threading.Event(), [], []

    def search() -> None:
        while not stop.is_set():
            encoder, found = scores(finder)
            seen.append(encoder)
            if found != expected[encoder]:
                wrong.append(found)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        before = live.num_swaps
        (other,) = status(config, workspace)["previous"]
        rollback.run(config, workspace, other["collection"], snapshot_ref=None)
        until(lambda before=before: live.num_swaps > before)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert set(seen) == set(expected)
    assert sum(a != b for a, b in itertools.pairwise(seen)) >= 3
