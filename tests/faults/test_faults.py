"""Faults spread over each stage, and operations that interleave; ``make soak`` goes on from there."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from benchmarks.harness import fresh_process, in_fresh_process
from tests.faults import machine
from tests.faults.campaign import FileCampaign, disturb
from tests.faults.remote import disturb_remotely
from tests.faults.restarts import disturb_servers
from tests.faults.stages import STAGES
from tests.faults.syscalls import is_supported
from tests.index import qdrant

pytestmark = pytest.mark.slow
watched = pytest.mark.skipif(not is_supported(), reason="needs seccomp, on Linux and x86-64")
_FAULTS, _REMOTE_FAULTS = 9, 40


@pytest.fixture(scope="module")
def fresh() -> Iterator[ProcessPoolExecutor]:
    """A process that forks those that are watched, and uses no engine."""
    with fresh_process() as process:
        yield process


@watched
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_survives_faults_of_files(fresh: ProcessPoolExecutor, name: str) -> None:
    found = fresh.submit(disturb, FileCampaign, name, seed=0, number=_FAULTS).result()
    assert found["spoiled"] == []
    assert found["operations"] > 10
    assert sum(found["faults"].values()) > _FAULTS / 2


@watched
def test_whatever_is_done_and_wherever_it_crashes_what_must_hold_does(fresh: ProcessPoolExecutor) -> None:
    found = fresh.submit(machine.interleave, 8, 12).result()
    assert found["steps"] > 20
    assert sum(found["faults"].values()) > 5


def test_stages_of_two_machines_survive_faults_of_a_store_and_a_server() -> None:
    for name, found in in_fresh_process(disturb_remotely, _REMOTE_FAULTS).items():
        assert found["spoiled"] == [], name
        assert sum(found["faults"].values()) > _REMOTE_FAULTS / 2


@pytest.mark.skipif(not qdrant.BINARY, reason="RECSYS_TEST_QDRANT_BINARY names no program")
def test_stages_survive_a_server_that_is_killed_and_restarted() -> None:
    for name, found in in_fresh_process(disturb_servers, _FAULTS).items():
        assert found["spoiled"] == [], name
        assert sum(found["faults"].values()) > _FAULTS / 2
