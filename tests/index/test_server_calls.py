"""Failures of a Qdrant server: which are tried again, and what the others mean."""

from collections.abc import Callable

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


def flaky(failures: int, failure: Exception) -> Callable[[], str]:
    left = [failures]

    def function() -> str:
        if left[0]:
            left[0] -= 1
            raise failure
        return "answer"

    return function


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(server.time, "sleep", slept.append)
    return slept


def test_a_passing_failure_is_tried_again_with_growing_pauses(pauses: list[float]) -> None:
    assert call(flaky(3, Failed(Status.UNAVAILABLE)), retries=3) == "answer"
    assert pauses == [0.5, 1.0, 2.0]


def test_a_server_may_say_how_long_to_wait(pauses: list[float]) -> None:
    assert call(flaky(1, ResourceExhaustedResponse("too fast", 7)), retries=1) == "answer"
    assert pauses == [7]


def test_a_failure_that_lasts_is_raised_as_retryable(pauses: list[float]) -> None:
    with pytest.raises(TransientError) as raised:
        call(flaky(9, http(503)), retries=2)
    assert raised.value.retryable
    assert len(pauses) == 2


def test_a_refusal_is_not_tried_again(pauses: list[float]) -> None:
    with pytest.raises(InputError, match="what the server said"):
        call(flaky(1, http(400)), retries=5)
    assert pauses == []


def test_our_own_mistakes_are_not_swallowed(pauses: list[float]) -> None:
    with pytest.raises(KeyError):
        call(flaky(1, KeyError("bug")), retries=5)


def test_no_server_is_a_failure_that_may_pass(pauses: list[float]) -> None:
    with pytest.raises(TransientError, match="did not answer"):
        server.connect(IndexConfig(url="http://127.0.0.1:9", grpc_port=9, timeout_s=1, retries=0))


@pytest.mark.parametrize(("version", "accepted"), [("1.15.3", False), ("1.16.0", True), ("2.0.1-dev", True)])
def test_a_server_too_old_for_metadata_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: str, accepted: bool
) -> None:
    class Client:
        def __init__(self, **settings: object) -> None:
            self.settings = settings

        def info(self) -> object:
            return type("Info", (), {"version": version})()

    monkeypatch.setattr(server, "QdrantClient", Client)
    config = IndexConfig(url="http://qdrant.example", api_key="key")
    if accepted:
        settings = server.connect(config).settings  # type: ignore[attr-defined]
        assert settings["api_key"] == "key"
        assert settings["prefer_grpc"] is True
    else:
        with pytest.raises(ConfigError, match=r"1\.15\.3"):
            server.connect(config)
