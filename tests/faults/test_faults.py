"""Faults spread over each stage, and operations that interleave; ``make soak`` goes on from there."""

from functools import partial
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
_FILE_FAULTS, _SERVER_FAULTS = 16, 25


@watched
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_survives_faults_of_files(name: str) -> None:
    _survives(partial(disturb, FileCampaign, name, seed=0, number=_FILE_FAULTS), _FILE_FAULTS)


@pytest.mark.parametrize("name", SERVER_STAGES)
def test_a_stage_survives_faults_of_a_server(name: str) -> None:
    _survives(partial(disturb, ServerCampaign, name, seed=0, number=_SERVER_FAULTS), _SERVER_FAULTS)


@watched
def test_whatever_is_done_and_wherever_it_crashes_what_must_hold_does() -> None:
    found = in_fresh_process(machine.interleave, 8, 12)
    assert found["steps"] > 60
    assert len(found["faults"]) > 5


def _survives(work: Any, number: int) -> None:
    found = in_fresh_process(work)
    assert found["spoiled"] == []
    assert found["operations"] > 10
    assert sum(found["faults"].values()) > 0.8 * number
