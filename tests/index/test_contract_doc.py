"""The calls of docs/index-contract.md, run as they stand there."""

import os
import re
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from recsys.config import Config
from recsys.index import open_index
from recsys.index.base import Metadata
from recsys.index.filters import AnyOf, Not, Range, category
from recsys.index.points import COLUMNS, NAMESPACE, indexed_columns
from recsys.index.run import run
from recsys.workspace import Workspace
from tests.index.catalogs import products, publish_inputs, similar
from tests.index.conftest import SERVER_URL

PAGE = Path(__file__).resolve().parents[2] / "docs" / "index-contract.md"
TEXT = PAGE.read_text(encoding="utf-8")
COUNT = 60


def blocks(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    return "\n".join(found)


@pytest.fixture
def engine() -> str:
    return "server"


@pytest.fixture
def published(config: Config, workspace: Workspace) -> str:
    run(config, workspace, *publish_inputs(workspace, products(COUNT)))
    return config.index.alias


def neighbours(config: Config, workspace: Workspace, weight: float, **options: Any) -> list[str]:
    with closing(open_index(config, workspace)) as index:
        return [n.id for n in similar(index.open(), "sku-00003", image_weight=weight, limit=5, **options)]


AFFORDABLE = (category("Home"), Range("price", lte=40))


def test_python(config: Config, workspace: Workspace, published: str) -> None:
    code = blocks("python").replace('alias = "products"', f'alias = "{published}"')
    index: Any = open_index(config, workspace)
    space: dict[str, Any] = {}
    with patch("qdrant_client.QdrantClient", lambda *args, **named: index._client):
        exec(compile(code, str(PAGE), "exec"), space)
    found = (space["live"], space["metadata"]["encoder"], space["product"].payload["title"])
    assert found == (index.live().name, "encoders/e1", "Product 3")
    assert [h.payload["id"] for h in space["similar"]] == neighbours(config, workspace, 0.5)
    weighted = list(space["similar_products"]("sku-00003", image_weight=0.8))
    assert [row[0] for row in weighted] == neighbours(config, workspace, 0.8)
    assert [row[1] for row in weighted] == pytest.approx(
        [0.8 * image_score + 0.2 * text_score for _, _, image_score, text_score in weighted], abs=1e-5
    )
    in_stock = (AnyOf("availability", ("in_stock",)), *AFFORDABLE, Not(AnyOf("brand", ("Acme",))))
    assert [row[0] for row in space["filtered"]] == neighbours(config, workspace, 0.5, filter=in_stock)
    assert len(space["found"]) == 5
    assert (space["hit"].value, space["hit"].count) in index.open().facet("brand")
    index.close()


def output(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_server = pytest.mark.skipif(not SERVER_URL, reason="no Qdrant server: see tests/index/qdrant.py")


@needs_server
def test_curl(config: Config, workspace: Workspace, published: str) -> None:
    script = (
        blocks("sh")
        .replace("QDRANT=http://localhost:6333", f"QDRANT={SERVER_URL}")
        .replace("ALIAS=products", f"ALIAS={published}")
    )
    printed = output("bash", "-euo", "pipefail", "-c", script)
    assert '"encoder": "encoders/e1"' in printed
    assert '"title": "Product 3"' in printed
    ids = re.findall(r'^\["(.*?)",', printed, re.MULTILINE)
    even = neighbours(config, workspace, 0.5, filter=AFFORDABLE)
    assert ids == [*even, "sku-00003", *neighbours(config, workspace, 0.8)]


@needs_server
@pytest.mark.skipif(not shutil.which("node"), reason="there is no Node here")
def test_javascript(config: Config, workspace: Workspace, published: str, tmp_path: Path) -> None:
    script = (
        blocks("js")
        .replace('qdrant = "http://localhost:6333"', f'qdrant = "{SERVER_URL}"')
        .replace('alias = "products"', f'alias = "{published}"')
    )
    file = tmp_path / "contract.mjs"
    file.write_text(script, encoding="utf-8")
    printed = output("node", str(file))
    assert "encoder: 'encoders/e1'" in printed
    assert "title: 'Product 3'" in printed
    ids = re.findall(r"^    id: '(sku-\d+)',\n    score: ", printed, re.MULTILINE)
    assert ids == neighbours(config, workspace, 0.8, filter=AFFORDABLE)


def test_every_column_and_key_is_described() -> None:
    described = set(re.findall(r"`([a-z_]+)`", TEXT))
    assert set(Metadata.__dataclass_fields__) <= described
    stored = {*COLUMNS, "image", "embedding_key", "row_hash", "has_image", "has_text", "modalities"}
    internal = {"images", "content_hash", "payload_hash"}
    assert stored - internal <= described
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    for column, kind in indexed_columns().items():
        row = next(line for line in rows if f"`{column}`" in line)
        assert f"| {kind} |" in row
    assert str(NAMESPACE) in TEXT
