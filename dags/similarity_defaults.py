"""What every DAG of the pipeline shares: the step decorator, retry rules, timeouts, pool and Assets.

Heavy imports happen inside tasks: the DAG processor parses these files every few seconds.
"""

import functools
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, task
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


def step(*, rule: dict[str, Any], timeout: timedelta, **settings: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a task of a function, with its retry rule and timeout; errors no retry can help fail at once."""

    def decorate(function: Callable[..., Any]) -> Any:
        @task(execution_timeout=timeout, **rule, **settings)  # type: ignore[untyped-decorator]
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            from recsys.errors import RecsysError

            name, started = function.__name__, time.monotonic()
            logger.info("night | %s ...", name)
            try:
                result = function(*args, **kwargs)
            except RecsysError as error:
                logger.error("night | %s failed: %s", name, error)
                if error.retryable:
                    raise
                raise AirflowFailException(str(error)) from error
            logger.info("night | %s done in %.1f s", name, time.monotonic() - started)
            return result

        return run

    return decorate


def pipeline() -> tuple[Any, Any]:
    """Return ``(config, workspace)`` as ``RECSYS_CONFIG`` and the environment describe them."""
    from recsys import config, workspace

    loaded = config.load()
    return loaded, workspace.open_workspace(loaded)
