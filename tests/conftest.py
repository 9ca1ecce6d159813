"""Fixtures every stage's tests share."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

from recsys.workspace import Workspace
from tests.catalog.web import Web

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
for _name in [n for n in os.environ if n.startswith("RECSYS_") and not n.startswith("RECSYS_TEST_")]:
    del os.environ[_name]  # a developer's own settings must not decide a test

# A first call imports, and a busy machine is slow: neither is a fault of what is tested.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

SLOW = (
    "tests/benchmarks/test_newcomer.py", "tests/benchmarks/test_published_pairs.py", "tests/cli",
    "tests/dags", "tests/embedding", "tests/encoder",
    "tests/evaluation/test_candidates.py", "tests/evaluation/test_gate_simulation.py",
    "tests/evaluation/test_judgements.py", "tests/evaluation/test_run.py", "tests/feedback/test_backup.py",
    "tests/feedback/test_migrate.py", "tests/feedback/test_processes.py", "tests/feedback/test_wheel.py",
    "tests/fuzz/test_guided.py", "tests/fuzz/test_service.py", "tests/index/test_contract_doc.py",
    "tests/index/test_processes.py", "tests/index/test_publish.py", "tests/index/test_repair.py",
    "tests/index/test_rollback.py", "tests/index/test_two_machines.py", "tests/proposal/test_backbone.py",
    "tests/report/test_run.py", "tests/sample_shop", "tests/serving", "tests/test_cost.py",
    "tests/training/test_augment.py",
    "tests/training/test_data.py", "tests/training/test_judgements.py", "tests/training/test_objectives.py",
    "tests/training/test_recipe.py", "tests/training/test_resume.py", "tests/training/test_run.py",
    "tests/training/test_unseen_classes.py", "tests/training/test_weights.py",
    "tests/test_made_again.py", "tests/workspace/test_retention.py",
)  # fmt: skip
"""What `make test-fast` leaves out: browsers, servers, processes that are killed, encoders, training,
Airflow, and the gate's simulation."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is slow before it is imported: torch, Airflow and open_clip take their time."""
    return True if config.option.markexpr == "not slow" and is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_slow(item.path):
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many faults the tests in ``tests/faults`` injected."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    num_faults = sum(value for r in reports for name, value in r.user_properties if name == "faults")
    if num_faults:
        terminalreporter.write_line(f"{num_faults} faults were injected")


def is_slow(path: Path) -> bool:
    return path.relative_to(ROOT).as_posix().startswith(SLOW)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh local workspace."""
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """A bucket on a real S3 protocol server."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    names = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with mock.patch.dict(os.environ, names, AWS_ENDPOINT_URL=endpoint):
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="bucket")
        yield "s3://bucket/some/prefix"
    server.stop()


@pytest.fixture(scope="session")
def connections(s3_url: str) -> dict[str, Any]:
    """Machine → its connections to the bucket, and what it remembers of folders there."""
    from s3fs import S3FileSystem

    return defaultdict(lambda: S3FileSystem(skip_instance_cache=True))


@pytest.fixture
def machine(s3_url: str, connections: dict[str, Any], tmp_path: Path) -> Callable[..., Workspace]:
    """Make a machine: a workspace in one bucket for all of a test, with a local cache of its own."""

    def make(name: str, **options: float) -> Workspace:
        store = Workspace(f"{s3_url}/{tmp_path.name}", cache=tmp_path / name, **options)
        store._fs = connections[name]
        return store

    return make


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server a test fills."""
    server = Web()
    yield server
    server.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real catalogs and weights beside the checkout; skips where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no real catalogs at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sentence-transformers model with random weights, 16 wide."""
    from tests.training.shop import tiny_text_model

    return tiny_text_model(tmp_path_factory.mktemp("text"))
