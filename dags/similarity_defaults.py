"""What all DAGs share: the step decorator, retry rules, pool, Assets, configuration.

Heavy imports happen inside tasks: the DAG processor parses these files every few seconds.
"""

import functools
import json
import logging
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from airflow.sdk import (  # type: ignore[attr-defined]  # which its stub leaves out
    Asset,
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
    task,
)
from airflow.sdk.exceptions import AirflowFailException

CATALOG = Asset(name="catalog", uri="recsys://catalog")
ENCODER = Asset(name="encoder", uri="recsys://encoder")
INDEX = Asset(name="index", uri="recsys://index")

GPU_QUEUE = "gpu"
"""Train and embed run where the accelerators are; executors without queues ignore it."""

WRITER_POOL = "index_writer"
"""One slot: two writers would race for the alias."""

NETWORK = {"retries": 4, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": 2.0}
"""Feeds and image servers fail for minutes at a time; finished images are kept, so a retry is cheap."""

WORKER = {"retries": 2, "retry_delay": timedelta(minutes=2)}
"""A GPU worker can be taken away; training resumes from its checkpoint, a shard starts again."""

PURE = {"retries": 2, "retry_delay": timedelta(seconds=30)}
"""The same inputs give the same error: retries are for a killed worker, or an Airflow just starting."""

logger = logging.getLogger("similarity")


def alarms() -> list[tuple[Any, dict[str, Any]]]:
    """Return the notifiers to call, and their arguments, as ``RECSYS_ALARMS`` lists them in JSON.

    ``[{"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", "to": "shop@example.org"}]``:
    any of Airflow's notifiers, with its arguments.
    """
    found = []
    for arguments in json.loads(os.environ.get("RECSYS_ALARMS") or "[]"):
        module, _, name = arguments.pop("notifier").rpartition(".")
        found.append((getattr(import_module(module), name), arguments))
    return found


ALARMS = alarms()
DAG_SETTINGS: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1),
    "catchup": False,
    "max_active_runs": 1,
    "tags": ["recsys"],
    "on_failure_callback": [notifier(**arguments) for notifier, arguments in ALARMS] or None,
}
"""Of every DAG; each :func:`ends_within` some time besides."""


def ends_within(timeout: timedelta) -> dict[str, Any]:
    """Return a DAG's time limit: a task whose pool does not exist waits for ever.

    The alarms are called too when half of it is over since the run was queued. The triggerer calls them: an
    executor that cannot (``SyncCallback``) raises in the scheduler's loop.
    """
    late = [
        DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, timeout / 2, AsyncCallback(notifier, arguments))
        for notifier, arguments in ALARMS
    ]
    return {"dagrun_timeout": timeout, "deadline": late or None}


def step(
    *, rule: dict[str, Any], timeout: timedelta, decorator: Any = task, **settings: Any
) -> Callable[[Callable[..., Any]], Any]:
    """Make a task of a function, with its retry rule and timeout. An error that no retry helps is final."""

    def decorate(function: Callable[..., Any]) -> Any:
        @decorator(execution_timeout=timeout, **rule, **settings)  # type: ignore[untyped-decorator]
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            from recsys.errors import RecsysError

            name, started = function.__name__, time.monotonic()
            logger.info("recsys | %s ...", name)
            try:
                result = function(*args, **kwargs)
            except RecsysError as error:
                logger.error("recsys | %s failed: %s", name, error)
                if error.retryable:
                    raise
                raise AirflowFailException(str(error)) from error
            logger.info("recsys | %s done in %.1f s", name, time.monotonic() - started)
            return result

        return run

    return decorate


def pipeline() -> tuple[Any, Any]:
    """Return ``(config, workspace)`` as ``RECSYS_CONFIG`` and the environment describe them.

    Where neither they nor ``RECSYS_QDRANT_URL`` name a Qdrant server, the Airflow connection
    ``qdrant_default`` does, if there is one; without any, the index is Qdrant Edge.
    """
    from recsys import config, workspace

    loaded = config.load()
    if not loaded.index.url:
        loaded = loaded.model_copy(update={"index": _with_connection(loaded.index)})
    return loaded, workspace.open_workspace(loaded)


def _with_connection(index: Any) -> Any:
    """Return index settings with the address and the key of the connection, if there is one."""
    from airflow.providers.qdrant.hooks.qdrant import QdrantHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = QdrantHook.get_connection(QdrantHook.default_conn_name)
    except AirflowNotFoundException:
        return index
    extra = connection.extra_dejson
    scheme = "https" if extra.get("https") else "http"
    return index.model_copy(
        update={
            "url": extra.get("url") or f"{scheme}://{connection.host}:{connection.port or 6333}",
            "grpc_port": int(extra.get("grpc_port") or index.grpc_port),
            "api_key": connection.password or index.api_key,
        }
    )
