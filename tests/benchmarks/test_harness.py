"""The harness in a small repository of its own."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import harness


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "code.py").write_text("x = 1\n")
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "benchmarks/results")
    monkeypatch.setattr("sys.argv", ["run"])
    git(tmp_path, "init")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "start")
    return tmp_path


def records(repository: Path) -> list[Path]:
    return sorted((repository / "benchmarks/results").rglob("*.json"))


def test_each_run_adds_a_record_and_the_newest_is_found(repository: Path) -> None:
    harness.benchmark("speed", lambda: {"ratio": 1.0}, None)
    [first] = records(repository)
    first.rename(first.with_name("2020-01-01T000000-abc1234.json"))
    git(repository, "add", "-A")
    git(repository, "commit", "-m", "record")
    (repository / "benchmarks/results/other.json").write_text("{}")  # another record, not committed yet
    harness.benchmark("speed", lambda: {"ratio": 2.0}, None)
    newest = harness.latest("speed")
    assert newest is not None
    assert newest["results"] == {"ratio": 2.0}
    assert newest["command"] == "python -m benchmarks.speed"
    old, new = sorted((repository / "benchmarks/results/speed").iterdir())
    assert json.loads(old.read_text())["results"] == {"ratio": 1.0}
    assert new.name.endswith(f"-{newest['commit']}.json")


@pytest.mark.parametrize("name", ["code.py", "benchmarks/new.py"])
def test_a_tree_that_differs_from_its_commit_is_refused_before_anything_is_measured(
    repository: Path, name: str
) -> None:
    (repository / name).write_text("x = 2\n")
    with pytest.raises(SystemExit, match=name):
        harness.benchmark("speed", lambda: pytest.fail("measured"), None)
    assert records(repository) == []


def test_a_tree_that_changes_while_it_is_measured_is_refused(repository: Path) -> None:
    def measure() -> dict[str, int]:
        (repository / "code.py").write_text("x = 2\n")
        return {}

    with pytest.raises(SystemExit, match=r"code\.py"):
        harness.benchmark("speed", measure, None)
    assert records(repository) == []


def test_a_dry_run_measures_any_tree_and_writes_nothing(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "code.py").write_text("x = 2\n")
    monkeypatch.setattr("sys.argv", ["run", "--dry-run", "--repeats", "3", "--names", "a", "b"])
    harness.benchmark("speed", lambda **found: found, None, repeats=5, names=())
    assert json.loads(capsys.readouterr().out) == {"repeats": 3, "names": ["a", "b"]}
    assert records(repository) == []
