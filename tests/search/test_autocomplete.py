"""Products by id and words, as one types."""

from pathlib import Path

import pytest

from recsys.search.autocomplete import Autocomplete
from recsys.workspace import Workspace
from recsys.workspace.snapshot import Snapshot
from tests.embedding.catalogs import product, sha, store_snapshot


@pytest.fixture
def snapshot(workspace: Workspace) -> Snapshot:
    rows = [
        product("B-100", title="Écru table lamp", brand="Höög", images=[1, 2]),
        product("B-101", title="Table for lamps", brand="Acme"),
        product("c_2%", title='Mug "Sable", blue', brand=None, images=[3]),
        product("lamp", title=None, brand="Bolt"),
    ]
    return Snapshot.open(workspace, store_snapshot(workspace, rows, []))


@pytest.fixture
def autocomplete(snapshot: Snapshot, tmp_path: Path) -> Autocomplete:
    return Autocomplete(tmp_path / "autocomplete" / "a.sqlite", snapshot)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "autocomplete").mkdir()


@pytest.mark.parametrize(
    ("typed", "ids"),
    [
        ("b-10", ["B-100", "B-101"]),
        ("B-101", ["B-101"]),
        ("ecru", ["B-100"]),
        ("hoo", ["B-100"]),
        ("table lam", ["B-100", "B-101"]),
        ("lamp", ["lamp", "B-100", "B-101"]),  # an id that begins so comes first
        ("blue sab", ["c_2%"]),
        ("c_2%", ["c_2%"]),
        ('"', []),
        ("mug OR table", []),
        ("NEAR(a b) *", []),
        ("", []),
        ("  ", []),
        ("nothing like it", []),
    ],
)
def test_what_is_typed_finds(autocomplete: Autocomplete, typed: str, ids: list[str]) -> None:
    found = [f.id for f in autocomplete.find(typed)]
    assert found[:1] == ids[:1]
    assert sorted(found) == sorted(ids)


def test_a_suggestion_has_what_is_shown_and_the_limit_holds(autocomplete: Autocomplete) -> None:
    (best,) = autocomplete.find("B-10", limit=1)
    assert (best.title, best.brand, best.image) == ("Écru table lamp", "Höög", sha(1).hex())
    assert autocomplete.find("B-101")[0].image is None


def test_some_have_images(autocomplete: Autocomplete) -> None:
    assert {f.id for f in autocomplete.some(10)} <= {"B-100", "c_2%"}
    assert autocomplete.some(10)
    assert autocomplete.some(10) == autocomplete.some(10)


def test_the_file_is_built_once_and_old_ones_go(snapshot: Snapshot, tmp_path: Path) -> None:
    folder = tmp_path / "autocomplete"
    Autocomplete(folder / "a.sqlite", snapshot)
    built = (folder / "a.sqlite").stat().st_ino
    Autocomplete(folder / "a.sqlite", snapshot)
    assert (folder / "a.sqlite").stat().st_ino == built
    for name in "bcd":
        Autocomplete(folder / f"{name}.sqlite", snapshot)
    assert sorted(p.name for p in folder.iterdir()) == ["b.sqlite", "c.sqlite", "d.sqlite"]
