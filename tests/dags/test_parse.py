"""The DAG file is thin: it parses at once, imports nothing heavy, and wires what the design says."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="module")
def parsed(harness: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return harness("parse")


def test_it_parses_in_under_a_second_without_heavy_imports(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert parsed["imported"] == []
    assert parsed["seconds"] < 1.0


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
    assert tasks["plan_training"]["after"] == ["begin", "ingest", "judgements"]
    assert tasks["has_reason"]["after"] == ["plan_training"]
    assert tasks["train"]["after"] == ["begin", "has_reason", "ingest", "judgements"]
    assert tasks["evaluate"]["after"] == ["begin", "ingest", "judgements", "train"]
    assert tasks["choose"]["after"] == ["evaluate", "plan_training"]
    assert tasks["publish"]["after"] == ["collect", "ingest"]
    assert tasks["scrub"]["after"] == ["report"]  # damage alarms, after the night's work is done


def test_the_connection_qdrant_default_holds_the_servers_address_and_key(
    harness: Callable[..., dict[str, Any]],
) -> None:
    found = harness("settings")
    assert found["nothing"] == [None, None, 6334]  # Qdrant Edge
    assert found["host"] == ["https://vectors.example:7333", "secret", 6334]
    assert found["url"] == ["http://v:1", None, 2]
    assert found["both"] == ["http://mine:6333", None, 6334]  # RECSYS_QDRANT_URL comes first
