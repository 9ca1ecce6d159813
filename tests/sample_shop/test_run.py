"""A night's feed and images on the disk."""

import csv
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from examples.sample_shop import run as sample
from examples.sample_shop.run import run
from recsys.errors import InputError

SMALL: dict[str, Any] = {"image_size": 48}


def feed(folder: Path) -> list[dict[str, str]]:
    with (folder / "feed.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def products(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of real products; the second of an id is one of the broken ones."""
    return {entry["id"]: entry for entry in reversed(feed(folder)) if entry["id"].startswith("P")}


def images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("images/*/P*.jpg")}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    run(folder, num_products=14, **SMALL)
    return folder


def test_the_feed_names_images_that_open(shop: Path) -> None:
    assert len(products(shop)) == 14
    for entry in products(shop).values():
        for name in filter(None, [entry["image_link"], *entry["additional_image_link"].split(",")]):
            with Image.open(shop / name) as image:
                assert image.size == (48, 48)
                assert np.std(image) > 3


def test_running_again_draws_nothing_and_changes_nothing(shop: Path) -> None:
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in shop.rglob("*.jpg")}
    text = (shop / "feed.csv").read_bytes()
    assert run(shop, num_products=14, **SMALL)["drawn"] == 0
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in shop.rglob("*.jpg")} == before
    assert (shop / "feed.csv").read_bytes() == text


def test_the_next_night_touches_one_product_in_a_hundred(tmp_path: Path) -> None:
    run(tmp_path, num_products=600, max_images=0, **SMALL)
    first = products(tmp_path)
    assert run(tmp_path, num_products=600, night=2, max_images=0, **SMALL)["changed"]["offer"] == 2
    second = products(tmp_path)
    assert len(second.keys() - first.keys()) == len(first.keys() - second.keys()) == 1
    both = first.keys() & second.keys()
    assert sum(first[id]["title"] != second[id]["title"] for id in both) <= 1
    repriced = [id for id in both if first[id]["price"] != second[id]["price"]]
    assert len(repriced) == 2
    assert all(second[id]["updated_at"] > first[id]["updated_at"] for id in repriced)


def test_a_new_take_of_an_image_has_a_new_name_and_only_it_is_drawn(tmp_path: Path) -> None:
    run(tmp_path, num_products=20, night=6, max_images=1, **SMALL)
    before = {id: entry["image_link"] for id, entry in products(tmp_path).items()}
    # A night of 20 products changes one of them; the seventh takes a new image.
    assert run(tmp_path, num_products=20, night=7, max_images=1, **SMALL)["drawn"] == 1
    after = {id: entry["image_link"] for id, entry in products(tmp_path).items()}
    changed = {after[id] for id in after if after[id] != before[id]}
    assert len(changed) == 1
    assert "-take2" in changed.pop()


def test_the_broken_rows_are_what_they_say(shop: Path) -> None:
    rows = feed(shop)
    assert len(rows) - len({r["id"] for r in rows}) == 1
    by_id = {r["id"]: r for r in rows}
    links = {id: shop / row["image_link"] for id, row in by_id.items()}
    assert by_id[""]["title"]
    assert not by_id["X000001"]["title"] + by_id["X000001"]["image_link"]
    with Image.open(links["X000002"]) as cut, pytest.raises(OSError, match="truncated"):
        cut.load()
    assert links["X000004"].resolve() == Path("/etc/passwd")
    with pytest.raises(UnidentifiedImageError):
        Image.open(links["X000005"])
    assert not links["X000006"].exists()
    assert links["X000007"].stat().st_size == 0
    with Image.open(links["X000009"]) as cutout:
        assert cutout.mode == "RGBA"
    with Image.open(links["X000010"]) as sideways, Image.open(links["P000000"]) as original:
        assert sideways.getexif()[0x0112] == 6
        upright = np.asarray(ImageOps.exif_transpose(sideways), int)
        assert np.abs(upright - original).mean() < 3


def test_workers_draw_what_one_process_draws_however_many_products_there_are(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "_IMAGES_PER_WORKER", 4)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    run(tmp_path, num_products=6, **SMALL)
    assert products(tmp_path).items() <= products(shop).items()
    assert len(images(tmp_path)) > 4
    assert images(tmp_path).items() <= images(shop).items()
    assert not multiprocessing.active_children()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("wrong", ["num_products", "night", "image_size"])
def test_a_number_out_of_range_is_refused_with_the_range(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(InputError, match=f"{wrong} is 0"):
        run(tmp_path, **{wrong: 0})
    assert not list(tmp_path.iterdir())
