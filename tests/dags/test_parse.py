"""DAG files are thin: they parse at once, import nothing heavy, and wire what the design says."""

import json
from collections.abc import Callable
from typing import Any

import pytest


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
    assert all(task["timeout"] and task["retries"] >= 1 for task in tasks.values())
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
    assert all(task["timeout"] and task["retries"] >= 1 for task in tasks.values())


def test_a_rollback_waits_for_the_writers_slot_and_for_no_gpu(parsed: dict[str, Any]) -> None:
    (task,) = parsed["tasks"]["index_rollback"].values()
    assert (task["pool"], task["queue"], task["outlets"]) == ("index_writer", "default", ["index"])
    assert task["timeout"]


def test_housekeeping_takes_turns_with_what_publishes(parsed: dict[str, Any]) -> None:
    tasks = parsed["tasks"]["housekeeping"]
    assert list(tasks) == ["audit", "delete"]
    for task in tasks.values():
        assert (task["pool"], task["queue"], task["timeout"]) == ("index_writer", "default", True)
        assert task["after"] == []  # a wrong index keeps nobody from making room


def test_every_dag_runs_once_at_a_time_ends_some_day_and_calls_the_alarms_that_are_configured(
    parsed: dict[str, Any], harness: Callable[..., dict[str, Any]]
) -> None:
    schedules = {name: dag.pop("schedule") for name, dag in parsed["dags"].items()}
    assert schedules == {
        "similarity_nightly": "0 1 * * *", "catalog_refresh": "*/15 * * * *", "index_rollback": None,
        "housekeeping": "0 14 * * 0",
    }  # fmt: skip
    quiet = {"timeout": True, "runs_at_once": 1, "alarms": []}
    assert parsed["dags"] == dict.fromkeys(schedules, quiet)
    mail = {"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", "to": "shop@example.org"}
    alarmed = harness("parse", RECSYS_ALARMS=json.dumps([mail]))
    assert [dag["alarms"] for dag in alarmed["dags"].values()] == [["SmtpNotifier"]] * 4


def test_the_connection_qdrant_default_holds_the_servers_address_and_key(
    harness: Callable[..., dict[str, Any]],
) -> None:
    found = harness("settings")
    assert found["nothing"] == [None, None, 6334]  # Qdrant Edge
    assert found["host"] == ["https://vectors.example:7333", "secret", 6334]
    assert found["url"] == ["http://v:1", None, 2]
    assert found["both"] == ["http://mine:6333", None, 6334]  # RECSYS_QDRANT_URL comes first
