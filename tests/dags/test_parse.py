"""DAG files are thin: they parse at once, import nothing heavy, and wire what the design says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys.catalog import run
from recsys.workspace.store import LEASE_TIMEOUT_S


@pytest.fixture(scope="module")
def parsed(harness: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return harness("parse")


def test_they_parse_in_under_a_second_each_without_heavy_imports(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert parsed["imported"] == []
    assert parsed["seconds"] / len(parsed["dags"]) < 1.0


def test_the_tasks_are_wired_as_designed(parsed: dict[str, Any]) -> None:
    tasks = parsed["tasks"]["similarity_nightly"]
    assert list(tasks) == [
        "begin",
        "ingest",
        "judgements",
        "plan_training",
        "has_reason",
        "train",
        "evaluate",
        "choose",
        "plan",
        "embed",
        "collect",
        "publish",
        "report",
        "monitor",
        "scrub",
    ]
    assert {name for name, task in tasks.items() if task["queue"] == "gpu"} == {"train", "evaluate", "embed"}
    assert {name for name, task in tasks.items() if task["pool"] == "index_writer"} == {"publish"}
    assert {name: task["outlets"] for name, task in tasks.items() if task["outlets"]} == {
        "ingest": ["catalog"],
        "evaluate": ["encoder"],
        "publish": ["index"],
    }
    assert all(task["timeout_s"] and task["retries"] >= 1 for task in tasks.values())
    for first in ("ingest", "judgements"):
        assert tasks[first]["after"] == ["begin"]
    assert tasks["plan_training"]["after"] == ["begin", "ingest", "judgements"]
    assert tasks["has_reason"]["after"] == ["plan_training"]
    assert tasks["train"]["after"] == ["begin", "has_reason", "ingest", "judgements"]
    assert tasks["evaluate"]["after"] == ["begin", "ingest", "judgements", "train"]
    assert tasks["choose"]["after"] == ["evaluate", "plan_training"]
    assert tasks["publish"]["after"] == ["collect", "ingest"]
    for alarm in ("monitor", "scrub"):  # after the night's work is done
        assert tasks[alarm]["after"] == ["report"]


def test_a_refresh_waits_for_no_gpu_and_takes_turns_with_others_that_publish(parsed: dict[str, Any]) -> None:
    tasks = parsed["tasks"]["catalog_refresh"]
    assert list(tasks) == ["serving", "ingest", "plan", "embed", "collect", "publish"]
    assert tasks["ingest"]["after"] == ["serving"]
    assert tasks["publish"]["after"] == ["collect", "ingest"]
    assert {name for name, task in tasks.items() if task["pool"] == "index_writer"} == {"publish"}
    assert {task["queue"] for task in tasks.values()} == {"default"}
    assert all(task["timeout_s"] and task["retries"] >= 1 for task in tasks.values())


def test_a_rollback_waits_for_the_writers_slot_and_for_no_gpu(parsed: dict[str, Any]) -> None:
    (task,) = parsed["tasks"]["index_rollback"].values()
    assert (task["pool"], task["queue"], task["outlets"]) == ("index_writer", "default", ["index"])
    assert task["timeout_s"]


def test_housekeeping_takes_turns_with_what_publishes(parsed: dict[str, Any]) -> None:
    tasks = parsed["tasks"]["housekeeping"]
    assert list(tasks) == ["audit", "delete"]
    for task in tasks.values():
        assert (task["pool"], task["queue"]) == ("index_writer", "default")
        assert task["after"] == []  # a wrong index keeps nobody from making room


def test_a_wait_for_a_lease_ends_with_who_has_it_and_not_with_the_tasks_timeout(
    parsed: dict[str, Any],
) -> None:
    tasks = [task | {"name": name} for dag in parsed["tasks"].values() for name, task in dag.items()]
    publishing = [task["timeout_s"] for task in tasks if task["pool"] == "index_writer"]
    assert len(publishing) == 5
    assert min(publishing) >= 2 * LEASE_TIMEOUT_S  # time to work too; deleting waits for two
    ingesting = [task["timeout_s"] for task in tasks if task["name"] == "ingest"]
    assert len(ingesting) == 2
    assert min(ingesting) >= 2 * run._LEASE_TIMEOUT_S


def test_every_dag_runs_once_at_a_time_ends_some_day_and_calls_the_alarms_that_are_configured(
    parsed: dict[str, Any], harness: Callable[..., dict[str, Any]]
) -> None:
    schedules = {name: dag.pop("schedule") for name, dag in parsed["dags"].items()}
    assert schedules == {
        "similarity_nightly": "0 1 * * *", "catalog_refresh": "*/15 * * * *", "index_rollback": None,
        "housekeeping": "0 14 * * 0",
    }  # fmt: skip
    limits = {name: dag.pop("timeout_s") for name, dag in parsed["dags"].items()}
    assert all(limits.values())
    assert parsed["dags"] == {name: {"runs_at_once": 1, "alarms": [], "late_s": []} for name in schedules}
    mail = {"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", "to": "shop@example.org"}
    alarmed = harness("parse", RECSYS_ALARMS=json.dumps([mail]))
    assert [dag["alarms"] for dag in alarmed["dags"].values()] == [["SmtpNotifier"]] * 4
    assert {name: dag["late_s"] for name, dag in alarmed["dags"].items()} == {
        name: [limit / 2] for name, limit in limits.items()
    }


def test_a_run_that_fails_or_is_late_calls_the_alarms(
    harness: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "shop.toml").write_text('[workspace]\nroot = "workspace"\n')
    said = tmp_path / "said.txt"
    alarm = {"notifier": "tests.dags.notifier.FileNotifier", "path": str(said)}
    alarm["words"] = "{{ (dag_run or dag).dag_id }}"  # as docs/operations.md says it
    settings = {"RECSYS_CONFIG": str(tmp_path / "shop.toml"), "RECSYS_ALARMS": json.dumps([alarm])}
    failed = harness("clean", TEST_DAG="index_rollback", **settings)
    assert (failed["state"], said.read_text()) == ("failed", "failed: index_rollback\n")
    said.unlink()
    late = harness("late", TEST_DAG="index_rollback", **settings)
    assert (late["late_s"], late["states"][-1]) == (3 * 3600, "success")
    assert said.read_text() == "late: index_rollback\n"


def test_the_connection_qdrant_default_holds_the_servers_address_and_key(
    harness: Callable[..., dict[str, Any]],
) -> None:
    found = harness("settings")
    assert found["nothing"] == [None, None, 6334]  # Qdrant Edge
    assert found["host"] == ["https://vectors.example:7333", "secret", 6334]
    assert found["url"] == ["http://v:1", None, 2]
    assert found["both"] == ["http://mine:6333", None, 6334]  # RECSYS_QDRANT_URL comes first
