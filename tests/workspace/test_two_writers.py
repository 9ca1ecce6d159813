"""Two machines write the same artifact into one object store: one wins, nobody reads the other's files."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.errors import DamagedError
from recsys.workspace import Manifest, Workspace
from recsys.workspace.retention import delete_garbage, find_garbage
from tests.workspace.test_store import commit

Machine = Callable[..., Workspace]


def files_of(store: Workspace, ref: str) -> list[str]:
    return sorted(path.rsplit("/", 1)[-1] for path in store._fs.find(f"{store._path}/{ref}"))


def text_of(store: Workspace, ref: str) -> str:
    return (store.path(store.get(ref)) / "deep" / "file.txt").read_text()


def between_look_and_upload(
    late: Workspace, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let ``act`` happen once ``late`` has seen that there is no artifact yet."""
    real, todo = late.find, [act]

    def find(kind: str, id: str) -> Manifest | None:
        found = real(kind, id)
        while todo:
            todo.pop()()
        return found

    monkeypatch.setattr(late, "find", find)


def test_a_late_second_writer_takes_the_winners_artifact(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, first, reader = machine("late"), machine("first"), machine("reader")
    between_look_and_upload(late, lambda: commit(first, text="of the first"), monkeypatch)
    with late.create("things", "a1") as draft:
        (draft.path / "deep").mkdir()
        (draft.path / "deep" / "file.txt").write_text("of the late one")
        (draft.path / "more.txt").write_text("of the late one too")
    winner = first.get("things/a1")
    assert draft.committed() == winner
    assert {text_of(store, "things/a1") for store in (late, first, reader)} == {"of the first"}
    assert files_of(late, "things/a1") == ["file.txt", "manifest.json"]


def test_a_reader_that_has_a_manifest_reads_its_files_whoever_writes_meanwhile(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, first, reader = machine("late"), machine("first"), machine("reader")
    seen: list[str] = []

    def read() -> None:
        manifest = reader.get(commit(first, text="of the first"))
        real = late._fs.pipe_file

        def pipe_file(path: str, *arguments: object, **named: object) -> object:
            if path.endswith("manifest.json"):  # by then all files of the late writer are there
                seen.append((reader.path(manifest) / "deep" / "file.txt").read_text())
            return real(path, *arguments, **named)

        monkeypatch.setattr(late._fs, "pipe_file", pipe_file)

    between_look_and_upload(late, read, monkeypatch)
    commit(late, text="of the late one")
    assert seen == ["of the first"]


def test_a_writer_whose_answer_was_lost_has_won_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("one")
    real = store._fs.pipe_file

    def pipe_file(*arguments: object, **named: object) -> object:
        real(*arguments, **named)
        return real(*arguments, **named)  # as the client does it, which is refused now

    monkeypatch.setattr(store._fs, "pipe_file", pipe_file)
    ref = commit(store)
    monkeypatch.undo()
    assert text_of(machine("other"), ref) == "hello"


def test_what_a_killed_writer_uploaded_goes_and_what_is_read_stays(machine: Machine) -> None:
    store = machine("one")
    ref = commit(store)
    for path in (f"{ref}/0000000000000000/deep/file.txt", "things/a2/0000000000000000/file.txt"):
        store._fs.pipe_file(f"{store._path}/{path}", b"half")
    since = datetime.now(UTC) + timedelta(hours=1)
    assert find_garbage(store, [ref], since=since - timedelta(days=2), reports_since=since) == []
    garbage = find_garbage(store, [ref], since=since, reports_since=since)
    assert [item.path for item in garbage] == [f"{ref}/0000000000000000", "things/a2/0000000000000000"]
    assert delete_garbage(store, garbage, since=since) == garbage
    assert files_of(store, "things") == ["file.txt", "manifest.json"]
    assert text_of(machine("other"), ref) == "hello"


def test_deleting_leaves_what_another_writer_uploads_meanwhile(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = machine("one"), machine("other")
    ref = commit(store, text="old")
    manifest = store.get(ref)
    monkeypatch.setattr(other, "find", lambda kind, id: None)
    real = other._fs.put_file

    def put_file(*arguments: object, **named: object) -> None:
        real(*arguments, **named)
        store.delete(manifest)

    monkeypatch.setattr(other._fs, "put_file", put_file)
    assert text_of(machine("third"), commit(other, text="new")) == "new"


def test_an_artifact_that_is_gone_is_an_error_that_says_so(machine: Machine) -> None:
    store, other = machine("one"), machine("other")
    manifest = store.get(commit(store))
    store.delete(manifest)
    with pytest.raises(DamagedError, match=r"things/a1 is damaged: deep/file.txt is missing"):
        other.path(manifest)


def test_a_store_that_is_not_s3_takes_the_first_manifest_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, first = (Workspace(f"memory://{tmp_path}", cache=tmp_path / name) for name in ("late", "first"))
    between_look_and_upload(late, lambda: commit(first, text="of the first"), monkeypatch)
    ref = commit(late, text="of the late one")
    assert {text_of(store, ref) for store in (late, first)} == {"of the first"}
    with late.lease("publish") as lease:
        lease.check()
        late.write_pointer("catalog", {"snapshot": "snapshots/1"}, lease=lease)
    assert first.read_pointer("catalog") == {"snapshot": "snapshots/1"}
