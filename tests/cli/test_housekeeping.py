"""After housekeeping a shop goes on: a refresh, a night, a rollback of either kind."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click.testing
import pytest

from recsys import config, nightly
from recsys.cli import main
from recsys.workspace import Workspace, open_workspace
from recsys.workspace.holds import lift_hold
from tests.cli.conftest import NIGHT


@pytest.fixture
def copy(shop: Path, night: object, tmp_path: Path) -> tuple[Path, Callable[..., Any]]:
    """A copy of the shop after its night, and its command line, which prints JSON."""
    folder = tmp_path / "shop"
    shutil.copytree(shop.parent, folder)

    def run(*arguments: str) -> Any:
        command = ["--config", str(folder / "shop.toml"), *arguments, "--json"]
        result = click.testing.CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return folder, run


def kinds(workspace: Workspace) -> dict[str, int]:
    return {kind: len(workspace.list(kind)) for kind in ("snapshots", "embedding-sets", "embeddings")}


def test_a_shop_goes_on_after_housekeeping(copy: tuple[Path, Callable[..., Any]]) -> None:
    folder, run = copy
    loaded = config.load(folder / "shop.toml")
    workspace = open_workspace(loaded)
    first = run("status")["encoder"]
    other = next(m.ref for m in workspace.list("encoders") if m.ref != first)
    if other in run("holds"):  # whatever other tests left
        lift_hold(workspace, other)
    run("embed", "--encoder", other)
    run("publish")
    feed = (folder / "feed.csv").read_text()
    for brand in ("Coil", "Dyne", "Eon"):  # refreshes, each with a snapshot and a set
        (folder / "feed.csv").write_text(feed.replace("Acme", brand))
        run("refresh")
    before = kinds(workspace)
    assert run("housekeeping")["count"] == 0  # all is young

    later = datetime.now(UTC) + timedelta(days=40)
    found = nightly.housekeeping(loaded, workspace, delete=False, now=later)
    assert kinds(workspace) == before
    assert nightly.housekeeping(loaded, workspace, delete=True, now=later) == found
    assert {"snapshots", "embedding-sets"} <= {item.kind for item in found}
    assert nightly.housekeeping(loaded, workspace, delete=True, now=later) == []

    back = run("rollback")  # brought up to today's catalog
    assert (back["encoder"], back["audit"]["checks"]["encoded anew"]) == (first, "ok")
    lift_hold(workspace, other)
    nightly.housekeeping(loaded, workspace, delete=True, now=later)
    assert run("rollback", "--as-it-was")["encoder"] == other
    lift_hold(workspace, first)
    nightly.housekeeping(loaded, workspace, delete=True, now=later)
    (folder / "feed.csv").write_text(feed + "p99,red thing 3 1,red,Acme,red-3,1.jpg\n")
    assert {verb: bool(run(verb)) for verb in NIGHT} == dict.fromkeys(NIGHT, True)
    assert run("status")["num_products"] == 81
    assert run("scrub")["damaged"] == {}
