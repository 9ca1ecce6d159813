"""Following what is live: no answer mixes two encoders, none is lost."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys.config import Config
from recsys.errors import ArtifactError, InputError, TransientError
from recsys.index import rollback
from recsys.search.finder import Finder
from recsys.search.live_index import LiveIndex
from recsys.search.query import SearchQuery
from recsys.workspace import Workspace
from tests.search import shops


@pytest.fixture
def config(text_model: Path) -> Config:
    return shops.settings(text_model)


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


def test_before_anything_is_published_it_waits(config: Config, workspace: Workspace, live: LiveIndex) -> None:
    live.start()
    assert not live.ready()
    with pytest.raises(ArtifactError, match="Nothing was published"):
        live.view()
    shops.publish(config, workspace)
    until(live.ready)
    assert live.view().encoder_ref == "encoders/e0"


def test_it_follows_a_new_encoder_with_it_loaded(
    config: Config, workspace: Workspace, live: LiveIndex
) -> None:
    shops.publish(config, workspace)
    live.start()
    first = live.view()
    until(lambda: first.encoder_loaded)
    shops.publish(config, workspace, seed=1)
    until(lambda: live.view() is not first)
    assert live.view().encoder_ref == "encoders/e1"
    assert live.view().encoder_loaded
    assert first.generation != live.view().generation
    rollback(config, workspace)
    until(lambda: live.view().encoder_ref == "encoders/e0")


def test_new_products_show_and_the_encoder_stays(
    config: Config, workspace: Workspace, live: LiveIndex
) -> None:
    shops.publish(config, workspace)
    live.start()
    first = live.view()
    encoder = first._encoding.get()
    shops.publish(config, workspace, catalog=shops.rows(30))
    until(lambda: live.view() is not first)
    assert live.view()._encoding.get() is encoder
    assert [f.id for f in live.view().autocomplete.find("p29")] == ["p29"]
    assert first.autocomplete.find("p29") == []  # who began with the old view goes on with it
    assert first.collection.count() == 24


def test_a_kept_collection_can_be_asked_with_its_own_encoder(
    config: Config, workspace: Workspace, live: LiveIndex
) -> None:
    old = shops.publish(config, workspace)
    new = shops.publish(config, workspace, seed=1)
    live.start()
    finder = Finder(config, live)
    answers = {
        name: finder.search(SearchQuery(text="red thing", collection=name)) for name in (old, new, None)
    }
    assert answers[old].encoder == "encoders/e0"
    assert answers[None].encoder == answers[new].encoder == "encoders/e1"
    assert [i.score for i in answers[old].items] != [i.score for i in answers[new].items]
    assert [c.name for c in live.kept()] == [new, old]
    with pytest.raises(InputError, match="no collection 'nope'"):
        live.view("nope")


def test_a_lost_encoder_leaves_lookups_by_id(
    config: Config, workspace: Workspace, live: LiveIndex, caplog: pytest.LogCaptureFixture
) -> None:
    shops.publish(config, workspace)
    workspace.delete(workspace.get("encoders/e0"))
    with caplog.at_level(logging.ERROR):
        live.start()
        finder = Finder(config, live)
        assert finder.search(SearchQuery(like=("p00",))).items
        with pytest.raises(TransientError, match="encoders/e0 cannot be loaded"):
            finder.search(SearchQuery(text="red"))
        until(lambda: "cannot be answered" in caplog.text)


def test_no_answer_mixes_encoders_while_the_alias_moves_to_and_fro(
    config: Config, workspace: Workspace, live: LiveIndex
) -> None:
    shops.publish(config, workspace)
    shops.publish(config, workspace, seed=1)
    live.start()
    finder = Finder(config, live)
    until(lambda: live.view().encoder_loaded)
    expected = {}
    for info in live.kept():
        question = SearchQuery(text="red thing", collection=info.name)
        answer = finder.search(question)
        expected[answer.encoder] = [(i.id, round(i.score, 4)) for i in answer.items]
    assert len(expected) == 2
    stop, seen, wrong = threading.Event(), [], []

    def ask() -> None:
        while not stop.is_set():
            answer = finder.search(SearchQuery(text="red thing"))
            seen.append(answer.encoder)
            if [(i.id, round(i.score, 4)) for i in answer.items] != expected[answer.encoder]:
                wrong.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        before = live.num_swaps
        rollback(config, workspace)
        until(lambda before=before: live.num_swaps > before)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert set(seen) == set(expected)
    changes = sum(a != b for a, b in itertools.pairwise(seen))
    assert changes >= 3
