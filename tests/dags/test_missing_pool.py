"""Airflow's own scheduler, with the plugin: a run without its pool fails when it starts."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.dags.conftest import ROOT, _environment


def test_a_run_whose_pool_is_missing_fails_at_once_and_goes_on_once_there_is_one(
    airflow_home: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(airflow_home, tmp_path / "home")
    environment = _environment(home) | {
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "infra" / "airflow" / "plugins"),
        "AIRFLOW__CORE__PARALLELISM": "1",
    }

    def airflow(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *command],
            env=environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        return done.stdout + done.stderr

    def found(query: str) -> list[tuple[str | None, ...]]:
        with closing(sqlite3.connect(home / "airflow.db")) as database, database:
            return database.execute(query).fetchall()

    airflow("dags", "reserialize")
    found("DELETE FROM slot_pool WHERE pool = 'index_writer'")
    found("UPDATE dag SET is_paused = 0 WHERE dag_id = 'index_rollback'")
    airflow("dags", "trigger", "index_rollback")
    said = airflow("scheduler", "--num-runs", "5")
    assert 'to fix: airflow pools set index_writer 1 "one writer of the index at a time"' in said
    assert found("SELECT state FROM dag_run") == [("failed",)]
    assert found("SELECT state FROM task_instance") == [("failed",)]
    [(note,)] = found("SELECT content FROM dag_run_note")
    assert str(note).startswith("There is no pool 'index_writer'")

    airflow("pools", "set", "index_writer", "0", "nobody's turn")  # there, and nothing is run here
    airflow("tasks", "clear", "--yes", "index_rollback")
    assert "There is no pool" not in airflow("scheduler", "--num-runs", "5")
    assert found("SELECT state FROM dag_run") == [("running",)]
    assert found("SELECT state FROM task_instance") == [("scheduled",)]
