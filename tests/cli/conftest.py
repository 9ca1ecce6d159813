"""A night of a tiny shop, run verb by verb through the command line, and its HTTP service."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest
from starlette.testclient import TestClient

from recsys import config
from recsys.cli import main
from recsys.workspace import open_workspace
from recsys.workspace.product import MAX_ID_LENGTH
from tests.training.shop import COLORS, image

Cli = Callable[..., click.testing.Result]
NIGHT = ("ingest", "judgements", "train", "evaluate", "embed", "publish", "report")
LONGEST_ID = "𝕏" * MAX_ID_LENGTH
"""Characters of four bytes each, as many as an id may have."""


@pytest.fixture(scope="session")
def shop(text_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration file of a shop whose encoder trains in a second; nothing has run yet."""
    folder = tmp_path_factory.mktemp("shop")
    columns = ("id", "title", "product_type", "brand", "item_group_id", "image_link")
    with (folder / "feed.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for i, id in enumerate([*(f"p{i:02d}" for i in range(79)), LONGEST_ID, LONGEST_ID + "𝕏"]):
            color, group, variant = list(COLORS)[i // 20 % 4], i // 2 % 10, i % 2
            (folder / f"{i}.jpg").write_bytes(image(color, group, variant))
            title, brand = f"{color} thing {group} {variant}", ("Acme", "Bolt")[group % 2]
            writer.writerow((id, title, color, brand, f"{color}-{group}", f"{i}.jpg"))
    path = folder / "shop.toml"
    path.write_text(
        f"""
[workspace]
root = "workspace"
[catalog]
feed = "feed.csv"
[encoder]
dim = 16
text_parts = ["{{title}}"]
[encoder.image]
kind = "small"
image_size = 32
[encoder.text]
name = "{text_model}"
[training]
max_epochs = 1
epoch_steps = 2
num_workers = 0
[training.sampler]
batch_size = 16
items_per_class = 2
[training.split]
phash_distance = -1
[embedding]
device = "cpu"
num_workers = 0
"""
    )
    return path


@pytest.fixture(scope="session")
def cli(shop: Path) -> Cli:
    """Run a verb with the shop's configuration."""

    def run(*arguments: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(main, ["--config", str(shop), *arguments])

    return run


@pytest.fixture(scope="session")
def night(cli: Cli) -> dict[str, click.testing.Result]:
    """The results of one night's verbs."""
    return {verb: cli(verb) for verb in NIGHT}


@pytest.fixture(scope="session")
def client(shop: Path, night: object) -> Iterator[TestClient]:
    """A program that asks the HTTP service over what the night published."""
    from recsys.serving.run import open_app

    loaded = config.load(shop)
    app = open_app(loaded, open_workspace(loaded))
    with TestClient(app, base_url="http://localhost") as opened:
        yield opened
