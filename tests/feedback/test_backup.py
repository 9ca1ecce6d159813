"""What was backed up comes back whole, in either database, or the file is refused by name."""

import gzip
import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click.testing
import pytest
import sqlalchemy as sa

from recsys.cli import main
from recsys.errors import DamagedError, InputError
from recsys.feedback.backup import back_up, restore
from recsys.feedback.database import Database
from recsys.feedback.rules import Rule
from recsys.feedback.store import FeedbackStore

PIN = Rule(action="pin", target="product", target_value="P1")


def fill(store: FeedbackStore) -> None:
    store.retire_rule(store.add_rule(PIN, "Maria").id, "Tom", "over")
    store.add_rule(PIN, "Jürgen")
    store.withdraw(store.judge("a", "b", "similar", "Maria").id, "Maria")
    store.judge("b", "c", "duplicate", "Tom", context={"query": "a"})


def everything(store: FeedbackStore) -> object:
    return store.rules(include_past=True), store.all_judgements(), store.judgement(1), store.audit()


def lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


@pytest.mark.parametrize("from_sqlite", [True, False])
def test_all_comes_back_in_either_database_and_work_goes_on(
    url: str, tmp_path: Path, from_sqlite: bool
) -> None:
    file, sqlite = tmp_path / "backup", f"sqlite:///{tmp_path}/other.db"
    first, second = (sqlite, url) if from_sqlite else (url, sqlite)
    with closing(Database(first)) as one, closing(Database(second)) as other:
        before, after = FeedbackStore(one), FeedbackStore(other)
        fill(before)
        assert back_up(one, file) == restore(file, other) == {"rules": 2, "judgements": 2, "audit": 6}
        assert everything(after) == everything(before)
        assert after.add_rule(PIN, "Tom").id == 3
        assert after.judge("x", "y", "similar", "Tom").id == 3
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), other.writing() as connection:
            connection.execute(sa.text("UPDATE audit SET author = 'Eve'"))


def test_a_database_that_holds_anything_is_left_as_it_is(
    opened: Callable[[], FeedbackStore], url: str, tmp_path: Path
) -> None:
    store = opened()
    fill(store)
    before = everything(store)
    with closing(Database(url)) as database:
        back_up(database, tmp_path / "backup")
        with pytest.raises(InputError, match="not empty: it has rules"):
            restore(tmp_path / "backup", database)
    assert everything(store) == before


@pytest.mark.parametrize("damage", ["cut", "cut at a line", "flipped", "row gone", "no backup", "newer"])
def test_a_file_that_is_not_what_was_written_restores_nothing(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "backup"
    with closing(Database(f"sqlite:///{tmp_path}/one.db")) as one:
        fill(FeedbackStore(one))
        back_up(one, file)
    data, written = file.read_bytes(), lines(file)
    newer = json.loads(written[0]) | {"schema": "9999"}
    file.write_bytes(
        {
            "cut": data[:-30],
            "cut at a line": gzip.compress(b"".join(written[:-1])),
            "flipped": data[:200] + bytes([data[200] ^ 1]) + data[201:],
            "row gone": gzip.compress(b"".join(written[:3] + written[4:])),
            "no backup": b"something else",
            "newer": gzip.compress(_signed([json.dumps(newer).encode() + b"\n", *written[1:-1]])),
        }[damage]
    )
    with closing(Database(f"sqlite:///{tmp_path}/other.db")) as other:
        with pytest.raises((DamagedError, InputError), match="9999" if damage == "newer" else "is damaged"):
            restore(file, other)
        assert FeedbackStore(other).audit() == []


def test_a_backup_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    left, other = tmp_path / f".backup.{'0' * 32}", tmp_path / ".backup.swp"
    left.touch()
    other.touch()
    with closing(Database("sqlite://")) as database:
        back_up(database, tmp_path / "backup")
    assert set(tmp_path.iterdir()) == {tmp_path / "backup", other}


def _signed(some: list[bytes]) -> bytes:
    text = b"".join(some)
    return text + json.dumps({"sha256": hashlib.sha256(text).hexdigest()}).encode() + b"\n"


def test_a_restore_that_fails_half_way_leaves_an_empty_database(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    with closing(Database(f"sqlite:///{tmp_path}/one.db")) as one:
        fill(FeedbackStore(one))
        back_up(one, file)
    written = lines(file)
    file.write_bytes(gzip.compress(_signed([*written[:-1], written[-2]])))  # one row twice
    with closing(Database(f"sqlite:///{tmp_path}/other.db")) as other:
        with pytest.raises(sa.exc.IntegrityError):
            restore(file, other)
        assert FeedbackStore(other).rules(include_past=True) == []


def test_a_backup_of_an_earlier_schema_is_restored(url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    with closing(Database(f"sqlite:///{tmp_path}/one.db")) as one:
        FeedbackStore(one).add_rule(PIN, "Maria")
        back_up(one, file)
    header, rule, entry = (json.loads(line) for line in lines(file)[:-1])
    header["schema"] = "0001"  # had no judgements
    del entry["judgement_id"], header["rows"]["judgements"]
    earlier = [json.dumps(value).encode() + b"\n" for value in (header, rule, entry)]
    file.write_bytes(gzip.compress(_signed(earlier)))
    with closing(Database(url)) as database:
        restore(file, database)
        assert [r.author for r in FeedbackStore(database).rules()] == ["Maria"]


def test_the_verbs_bring_a_shops_rules_back(tmp_path: Path) -> None:
    def run(*arguments: str) -> click.testing.Result:
        environment = {"RECSYS_WORKSPACE": str(tmp_path / "ws")}
        return click.testing.CliRunner(env=environment).invoke(main, list(arguments))

    file = str(tmp_path / "backup.gz")
    assert "There is no database of rules" in run("backup", file).stderr
    with closing(Database(f"sqlite:///{tmp_path}/ws/search.db")) as database:
        fill(FeedbackStore(database))
    assert run("backup", file).stdout.startswith("2 rules, 2 judgements, 6 audit")
    (tmp_path / "ws" / "search.db").write_bytes(b"damaged" * 1000)
    assert "recsys restore" in run("restore", file).stderr
    for path in (tmp_path / "ws").glob("search.db*"):
        path.unlink()
    assert run("restore", file).stdout.startswith("2 rules, 2 judgements, 6 audit")
    assert "not empty" in run("restore", file).stderr
    assert "cannot be written" in run("backup", str(tmp_path / "nowhere" / "b.gz")).stderr
