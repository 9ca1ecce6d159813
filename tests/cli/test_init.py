"""`recsys init`: the config it writes for a feed loads, says what was found, and an ingest runs with it."""

import csv
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import config
from recsys.cli import main
from recsys.workspace import open_workspace
from recsys.workspace.snapshot import Snapshot
from tests.catalog import made_images
from tests.catalog.readers.test_shopify import EXPORT
from tests.catalog.web import Response, Web

GROUPS = 24


def run(*arguments: str | Path) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, [*map(str, arguments)])


def init(feed: str | Path, folder: Path, *options: str | Path) -> tuple[dict[str, Any], str]:
    """Return the settings that are written for ``feed``, and the whole text."""
    path = folder / "conf" / "shop.toml"
    path.parent.mkdir(exist_ok=True)
    result = run("init", feed, "--output", path, *options)
    assert result.exit_code == 0, result.stderr
    text = path.read_text()
    assert sum(not line.startswith("#") and line != "" for line in text.splitlines()) <= 60
    return tomllib.loads(text), text


def ingest(folder: Path) -> Snapshot:
    """Return what an ingest with the written config makes."""
    path = folder / "conf" / "shop.toml"
    result = run("--config", path, "ingest", "--json")
    assert result.exit_code == 0, result.stderr
    return Snapshot.open(open_workspace(config.load(path)), json.loads(result.stdout)["ref"])


def own_rows(folder: Path, num_products: int) -> list[dict[str, str]]:
    """Products of a shop with names of its own, two of each group, and their images beside the feed."""
    for i in range(num_products):
        made_images.write(folder / "photos", f"{i}.jpg", made_images.jpeg(seed=i // 2 * 2))
    return [
        {
            "sku": f"s{i}", "name": f"Mug {i // 2} red", "category": f"Home > Kind {i // 4}",
            "colour": ["red", "blue"][i % 2], "parent_id": f"g{i // 2}", "photo": f"photos/{i}.jpg",
            "split": "test" if i % 4 == 0 else "train", "note": "", "price": "4.50 EUR",
        }
        for i in range(num_products)
    ]  # fmt: skip


def write_csv(path: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: list[dict[str, str]]) -> Path:
    pq.write_table(pa.Table.from_pylist([{**row, "pixels": b"\xff\xd8"} for row in rows]), path)
    return path


@pytest.mark.parametrize("write", [write_csv, write_parquet], ids=["csv", "parquet"])
def test_a_shops_own_feed(write: Callable[[Path, list[dict[str, str]]], Path], tmp_path: Path) -> None:
    feed = write(tmp_path / "feed", own_rows(tmp_path, 4 * GROUPS))
    settings, text = init(feed, tmp_path)
    assert settings["catalog"]["feed"] == "../feed"
    assert settings["catalog"]["columns"] == {
        "id": "sku", "item_group_id": "parent_id", "image_link": "photo", "title": "name",
        "product_type": "category", "color": "colour",
    }  # fmt: skip
    assert settings["catalog"]["attributes"] == ["split"]
    assert settings["encoder"]["text_parts"] == ["{title}", "{color}"]
    assert settings["encoder"]["image"] == {"kind": "small"}
    split = {"holdout_share": 0.25, "column": "split", "train": ["train"], "test": ["test"]}
    assert settings["training"] == {"split": split}
    assert "evaluation" not in settings
    for found in (
        "; 96 rows", " cores, ", "100% of products have one, 1.0 each",
        "48 files are byte for byte another one", "48 titles repeat another one",
        "48 item groups of two or more products, with 100% of all products",
        "24 classes of 24 values", "note 0% ignored: empty", "test 24, train 72",
    ):  # fmt: skip
        assert found in re.sub(r"[\n# ]+", " ", text), text
    assert ("bytes: write images as files" in text) is (write is write_parquet)
    snapshot = ingest(tmp_path).table()
    assert len(snapshot) == 4 * GROUPS
    assert all(len(images) == 1 for images in snapshot.column("images").to_pylist())


def test_a_split_that_leaves_the_gate_nothing_is_not_taken(tmp_path: Path) -> None:
    rows = [{"id": f"p{i}", "title": f"Mug {i}", "product_type": f"Mugs {i // 4}"} for i in range(200)]
    rows = [{**row, "openset": ["train", "test"][i // 100]} for i, row in enumerate(rows)]
    settings, text = init(write_csv(tmp_path / "feed.csv", rows), tmp_path)
    assert settings["training"] == {"split": {"holdout_share": 0.15}}
    assert "The column openset divides the catalog (train 100, test 100)" in text


def test_a_feed_without_images(tmp_path: Path) -> None:
    rows = own_rows(tmp_path, 4 * GROUPS)
    feed = write_csv(
        tmp_path / "café.csv", [{**row, "name": f"Café {row['name']}", "photo": ""} for row in rows]
    )
    feed.write_bytes(feed.read_text(encoding="utf-8").encode("cp1252"))
    settings, text = init(feed, tmp_path)
    assert settings["catalog"]["encoding"] == "cp1252"
    assert settings["evaluation"] == {"image_weight": 0.0}
    assert "max_epochs" not in settings["training"]
    assert "no product has one" in text
    assert ingest(tmp_path).table().column("title")[0].as_py().startswith("Café")


def test_too_few_groups_to_train(tmp_path: Path) -> None:
    settings, text = init(write_csv(tmp_path / "feed.csv", own_rows(tmp_path, 10)), tmp_path)
    assert settings["training"]["max_epochs"] == 0
    assert "Too few groups to train: zero-shot serves" in text
    assert settings["evaluation"] == {"image_weight": 0.0}
    for verb in ("ingest", "train", "evaluate", "embed", "publish"):
        result = run("--config", tmp_path / "conf" / "shop.toml", verb)
        assert result.exit_code == 0, (verb, result.stderr, result.exception)


def test_groups_are_learnt_from_where_there_is_no_category(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "category"} for row in own_rows(tmp_path, 4 * GROUPS)]
    settings, text = init(write_csv(tmp_path / "feed.csv", rows), tmp_path)
    assert "max_epochs" not in settings["training"]
    assert "Too few groups to train" not in text


def test_names_and_values_of_a_feed_never_become_settings(tmp_path: Path) -> None:
    name = 'x"\n[search]\nport = 1 # \ud83d\x7f'
    rows = [
        {"id": f"p{i}", "title": "Mug\n[index]", name: f"[a]\n{i % 2}", "part\n": ["train\n", "test"][i % 2]}
        for i in range(8)
    ]
    (tmp_path / "feed.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings, _ = init(tmp_path / "feed.jsonl", tmp_path)
    assert settings.keys() == {"name", "workspace", "catalog", "encoder", "training", "evaluation"}
    assert settings["catalog"]["attributes"] == [name.replace("\ud83d", "?"), "part\n"]
    assert settings["training"]["split"]["column"] == "part\n"
    assert len(ingest(tmp_path).table()) == 8


def test_a_shopify_export(tmp_path: Path) -> None:
    feed = tmp_path / "products_export_1.csv"
    feed.write_text(EXPORT.replace("https://x.example/", "images/"))
    for name in ("red", "blue", "back", "mug"):
        made_images.write(tmp_path / "images", f"{name}.jpg", made_images.jpeg(seed=len(name)))
    settings, text = init(feed, tmp_path)
    assert "columns" not in settings["catalog"]
    assert '# currency = "EUR"   # say which: the price of 3 of 3 products names none' in text
    assert "shopify" in text
    assert "2 rows are not for sale" in text
    assert len(ingest(tmp_path).table()) == 3


def test_a_google_feed_over_http(web: Web, tmp_path: Path) -> None:
    item = "<item><g:id>{i}</g:id><title>Mug {i}</title><g:product_type>Mugs</g:product_type></item>"
    items = "".join(item.format(i=i) for i in range(9))
    rss = f'<rss xmlns:g="http://base.google.com/ns/1.0"><channel>{items}</channel></rss>'
    web.pages["/feed.xml"] = Response(rss.encode())
    settings, text = init(f"{web.url}/feed.xml", tmp_path)
    assert settings["catalog"] == {"feed": f"{web.url}/feed.xml"}
    assert "xml" in text
    assert len(ingest(tmp_path).table()) == 9


def test_weights_become_a_backbone_relative_to_the_config(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    weights = tmp_path / "test_efficientnet_tf2.safetensors"
    save_file(timm.create_model("test_efficientnet", pretrained=False).state_dict(), weights)
    settings, _ = init(
        write_csv(tmp_path / "feed.csv", own_rows(tmp_path, 10)), tmp_path, "--weights", weights
    )
    image = settings["encoder"]["image"]
    assert (image["kind"], image["name"]) == ("timm", "test_efficientnet")
    assert image["weights"] == "../test_efficientnet_tf2.safetensors"
    assert image["options"] == {"pad_type": "same"}
    assert image["mean"] == image["std"] == [0.5, 0.5, 0.5]


def test_the_verb_needs_no_config_and_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    feed = write_csv(tmp_path / "feed.csv", own_rows(tmp_path, 10))
    found = json.loads(run("init", feed, "--json").stdout)
    assert (found["config"], found["products"], found["trains"]) == ("recsys.toml", 10, False)
    before = (tmp_path / "recsys.toml").read_text()
    again = run("init", feed)
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)
    assert run("init", feed, "--rows", "5", "--force").exit_code == 0
    assert "the first 5 rows of a longer feed" in (tmp_path / "recsys.toml").read_text() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["feed.csv", "photos", "recsys.toml"]


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (None, [], "There is no feed at"),
        ("", [], "none can be used"),
        ('[{"id": 1}]', [], "one JSON array"),
        ("id,title\n1,Mug\n", ["--output", "nowhere/shop.toml"], "There is no folder"),
        ("id,title\n1,Mug\n", ["--backbone", "resnet18"], "Give --weights"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(
    content: str | None, options: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "feed.csv").write_text(content)
    result = run("init", "feed.csv", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr
    assert "\n  to fix: " in result.stderr
    assert not (tmp_path / "recsys.toml").exists()
