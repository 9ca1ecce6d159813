"""Faults spread over each stage, and operations that interleave; ``make soak`` goes on from there."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

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
Count = Callable[[dict[str, Any]], int]


@pytest.fixture(scope="module")
def fresh() -> Iterator[ProcessPoolExecutor]:
    """A process that forks those that are watched, and uses no engine."""
    with fresh_process() as process:
        yield process


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Count:
    """Return how many faults came; the summary of the run adds them up."""

    def count(found: dict[str, Any]) -> int:
        number: int = sum(found["faults"].values())
        record_property("faults", number)
        return number

    return count


@watched
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_survives_faults_of_files(fresh: ProcessPoolExecutor, count: Count, name: str) -> None:
    found = fresh.submit(disturb, FileCampaign, name, seed=0, number=_FAULTS).result()
    assert found["spoiled"] == []
    assert found["operations"] > 10
    assert count(found) > _FAULTS / 2


@watched
def test_whatever_is_done_and_wherever_it_crashes_what_must_hold_does(
    fresh: ProcessPoolExecutor, count: Count
) -> None:
    found = fresh.submit(machine.interleave, 8, 12).result()
    assert found["steps"] > 20
    assert count(found) > 5


def test_stages_of_two_machines_survive_faults_of_a_store_and_a_server(count: Count) -> None:
    for name, found in in_fresh_process(disturb_remotely, _REMOTE_FAULTS).items():
        assert found["spoiled"] == [], name
        assert count(found) > _REMOTE_FAULTS / 2


@pytest.mark.skipif(not qdrant.BINARY, reason="RECSYS_TEST_QDRANT_BINARY names no program")
def test_stages_survive_a_server_that_is_killed_and_restarted(count: Count) -> None:
    for name, found in in_fresh_process(disturb_servers, _FAULTS).items():
        assert found["spoiled"] == [], name
        assert count(found) > _FAULTS / 2
