"""What is newest is so by a number from the store, whatever the clocks of the machines say."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys import nightly
from recsys.workspace import Workspace, store
from tests.workspace.test_store import commit

Machine = Callable[..., Workspace]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Set the clock of the machine that acts next, to so much after the right time."""

    def to(offset: timedelta) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
                return datetime.now(UTC) + offset

        monkeypatch.setattr(store, "datetime", Clock)

    return to


def test_the_last_commit_is_the_newest_also_of_a_machine_whose_clock_is_slow(
    machine: Machine, set_clock: Callable[[timedelta], None]
) -> None:
    one, two = machine("one"), machine("two")
    commit(one, "a1")
    set_clock(-timedelta(hours=1))
    commit(two, "a0")
    set_clock(timedelta(days=400))
    commit(one, "a3")
    set_clock(timedelta(0))
    commit(two, "a2")
    for reader in (one, two):
        assert [manifest.id for manifest in reader.list("things")] == ["a1", "a0", "a3", "a2"]
    assert nightly.latest(one, "things", made_by="commit").id == "a2"
    assert [manifest.sequence for manifest in one.list("things")] == [1, 2, 3, 4]


def test_the_number_goes_on_where_its_record_was_deleted(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    commit(one, "a1")
    commit(two, "a2")
    one.remove("pointers/sequence.json")
    commit(one, "a0")
    assert [manifest.id for manifest in two.list("things")] == ["a1", "a2", "a0"]


def test_no_number_is_drawn_twice(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = machine("one"), machine("two")
    real, drawn = one._fs.pipe_file, []

    def pipe_file(*arguments: object, **named: object) -> object:
        monkeypatch.undo()
        drawn.append(two.next_sequence())  # between the look of the one and its write
        return real(*arguments, **named)

    monkeypatch.setattr(one._fs, "pipe_file", pipe_file)
    assert [one.next_sequence(), *drawn] == [2, 1]


def test_in_a_local_workspace_the_last_commit_is_the_newest_too(
    tmp_path: Path, set_clock: Callable[[timedelta], None]
) -> None:
    one, other = Workspace(tmp_path), Workspace(tmp_path)
    commit(one, "a1")
    set_clock(-timedelta(hours=1))
    commit(other, "a0")
    assert nightly.latest(one, "things", made_by="commit").id == "a0"
    pointer = tmp_path / "pointers" / "sequence.json"
    pointer.write_text(pointer.read_text().replace("2", "1"))  # no longer what its checksum says
    set_clock(-timedelta(hours=2))
    commit(one, "a2")
    pointer.unlink()
    commit(other, "a3")
    assert [manifest.id for manifest in one.list("things")] == ["a1", "a0", "a2", "a3"]
    assert [manifest.sequence for manifest in one.list("things")] == [1, 2, 3, 4]


def test_threads_and_workspaces_of_one_machine_draw_no_number_twice(tmp_path: Path) -> None:
    spaces = [Workspace(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda n: spaces[n % 4].next_sequence(), range(40)))
    assert sorted(drawn) == list(range(1, 41))


def test_what_a_run_made_itself_is_known_by_numbers(
    machine: Machine, set_clock: Callable[[timedelta], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys import index
    from recsys.config import Config
    from recsys.training import plan

    one, two = machine("one"), machine("two")
    monkeypatch.setattr(index, "live_encoder", lambda config, workspace: "encoders/e1")
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(plan, "plan", lambda config, workspace, inputs, force: seen.append(dict(inputs)))

    def evaluate(workspace: Workspace, id: str) -> None:
        with workspace.create("evaluations", id) as draft:
            draft.info["chosen"] = "encoders/e1"

    set_clock(timedelta(hours=2))
    evaluate(two, "of-last-night")
    nightly.champion_at_start(Config(), one, "tonight")
    set_clock(-timedelta(hours=2))
    evaluate(two, "of-tonight")
    nightly.plan_training(
        Config(),
        one,
        {"snapshot": "snapshots/s", "champion": "encoders/e1", "judgements": None},
        run_id="tonight",
    )
    assert seen[0]["evaluation"] == "evaluations/of-last-night"
