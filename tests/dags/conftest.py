"""An Airflow of the tests' own, and the harness as a subprocess."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Airflow home with a migrated database and the writer's pool, copied for each run."""
    home = tmp_path_factory.mktemp("airflow")
    environment = _environment(home)
    for command in (["db", "migrate"], ["pools", "set", "index_writer", "1", "one writer"]):
        subprocess.run(
            [sys.executable, "-m", "airflow", *command], env=environment, check=True, capture_output=True
        )
    return home


@pytest.fixture(scope="session")
def harness(airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Run the harness in a fresh process; returns what it printed."""

    def run(what: str, **variables: str) -> dict[str, Any]:
        home = tmp_path_factory.mktemp(f"airflow-{what}") / "home"
        shutil.copytree(airflow_home, home)
        done = subprocess.run(
            [sys.executable, "-m", "tests.dags.harness", what],
            env={**_environment(home), **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        result["log"] = done.stdout
        return result

    return run


def _environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "RECSYS"))}
    return kept | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",  # not the copied airflow.cfg's
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
