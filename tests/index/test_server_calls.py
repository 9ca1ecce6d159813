"""Failures of a Qdrant server: which are tried again, and what the others mean."""

from contextlib import nullcontext
from unittest.mock import Mock

import grpc
import httpx
import pytest
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from recsys.config import IndexConfig
from recsys.errors import ArtifactError, ConfigError, InputError, RecsysError, TransientError
from recsys.index import server
from recsys.index.server import call, explain


class Failed(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "what the server said"


def http(status: int) -> UnexpectedResponse:
    return UnexpectedResponse(status, "reason", b'{"status": "what the server said"}', httpx.Headers())


Status = grpc.StatusCode


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failed(Status.UNAVAILABLE), TransientError),
        (Failed(Status.DEADLINE_EXCEEDED), TransientError),
        (Failed(Status.RESOURCE_EXHAUSTED), TransientError),
        (http(429), TransientError),
        (http(503), TransientError),
        (ResponseHandlingException(httpx.ConnectError("refused")), TransientError),
        (ResponseHandlingException(httpx.ReadTimeout("slow")), TransientError),
        (ResourceExhaustedResponse("too fast", 3), TransientError),
        (Failed(Status.UNAUTHENTICATED), ConfigError),
        (Failed(Status.PERMISSION_DENIED), ConfigError),
        (http(403), ConfigError),
        (Failed(Status.NOT_FOUND), ArtifactError),
        (http(404), ArtifactError),
        (Failed(Status.INVALID_ARGUMENT), InputError),
        (http(400), InputError),
        (ResponseHandlingException(ValueError("not JSON")), InputError),
    ],
)
def test_what_a_failure_means(failure: Exception, kind: type[RecsysError]) -> None:
    explained = explain(failure)
    assert type(explained) is kind
    assert explained.fix


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
