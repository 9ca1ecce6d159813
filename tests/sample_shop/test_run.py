import csv
import multiprocessing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from examples.sample_shop import run as door
from examples.sample_shop.run import run
from recsys.errors import InputError

SMALL: dict[str, Any] = {"image_size": 48}


def feed(folder: Path) -> list[dict[str, str]]:
    with (folder / "feed.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sound(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of real products, the first of each id."""
    result: dict[str, dict[str, str]] = {}
    for entry in feed(folder):
        if entry["id"].startswith("P"):
            result.setdefault(entry["id"], entry)
    return result


def images(entry: dict[str, str]) -> list[str]:
    return [p for p in (entry["image_link"], *entry["additional_image_link"].split(",")) if p]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    run(folder, num_products=14, **SMALL)
    return folder


def test_the_feed_names_images_that_open(shop: Path) -> None:
    rows = sound(shop)
    assert len(rows) == 14
    for entry in rows.values():
        assert 1 <= len(images(entry)) <= 3
        for name in images(entry):
            image = cv2.imread(str(shop / name))
            assert image is not None
            assert image.shape == (48, 48, 3)
            assert image.std() > 3


def test_product_k_does_not_depend_on_how_many_there_are(shop: Path, tmp_path: Path) -> None:
    run(tmp_path, num_products=9, **SMALL)
    many, few = sound(shop), sound(tmp_path)
    for id, entry in few.items():
        assert entry == many[id]
        for name in images(entry):
            assert (tmp_path / name).read_bytes() == (shop / name).read_bytes()


def test_running_again_draws_nothing_and_changes_nothing(shop: Path) -> None:
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in shop.rglob("*.jpg")}
    text = (shop / "feed.csv").read_bytes()
    assert run(shop, num_products=14, **SMALL)["drawn"] == 0
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in shop.rglob("*.jpg")} == before
    assert (shop / "feed.csv").read_bytes() == text


def test_the_next_night_touches_one_product_in_a_hundred(tmp_path: Path) -> None:
    run(tmp_path, num_products=600, max_images=0, **SMALL)
    first = sound(tmp_path)
    result = run(tmp_path, num_products=600, night=2, max_images=0, **SMALL)
    second = sound(tmp_path)
    assert len(second.keys() - first.keys()) == len(first.keys() - second.keys()) == 1
    reworded = [id for id in first.keys() & second.keys() if first[id]["title"] != second[id]["title"]]
    repriced = [id for id in first.keys() & second.keys() if first[id]["price"] != second[id]["price"]]
    assert len(reworded) <= 1
    assert len(repriced) == result["changed"]["offer"] == 2
    for id in repriced:
        assert second[id]["updated_at"] > first[id]["updated_at"]


def test_a_new_image_has_a_new_name_and_only_it_is_drawn(tmp_path: Path) -> None:
    run(tmp_path, num_products=24, max_images=1, **SMALL)
    first, night, drawn = sound(tmp_path), 1, 0
    while drawn == 0 or set(sound(tmp_path)) != set(first):  # a night of 24 products changes one of them
        night += 1
        first = sound(tmp_path)
        drawn = run(tmp_path, num_products=24, night=night, max_images=1, **SMALL)["drawn"]
        assert night < 40
    changed = [id for id, entry in sound(tmp_path).items() if entry["image_link"] != first[id]["image_link"]]
    assert changed
    assert drawn == 1


def test_the_broken_rows_are_what_they_say(shop: Path) -> None:
    rows = feed(shop)
    assert len(rows) - len({r["id"] for r in rows}) == 1
    by_id = {r["id"]: r for r in rows}
    assert not by_id["X000001"]["title"] + by_id["X000001"]["image_link"]
    with Image.open(shop / by_id["X000002"]["image_link"]) as cut, pytest.raises(OSError, match="truncated"):
        cut.load()
    with pytest.raises(UnidentifiedImageError):
        Image.open(shop / by_id["X000005"]["image_link"])
    assert not (shop / by_id["X000006"]["image_link"]).exists()
    assert (shop / by_id["X000004"]["image_link"]).resolve() == Path("/etc/passwd")
    assert (shop / by_id["X000007"]["image_link"]).stat().st_size == 0
    assert by_id[""]["title"]
    with Image.open(shop / by_id["X000009"]["image_link"]) as cutout:
        assert cutout.mode == "RGBA"
    with Image.open(shop / by_id["X000010"]["image_link"]) as sideways:
        assert sideways.getexif()[0x0112] == 6


def test_the_turned_image_stands_upright_by_its_tag(shop: Path) -> None:
    upright = cv2.imread(str(shop / "images/odd/turned.jpg"))
    original = cv2.imread(str(shop / images(next(iter(sound(shop).values())))[0]))
    assert upright is not None
    assert original is not None
    assert np.abs(upright.astype(int) - original).mean() < 3


def test_another_seed_or_size_draws_anew(tmp_path: Path) -> None:
    run(tmp_path, num_products=2, max_images=1, **SMALL)
    old = {p.name: p.read_bytes() for p in tmp_path.glob("images/*/P*.jpg")}
    result = run(tmp_path, num_products=2, max_images=1, seed=9, **SMALL)
    new = {p.name: p.read_bytes() for p in tmp_path.glob("images/*/P*.jpg")}
    assert result["drawn"] == len(new)
    assert not {name for name in new if old.get(name) == new[name]}


def test_workers_draw_what_one_process_draws(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_ALONE", 4)
    monkeypatch.setattr(door, "_cores", lambda: 2)
    run(tmp_path, num_products=6, **SMALL)
    drawn = list(tmp_path.glob("images/*/P*.jpg"))
    assert len(drawn) > 8
    for path in drawn:
        assert path.read_bytes() == (shop / path.relative_to(tmp_path)).read_bytes()
    assert not multiprocessing.active_children()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    "wrong", [{"num_products": 0}, {"night": 0}, {"image_size": 8}, {"max_images": 4}, {"seed": -1}]
)
def test_numbers_out_of_range_are_refused_with_the_range(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        run(tmp_path, **wrong)
    assert not list(tmp_path.iterdir())
