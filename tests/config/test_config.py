"""A configuration is right or says everything that is wrong."""

import tomllib
from pathlib import Path

import pytest

from infra.docs import configuration
from recsys import config
from recsys.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"


def write(folder: Path, text: str) -> Path:
    path = folder / "some.toml"
    path.write_text(text)
    return path


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "[embedding]\nbatch_size = 0\n[catalog]\nfeeed = 'x'\n")
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert "embedding.batch_size" in str(caught.value)
    assert "catalog.feeed" in str(caught.value)
    assert "2 wrong setting(s)" in str(caught.value)


def test_a_missing_file_and_bad_toml_say_what_to_do(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            config.load(path)
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.load(write(tmp_path, "[workspace\n"))


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, ""))
    assert loaded.resolve("data/feed.csv") == str(tmp_path / "data" / "feed.csv")
    assert loaded.resolve("s3://bucket/feed.csv") == "s3://bucket/feed.csv"
    assert loaded.resolve("/feed.csv") == "/feed.csv"


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "[workspace]\nroot = 'here'\n")
    monkeypatch.setenv("RECSYS_CONFIG", str(path))
    monkeypatch.setenv("RECSYS_WORKSPACE", "s3://bucket/prefix")
    monkeypatch.setenv("RECSYS_QDRANT_URL", "http://localhost:6333")
    loaded = config.load()
    assert loaded.workspace.root == "s3://bucket/prefix"
    assert loaded.index.url == "http://localhost:6333"
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setenv("RECSYS_WORKSPACE", "there")
    assert config.load().workspace.root == str(tmp_path.parent / "there")


@pytest.mark.parametrize("path", sorted(CONF.glob("*.toml")), ids=lambda p: p.stem)
def test_every_config_that_we_ship_is_short_and_says_what_is_true_of_its_catalog(path: Path) -> None:
    assert config.load(path).base_dir == CONF
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    said = tomllib.loads(text)
    assert set(said.get("training", {})) <= {"split", "labels", "pairs", "links"}  # the rest is the recipe's
    encoder = said.get("encoder", {})
    assert set(encoder) <= {"text_parts", "image", "text"}
    for tower in ("image", "text"):  # which weights they are, and how those were trained
        known = {"kind", "name", "pretrained", "weights", "options", "mean", "std"}
        assert set(encoder.get(tower, {})) <= known


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == configuration.markdown(), "run: make docs"
