"""The stage with real small encoders, end to end."""

import json
from pathlib import Path
from typing import Any

import pytest

from recsys.evaluation import run as stage
from recsys.workspace import Manifest, Workspace
from tests.evaluation import shop


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.good_encoder(shop.settings(), tmp_path_factory.mktemp("good") / "encoder")


class Night:
    """A workspace with the shop and three encoders."""

    def __init__(self, workspace: Workspace, good: Path, *, base: Any = None, tuned: Any = None) -> None:
        self.workspace, self.good = workspace, good
        self.snapshot = shop.snapshot(workspace)
        self.splits = shop.splits(workspace, self.snapshot)
        self.base = shop.encoder(workspace, good, "base", base, snapshot=self.snapshot)
        self.tuned = shop.encoder(
            workspace, good, "tuned", tuned, snapshot=self.snapshot, splits=self.splits, base=self.base
        )

    def run(self, champion: str | None = None, **evaluation: Any) -> tuple[Manifest, dict[str, Any]]:
        config = shop.settings(**evaluation)
        manifest = stage.run(config, self.workspace, self.snapshot, self.tuned, champion)
        path = self.workspace.path(manifest) / stage.FILE
        return manifest, json.loads(path.read_text())


def test_a_challenger_worse_by_construction_is_refused(workspace: Workspace, good: Path) -> None:
    night = Night(workspace, good, base=shop.blind, tuned=shop.blind)
    champion = shop.encoder(workspace, good, "champion", base="x", splits="x")
    manifest, record = night.run(champion)

    assert manifest.info["decision"] == "keep"
    assert manifest.info["chosen"] == champion
