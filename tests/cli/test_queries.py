"""The verbs that search and show, their options, and what a wrong call says."""

import errno
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner, Result

from recsys.cli import main
from recsys.errors import TransientError
from tests.cli.conftest import Cli
from tests.training.shop import image

pytestmark = pytest.mark.usefixtures("night")


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_similar_lists_products_with_their_scores(cli: Cli) -> None:
    found = rows(cli("similar", "p00", "--limit", "5", "--image-weight", "0.3", "--json"))
    assert len(found) == 5
    assert "p00" not in [row["id"] for row in found]
    for row in found:
        assert row["score"] == pytest.approx(0.3 * row["image_score"] + 0.7 * row["text_score"], abs=1e-4)
    lines = cli("similar", "p00", "--limit", "5", "--image-weight", "0.3").stdout.splitlines()
    assert [line.split()[3] for line in lines[1:]] == [row["id"] for row in found]
    assert found[0]["payload"]["title"] in lines[1]


def test_search_takes_words_an_image_or_both(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(image("red", 0, 0))
    words = rows(cli("search", "--text", "red thing", "--json"))
    seen = rows(cli("search", "--image", str(path), "--image-weight", "1", "--limit", "1", "--json"))
    both = rows(cli("search", "--text", "red thing 0 0", "--image", str(path), "--json"))
    assert len(words) == len(both) == 10
    assert seen[0]["image_score"] == pytest.approx(1, abs=1e-3)
    assert "id, title" in cli("search", "--text", "red thing").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["similar", "nope"], 1, "There is no product 'nope'"),
        (["search"], 1, "Nothing to search for"),
        (["search", "--image", __file__], 1, "image"),
        (["search", "--text", "x" * 501], 1, "501 characters"),
        (["search", "--image", "nowhere.jpg"], 2, "'nowhere.jpg' does not exist"),
        (["similar", "p00", "--limit", "0"], 2, "--limit"),
        (["similar", "p00", "--image-weight", "1.5"], 2, "--image-weight"),
        (["similar"], 2, "PRODUCT_ID"),
        (["serve", "--port", "70000"], 2, "--port"),
        (["serve", "--host", "0.0.0.0"], 1, "need no key"),
        (["key"], 2, "--name"),
        (["key", "--name", "x", "--role", "owner"], 2, "--role"),
        (["nothing"], 2, "No such command"),
    ],
)
def test_a_wrong_call_says_why(cli: Cli, arguments: list[str], code: int, says: str) -> None:
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


def test_a_wrong_configuration_names_its_key(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("[search]\nport = -1\n")
    for arguments in (["status"], ["config"]):
        result = CliRunner().invoke(main, ["--config", str(path), *arguments])
        assert result.exit_code == 1
        assert "search.port" in result.stderr
    result = CliRunner().invoke(main, ["--config", str(tmp_path / "none.toml"), "status"])
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)


def test_a_failure_that_a_retry_can_help_has_its_own_exit_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise TransientError("The server is silent.", fix="Try again.")

    monkeypatch.setattr("recsys.index.status", busy)
    assert cli("status").exit_code == 75


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), sqlite3.OperationalError("database or disk is full")],
)
def test_a_full_disk_is_an_error_and_no_traceback(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("recsys.index.status", mock.Mock(side_effect=error))
    done = cli("status")
    assert (done.exit_code, done.stderr.splitlines()[0]) == (75, f"error: A disk is full: {error}.")
    assert "docs/operations.md" in done.stderr


def test_config_shows_settings_without_secrets(shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "hidden")
    monkeypatch.setenv("RECSYS_DATABASE_URL", "postgresql+psycopg://maria:hid%2Fden@db:5432/recsys")
    result = cli("config")
    assert "hidden" not in result.stdout
    assert "hid%2Fden" not in result.stdout
    shown = json.loads(result.stdout)
    assert shown["search"]["database"] == "postgresql+psycopg://maria:***@db:5432/recsys"
    assert shown["encoder"]["dim"] == 16


def test_a_key_comes_with_what_the_configuration_needs(cli: Cli) -> None:
    made = json.loads(cli("key", "--name", "shop", "--role", "admin", "--json").stdout)
    assert (made["name"], made["role"], len(made["sha256"])) == ("shop", "admin", 64)
    assert '[[search.keys]]\nname = "shop"\nrole = "read"\n' in cli("key", "--name", "shop").stdout


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [(["--help"], ("numpy", "pydantic", "torch")), (["similar", "p00"], ("torch",))],
    ids=["help", "similar"],
)
def test_light_verbs_import_nothing_heavy(shop: Path, arguments: list[str], absent: tuple[str, ...]) -> None:
    code = (
        "import sys; from recsys.cli import main; main(sys.argv[1:], standalone_mode=False); "
        f"sys.exit(', '.join(sys.modules.keys() & {set(absent)!r}) or None)"
    )
    command = [sys.executable, "-c", code, "--config", str(shop), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
