"""The calls of docs/api.md, run as they stand there."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.search.query import MAX_DEPTH, MAX_EXAMPLES, MAX_IMAGES, MAX_TEXT
from recsys.serving.protocol import MAX_HEAD_BYTES
from recsys.serving.requests import MAX_FILTER_CONDITIONS, MAX_FILTER_VALUES, MAX_LIMIT
from tests.embedding.catalogs import make_image
from tests.serving.conftest import KEYS, Shop
from tests.serving.servers import served

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def url(shop: Shop) -> Iterator[str]:
    with served(shop.app(keys=KEYS)) as address:
        yield address


def code(language: str, url: str) -> str:
    """Return the page's code, for the shop of the tests."""
    found = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    text = "\n".join(found).replace("http://127.0.0.1:8000", url)
    return text.replace("P000100", "p03").replace("P000101", "p04")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "photo.jpg").write_bytes(make_image(3))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSYS_KEY", "key-ada")
    return tmp_path


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("jq"), reason="needs curl and jq")
def test_curl(url: str, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code("sh", url)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count('["p') >= 12
    assert '"encoders/e1"' in done.stdout
    assert '["ada","season"]' in done.stdout
    assert '["rule.retire","ada"]\n["rule.add","ada"]' in done.stdout
    assert '"not_similar",null]' in done.stdout
    assert "recsys_live_age_seconds " in done.stdout
    assert (folder / "p03.jpg").read_bytes().startswith(b"\xff\xd8")


def test_python(url: str, folder: Path) -> None:
    space: dict[str, Any] = {}
    exec(compile(code("python", url), str(PAGE), "exec"), space)
    assert len(space["similar"]["items"]) == 5
    assert space["similar"]["encoder"] == "encoders/e1"
    assert len(space["others"]) == 11  # all of that brand but the product itself
    assert {i["product"]["brand"] for i in space["others"]} == {"Bolt"}
    assert max(i["image_score"] for i in space["seen"]["items"]) > 0.999
    assert list(space["also_like"]) == ["p03", "p04"]
    assert space["batch"]["missing"] == ["gone"]
    assert len(space["kept"]) == 2
    with pytest.raises(RuntimeError, match="There is no product 'nope'"):
        space["call"]("GET", "/v1/products/nope")
    space["api"].close()


@pytest.mark.skipif(not shutil.which("node"), reason="there is no Node here")
def test_javascript(url: str, folder: Path) -> None:
    (folder / "api.mjs").write_text(code("js", url), encoding="utf-8")
    done = subprocess.run(
        ["node", "api.mjs"], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "RECSYS_KEY": "key-rita"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0][0] for line in lines[:5]] == ["p"] * 5
    assert lines[5].startswith("encoders/e1 [")


def test_the_page_names_the_bounds_that_hold(shop: Shop) -> None:
    settings = shop.config.search.__class__()
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", TEXT, re.MULTILINE))
    assert rows["products returned at once, and in all"] == f"{MAX_LIMIT}; {MAX_DEPTH:,}"
    assert rows["products liked, and disliked"] == f"{MAX_EXAMPLES} each"
    assert rows["images of a search"].startswith(f"{MAX_IMAGES}, ")
    assert rows["words of a search"] == f"{MAX_TEXT} characters"
    assert rows["a body"].startswith(f"{settings.max_body_bytes // 1_000_000} MB; 1 MB")
    assert rows["address and headers"] == f"{MAX_HEAD_BYTES // 1024} kB"
    assert rows["products of a batch"] == str(settings.max_batch)
    assert rows["a filter"] == f"{MAX_FILTER_CONDITIONS} conditions of {MAX_FILTER_VALUES} values"
