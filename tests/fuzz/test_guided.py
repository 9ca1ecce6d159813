"""Coverage-guided fuzzing: seconds here, a share of the soak's time there."""

from pathlib import Path

import pytest

from tests.fuzz import guided

pytest.importorskip("atheris", reason="atheris has wheels for x86-64 Linux only", exc_type=ImportError)


def test_nothing_escapes_the_readers_of_what_comes_from_outside(tmp_path: Path) -> None:
    found = guided.run(5, tmp_path)
    assert found["escapes"] == {}
    assert found["cases"] > 100
    assert found["features"] > 500  # of our code: it is instrumented


def test_what_escapes_and_what_ends_the_process_are_kept(tmp_path: Path) -> None:
    found = guided.run(5, tmp_path, module="tests.fuzz.planted")["escapes"]
    raised, ended = found.pop("KeyError: 'planted'"), found.popitem()
    assert found == {}
    assert raised.startswith("raises~")
    assert ended[0].startswith("crash-")
    assert ended[1].startswith("ends~")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([raised, ended[1]])
    assert (tmp_path / raised).read_bytes() != b"good"


def test_a_corpus_that_was_kept_is_read_first(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "kept").write_bytes(b"\x01of the last run")
    found = guided.run(5, tmp_path, module="tests.fuzz.planted", corpus=corpus)["escapes"]
    (ends,) = (name for name in found.values() if name.startswith("ends~"))
    assert (tmp_path / ends).read_bytes() == b"of the last run"
