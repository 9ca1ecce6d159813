"""What only a real server does."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from recsys.config import Config
from recsys.errors import ArtifactError, InputError
from recsys.index import open_index
from recsys.index.base import Query
from recsys.index.filters import AnyOf, Range, category
from recsys.index.server import ExistsError, ServerIndex, connect
from recsys.workspace import Workspace
from tests.index.catalogs import make_points, publish_inputs, similar
from tests.index.conftest import SERVER_URL
from tests.index.test_contract import META, name_of, publish
from tests.index.test_publish import CATALOG, NEXT_NIGHT, publish_and_compare

pytestmark = [
    pytest.mark.skipif(not SERVER_URL, reason="no Qdrant server: see tests/index/qdrant.py"),
    pytest.mark.parametrize("engine", ["server"], indirect=True),
]


@pytest.fixture
def client(config: Config) -> Iterator[QdrantClient]:
    opened = connect(config.index)
    yield opened
    opened.close()


def test_a_build_is_indexed_when_it_says_so(
    make_config: Callable[..., Config], workspace: Workspace, client: QdrantClient
) -> None:
    index = open_index(make_config(indexing_threshold_kb=10), workspace)
    name = name_of(index)
    with index.build(name, META) as writer:
        writer.upsert(make_points(1500))
        assert client.get_collection(name).indexed_vectors_count == 0
        writer.index()
        info = client.get_collection(name)
        assert info.status == models.CollectionStatus.GREEN
        assert info.indexed_vectors_count == 1500
        writer.commit(META)
    assert set(info.payload_schema) >= {"brand", "price", "product_type", "modalities"}
    assert info.config.params.vectors.distance == models.Distance.DOT  # type: ignore[union-attr]
    assert info.config.quantization_config.scalar.type == models.ScalarType.INT8  # type: ignore[union-attr]
    index.close()


def test_a_small_collection_does_not_wait_for_a_graph(index: ServerIndex, client: QdrantClient) -> None:
    name = publish(index, make_points(50))
    assert client.get_collection(name).indexed_vectors_count == 0
    assert index.open().count() == 50


def test_readers_of_the_alias_never_see_it_missing(index: ServerIndex, client: QdrantClient) -> None:
    names = [publish(index, make_points(20), number=n) for n in (1, 2)]
    done = threading.Event()
    vector = make_points(1)[0].vector.tolist()

    def read() -> int:
        answers = 0
        while not done.is_set():
            assert len(client.query_points(index.alias, query=vector, limit=5).points) == 5
            answers += 1
        return answers

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for turn in range(60):
            index.switch(names[turn % 2], expected=names[(turn + 1) % 2])
        done.set()
        assert reader.result() > 20


def test_a_strict_server_answers_every_filter_of_the_contract(
    index: ServerIndex, client: QdrantClient
) -> None:
    name = publish(index, make_points(60))
    client.update_collection(
        name,
        strict_mode_config=models.StrictModeConfig(
            enabled=True, unindexed_filtering_retrieve=False, unindexed_filtering_update=False
        ),
    )
    collection, vector = index.open(), make_points(1)[0].vector
    allowed = (
        AnyOf("brand", ("Acme",)),
        Range("price", lte=40),
        category("Home"),
        AnyOf("modalities", ("text",)),
    )
    assert collection.query(Query(vector=vector, filter=allowed))
    with pytest.raises(InputError, match=r"(?i)index"):
        collection.query(Query(vector=vector, filter=(AnyOf("attributes.fit", ("slim",)),)))


def test_large_payloads_stay_under_the_request_limit(index: ServerIndex) -> None:
    points = [p._replace(payload={**p.payload, "title": "x" * 9_000_000}) for p in make_points(5)]
    publish(index, points)
    assert index.open().count() == 5


def test_the_same_over_rest(make_config: Callable[..., Config], workspace: Workspace) -> None:
    config = make_config(prefer_grpc=False)
    for catalog in (CATALOG, NEXT_NIGHT):
        publish_and_compare(config, workspace, publish_inputs(workspace, catalog))
    with closing(open_index(config, workspace)) as index:
        assert len(similar(index.open(), "sku-00010", limit=4, filter=(AnyOf("color", ("red",)),))) == 4
        with pytest.raises(InputError):
            index.open().query(Query(vector=np.ones(3, np.float32)))


def test_a_collection_that_was_dropped_meanwhile_is_named(index: ServerIndex, client: QdrantClient) -> None:
    name = publish(index, make_points(5))
    opened = index.open()
    client.delete_collection(name)
    with pytest.raises(ArtifactError, match=name):
        opened.count()


def test_an_alias_that_is_a_collection_is_refused(index: ServerIndex, client: QdrantClient) -> None:
    client.create_collection(
        index.alias, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT)
    )
    with pytest.raises(ExistsError, match=index.alias):
        publish(index, make_points(5))
