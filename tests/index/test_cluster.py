"""Nights on a cluster of three Qdrant nodes, one of which fails and comes back."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recsys.config import Config, IndexConfig
from recsys.index import open_index
from recsys.workspace import Workspace
from tests.index import qdrant
from tests.index.catalogs import publish_inputs
from tests.index.qdrant import Node
from tests.index.test_publish import CATALOG, NEXT_NIGHT, publish_and_compare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not qdrant.BINARY, reason="RECSYS_TEST_QDRANT_BINARY names no program"),
]
_JOINS_WITHIN_S = 60.0


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    started = [Node(tmp_path / "1", clustered=True)]
    started += [Node(tmp_path / str(number), clustered=True, first=started[0]) for number in (2, 3)]
    yield started
    for node in started:
        node.kill()


def through(node: Node) -> Config:
    return Config(
        index=IndexConfig(
            url=node.url, grpc_port=node.grpc_port, replication_factor=3, shard_number=2, timeout_s=30
        )
    )


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _JOINS_WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_night_comes_through_while_a_node_is_down(nodes: list[Node], workspace: Workspace) -> None:
    first, second, third = nodes
    publish_and_compare(through(first), workspace, publish_inputs(workspace, CATALOG))
    third.kill()
    publish_and_compare(through(second), workspace, publish_inputs(workspace, NEXT_NIGHT))
    publish_and_compare(through(second), workspace, publish_inputs(workspace, CATALOG, encoder="e2"))
    third.start()
    with (
        closing(open_index(through(first), workspace)) as there,
        closing(open_index(through(third), workspace)) as here,
    ):
        eventually(lambda: here.live() == there.live())
        expected = {r.id: r.payload for r in there.open().records()}
        assert {r.id: r.payload for r in here.open().records()} == expected
