"""Faults spread over each stage, and operations that interleave; ``make soak`` goes on from there."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.pool import Pool
from typing import Any

import pytest

from benchmarks.harness import in_fresh_process
from tests.faults import machine
from tests.faults.campaign import FileCampaign, disturb
from tests.faults.server import STAGES as SERVER_STAGES
from tests.faults.server import ServerCampaign
from tests.faults.stages import STAGES
from tests.faults.syscalls import is_supported

pytestmark = pytest.mark.slow
watched = pytest.mark.skipif(not is_supported(), reason="needs seccomp, on Linux and x86-64")
_FAULTS, _SERVER_FAULTS = 9, 6


@pytest.fixture(scope="module")
def fresh() -> Iterator[Pool]:
    """A process that forks those that are watched, and uses no engine."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


@watched
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_survives_faults_of_files(fresh: Pool, name: str) -> None:
    found = fresh.apply(disturb, (FileCampaign, name), {"seed": 0, "number": _FAULTS})
    assert found["spoiled"] == []
    assert found["operations"] > 10
    assert sum(found["faults"].values()) > _FAULTS / 2


@watched
def test_whatever_is_done_and_wherever_it_crashes_what_must_hold_does(fresh: Pool) -> None:
    found = fresh.apply(machine.interleave, (8, 12))
    assert found["steps"] > 20
    assert sum(found["faults"].values()) > 5


def test_stages_survive_faults_of_a_server() -> None:
    for name, found in in_fresh_process(_disturb_servers).items():
        assert found["spoiled"] == [], name
        assert sum(found["faults"].values()) > _SERVER_FAULTS / 2


def _disturb_servers() -> dict[str, Any]:
    return {name: disturb(ServerCampaign, name, seed=0, number=_SERVER_FAULTS) for name in SERVER_STAGES}
