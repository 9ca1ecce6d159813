"""Failures of a Qdrant server: which are tried again, and what the others mean."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import grpc
import httpx
import pytest
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException

from recsys.config import Config, IndexConfig
from recsys.errors import ArtifactError, ConfigError, InputError, RecsysError, TransientError
from recsys.index import server
from recsys.index.server import MissingError, ServerIndex, call, explain
from recsys.workspace import Workspace
from tests.index.catalogs import make_points, publish_inputs
from tests.index.conftest import SERVER_URL, SharedClient, http
from tests.index.test_contract import META, publish
from tests.index.test_publish import CATALOG, NEXT_NIGHT, publish_and_compare


class Failed(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    def __init__(self, code: grpc.StatusCode, details: str = "what the server said") -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


Status = grpc.StatusCode


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failed(Status.UNAVAILABLE), TransientError),
        (Failed(Status.DEADLINE_EXCEEDED), TransientError),
        (Failed(Status.RESOURCE_EXHAUSTED), TransientError),
        (Failed(Status.INTERNAL), TransientError),
        (Failed(Status.UNKNOWN), TransientError),
        (Failed(Status.CANCELLED), TransientError),
        (Failed(Status.RESOURCE_EXHAUSTED, "Write rate limit exceeded, retry later"), TransientError),
        (http(429), TransientError),
        (http(503), TransientError),
        (ResponseHandlingException(httpx.ConnectError("refused")), TransientError),
        (ResponseHandlingException(httpx.ReadTimeout("slow")), TransientError),
        (ResourceExhaustedResponse("too fast", 3), TransientError),
        (Failed(Status.UNAUTHENTICATED), ConfigError),
        (Failed(Status.PERMISSION_DENIED), ConfigError),
        (http(403), ConfigError),
        (Failed(Status.NOT_FOUND), MissingError),
        (http(404), MissingError),
        (Failed(Status.INVALID_ARGUMENT), InputError),
        (http(400), InputError),
        (ResponseHandlingException(ValueError("not JSON")), InputError),
    ],
)
def test_what_a_failure_means(failure: Exception, kind: type[RecsysError]) -> None:
    explained = explain(failure)
    assert type(explained) is kind
    assert explained.fix


@pytest.mark.parametrize(
    ("failure", "kind", "fix"),
    [  # as Qdrant 1.18, its HTTP library, a proxy and the gRPC library say it
        (
            http(400, "JSON payload (40000000 bytes) is larger than allowed (limit: 33554432 bytes)."),
            ConfigError,
            "batch_bytes",
        ),
        (http(413, "Request Entity Too Large"), ConfigError, "batch_bytes"),
        (
            Failed(Status.OUT_OF_RANGE, "decoded message length too large: found 9"),
            ConfigError,
            "batch_bytes",
        ),
        (
            Failed(Status.RESOURCE_EXHAUSTED, "Sent message larger than max (9 vs. 8)"),
            ConfigError,
            "batch_bytes",
        ),
        (
            Failed(Status.INVALID_ARGUMENT, "Max points count limit of 5 reached!. Help: Delete some points"),
            ConfigError,
            "keep_previous",
        ),
        (http(400, "Can't create: Max collections limit reached: 3"), ConfigError, "keep_previous"),
        (
            http(400, "Disk usage is at 95% of total, exceeding the configured limit of 90%. Help: Free"),
            ConfigError,
            "keep_previous",
        ),
        (http(500, "No space left on device: WAL buffer size"), ConfigError, "keep_previous"),
        (
            Failed(
                Status.INVALID_ARGUMENT,
                'Index required but not found for "attributes.fit". Help: Create an index',
            ),
            InputError,
            "index.attributes",
        ),
        (Failed(Status.ALREADY_EXISTS), ArtifactError, "index.alias"),
        (http(409), ArtifactError, "index.alias"),
    ],
)
def test_what_a_refusal_means_and_what_to_do(failure: Exception, kind: type[RecsysError], fix: str) -> None:
    explained = explain(failure)
    assert (isinstance(explained, kind), explained.retryable) == (True, False)
    assert fix in explained.fix


class LossyClient(SharedClient):
    """Carries out every call and loses the first answer to each method."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(":memory:")
        self.failure, self.lost = failure, set[str]()

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name not in LOST:
            return method

        def lossy(*arguments: Any, **named: Any) -> Any:
            # as a server does, and the in-memory mode does not
            if name == "create_collection" and self.collection_exists(arguments[0]):
                raise http(409, "Collection already exists!")
            answer = method(*arguments, **named)
            if name not in self.lost:
                self.lost.add(name)
                raise self.failure
            return answer

        return lossy


LOST = {
    "batch_update_points", "create_collection", "create_payload_index", "delete", "delete_collection",
    "get_aliases", "get_collection", "retrieve", "scroll", "update_collection", "update_collection_aliases",
    "upsert",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode performs exact")
@pytest.mark.parametrize("failure", [http(504), Failed(Status.INTERNAL), Failed(Status.UNKNOWN)])
def test_lost_answers_change_nothing(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, workspace: Workspace, failure: Exception
) -> None:
    client = LossyClient(failure)
    monkeypatch.setattr(server, "connect", lambda config: client)
    config = Config(index=IndexConfig(url="http://in-memory", keep_previous=1))
    for catalog, encoder in ((CATALOG, "e1"), (NEXT_NIGHT, "e1"), (CATALOG, "e2"), (CATALOG, "e3")):
        refs = publish_inputs(workspace, catalog, encoder=encoder)
        publish_and_compare(config, workspace, refs)
    assert client.lost == LOST
    assert len(client.get_collections().collections) == 2


def test_a_collection_of_somebody_else_is_not_taken(
    index: ServerIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(index, make_points(5))
    monkeypatch.setattr(index._client, "create_collection", Mock(side_effect=http(409, "already exists")))
    with pytest.raises(ArtifactError, match="already"):
        index._create(name, replace(META, encoder="encoders/other"))


@pytest.fixture
def engine() -> str:
    return "server"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(server.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize(
    ("failure", "failures", "pauses_expected"),
    [
        pytest.param(Failed(Status.UNAVAILABLE), 3, [0.5, 1.0, 2.0], id="growing pauses"),
        pytest.param(ResourceExhaustedResponse("too fast", 7), 1, [7], id="as long as the server says"),
    ],
)
def test_a_passing_failure_is_tried_again(
    pauses: list[float], failure: Exception, failures: int, pauses_expected: list[float]
) -> None:
    assert call(Mock(side_effect=[failure] * failures + ["answer"]), retries=failures) == "answer"
    assert pauses == pauses_expected


@pytest.mark.parametrize(
    ("failure", "raised", "num_pauses"),
    [
        pytest.param(http(503), TransientError, 2, id="it lasts"),
        pytest.param(http(400), InputError, 0, id="a refusal is not tried again"),
        pytest.param(KeyError("bug"), KeyError, 0, id="our own mistakes are not swallowed"),
    ],
)
def test_other_failures_are_raised(
    pauses: list[float], failure: Exception, raised: type[Exception], num_pauses: int
) -> None:
    with pytest.raises(raised):
        call(Mock(side_effect=failure), retries=2)
    assert len(pauses) == num_pauses


def test_no_server_is_a_failure_that_may_pass(pauses: list[float]) -> None:
    with pytest.raises(TransientError, match="did not answer"):
        server.connect(IndexConfig(url="http://127.0.0.1:9", grpc_port=9, timeout_s=1, retries=0))


@pytest.mark.parametrize(("version", "accepted"), [("1.15.3", False), ("1.16.0", True), ("2.0.1-dev", True)])
def test_a_server_too_old_for_metadata_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: str, accepted: bool
) -> None:
    client = Mock(**{"return_value.info.return_value.version": version})
    monkeypatch.setattr(server, "QdrantClient", client)
    with nullcontext() if accepted else pytest.raises(ConfigError, match=r"1\.15\.3"):
        server.connect(IndexConfig(url="http://qdrant.example", api_key="key"))
    assert client.call_args.kwargs["api_key"] == "key"


@pytest.mark.parametrize("engine", ["server"], indirect=True)
@pytest.mark.skipif(bool(SERVER_URL), reason="the in-memory mode is made to forget")
def test_a_deletion_that_the_server_lost_is_done_again(
    make_config: Callable[..., Config], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(change_in_place=1)
    publish_and_compare(config, workspace, publish_inputs(workspace, CATALOG))
    deleted: list[Any] = []
    delete = QdrantClient.delete

    def lose_the_first(client: QdrantClient, *arguments: Any, **named: Any) -> Any:
        deleted.append(named["points_selector"].points)
        return None if len(deleted) == 1 else delete(client, *arguments, **named)

    monkeypatch.setattr(QdrantClient, "delete", lose_the_first)
    manifest = publish_and_compare(config, workspace, publish_inputs(workspace, NEXT_NIGHT))
    assert manifest.info["counts"]["gone"] == len(deleted[0])
    assert deleted == [deleted[0], deleted[0]]
