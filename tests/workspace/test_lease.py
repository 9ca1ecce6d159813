"""One holder at a time, over machines: who sleeps past its lease changes nothing, a crash blocks nobody."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from recsys.errors import DamagedError, LeaseLostError, TransientError
from recsys.workspace import Workspace, lease
from recsys.workspace.lease import Lease

Machine = Callable[..., Workspace]
Machines = tuple[Workspace, Workspace]
LEASE_S = 20.0


class Clock:
    """A monotonic clock that only sleeping moves, in large steps; ``meanwhile`` happens then."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.meanwhile: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, LEASE_S / 5)
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of those who wait for a lease; nobody renews one in the background, which is real time."""
    made = Clock()
    monkeypatch.setattr(lease, "time", made)
    return made


@pytest.fixture
def machines(machine: Machine) -> Machines:
    return machine("one", lease_s=LEASE_S), machine("two", lease_s=LEASE_S)


def take(store: Workspace) -> Lease:
    return store.lease("publish").__enter__()


def record(store: Workspace) -> dict[str, object]:
    found = store.read_pointer("lease-publish")
    assert found is not None
    return found


def test_who_waits_gets_it_when_the_holder_is_done_and_not_while_it_renews(
    machines: Machines, clock: Clock
) -> None:
    first, started = take(machines[0]), clock.now

    def renew() -> None:
        if clock.now < started + 3 * LEASE_S:
            first.check()
        else:
            clock.meanwhile = lambda: None
            first.__exit__(None, None, None)

    clock.meanwhile = renew
    with machines[1].lease("publish") as second:
        assert started + 3 * LEASE_S <= clock.now < started + 4 * LEASE_S
        second.check()
    assert (record(machines[0])["token"], record(machines[0])["holder"]) == (2, "")


def test_who_waits_too_long_hears_who_holds_it(machines: Machines, clock: Clock) -> None:
    with machines[0].lease("publish"):
        with pytest.raises(TransientError, match=r"\(process \d+\) has the lease 'publish'.* for 5 s"):
            machines[1].lease("publish", timeout_s=5).__enter__()
        with pytest.raises(TransientError, match="Another process of this machine has the lease 'publish'"):
            machines[0].lease("publish", timeout_s=0.1).__enter__()
        with machines[1].lease("catalog", timeout_s=5) as other:
            other.check()
    with machines[1].lease("publish", timeout_s=0):
        pass


def test_a_step_that_lets_no_thread_renew_is_announced(machines: Machines, clock: Clock) -> None:
    first, started = take(machines[0]), clock.now
    first.check(for_s=3 * LEASE_S)
    with machines[1].lease("publish"):
        assert started + 3 * LEASE_S <= clock.now < started + 4 * LEASE_S
    with pytest.raises(LeaseLostError):
        first.check()


KILLED = """
import os, signal, sys
from recsys.workspace import Workspace
Workspace(sys.argv[1], cache=sys.argv[2]).lease("publish").__enter__()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_the_lease_of_a_killed_holder_is_taken_over_once_it_was_seen_unchanged(
    machines: Machines, clock: Clock
) -> None:
    command = [sys.executable, "-c", KILLED, machines[0].root, str(machines[0].local)]
    assert subprocess.run(command, env=os.environ, check=False).returncode == -signal.SIGKILL
    lease_s, started = float(str(record(machines[1])["lease_s"])), clock.now
    with machines[1].lease("publish") as lease:
        assert started + lease_s <= clock.now < started + 1.5 * lease_s
        lease.check()
        assert record(machines[0])["token"] == 2


def test_who_slept_past_its_lease_is_refused_by_name_and_writes_nothing(
    machines: Machines, clock: Clock
) -> None:
    sleeper = take(machines[0])
    machines[0].write_pointer("catalog", {"snapshot": "snapshots/0"}, lease=sleeper)
    assert list(sleeper.guard([1, 2, 3])) == [1, 2, 3]
    with machines[1].lease("publish") as lease:
        machines[1].write_pointer("catalog", {"snapshot": "snapshots/new"}, lease=lease)
        seen: list[int] = []
        with pytest.raises(LeaseLostError):
            seen.extend(sleeper.guard([1, 2, 3]))
        with pytest.raises(LeaseLostError, match=r"token 1 and did not renew it for 20 s; .* with token 2"):
            sleeper.check()
        with pytest.raises(LeaseLostError):
            machines[0].write_pointer("catalog", {"snapshot": "snapshots/old"}, lease=sleeper)
        sleeper.__exit__(None, None, None)  # gives back nothing that is another's
        lease.check()
    assert seen == []
    assert machines[0].read_pointer("catalog") == {"snapshot": "snapshots/new"}


def test_who_falls_asleep_between_the_check_and_the_write_replaces_nothing(
    machines: Machines, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = take(machines[0])
    real = sleeper.check

    def check() -> None:
        real()
        monkeypatch.setattr(sleeper, "check", real)
        with machines[1].lease("publish") as lease:
            machines[1].write_pointer("catalog", {"snapshot": "snapshots/new"}, lease=lease)

    monkeypatch.setattr(sleeper, "check", check)
    with pytest.raises(LeaseLostError):
        machines[0].write_pointer("catalog", {"snapshot": "snapshots/old"}, lease=sleeper)
    assert machines[0].read_pointer("catalog") == {"snapshot": "snapshots/new"}


def test_a_holder_renews_in_the_background(machine: Machine) -> None:
    store = machine("one", lease_s=0.4)
    with store.lease("publish"):
        deadline = time.monotonic() + 30
        while record(store)["renewals"] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_renewal_whose_answer_was_lost_has_renewed(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machines[0].lease("publish") as lease:
        real = machines[0]._fs.pipe_file

        def pipe_file(*arguments: object, **named: object) -> object:
            real(*arguments, **named)
            return real(*arguments, **named)  # as the client does it, which is refused now

        monkeypatch.setattr(machines[0]._fs, "pipe_file", pipe_file)
        lease.check()
        monkeypatch.undo()
        lease.check()
        assert record(machines[1])["renewals"] == 2


def test_an_unreachable_store_takes_no_lease_away(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = machine("one", lease_s=0.4)

    def fail(*_arguments: object, **_named: object) -> None:
        raise ConnectionError("cut off")

    with store.lease("publish") as lease:
        monkeypatch.setattr(store._fs, "pipe_file", fail)
        with pytest.raises(ConnectionError):
            lease.check()
        deadline = time.monotonic() + 30
        while "the lease publish could not be renewed: cut off" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        monkeypatch.undo()
        lease.check()


def test_a_damaged_record_is_named(machines: Machines) -> None:
    path = f"{machines[0]._path}/pointers/lease-publish.json"
    machines[0]._fs.pipe_file(path, b"{")
    with pytest.raises(DamagedError, match=r"lease-publish.json is damaged"):
        take(machines[0])
    machines[0]._fs.rm_file(path)
    with machines[0].lease("publish"):
        pass
