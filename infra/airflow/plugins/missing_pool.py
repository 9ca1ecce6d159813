"""A plugin for Airflow's scheduler: a run that needs the pool `index_writer` fails at its start without it.

Airflow keeps a task whose pool does not exist scheduled for ever, and tells neither tasks nor DAG files which
pools there are; listeners run in the scheduler, which knows. A failed run calls its alarms, and its note says
what to do. Put this file into Airflow's plugins folder; clear the run once the pool exists.
"""

import logging
import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

_POOL = "index_writer"
_MISSING = f"""There is no pool {_POOL!r}, in which this run's tasks take turns.
  to fix: airflow pools set {_POOL} 1 "one writer of the index at a time", then clear the run."""

logger = logging.getLogger(__name__)


class MissingPool(AirflowPlugin):
    """Registers this module's listener."""

    name = "missing_pool"
    listeners = [sys.modules[__name__]]  # noqa: RUF012


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """Fail the tasks that wait for the pool and skip the others, in the scheduler's own transaction."""
    from airflow.models.pool import Pool
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    tasks = dag_run.get_task_instances(session=session)
    if not any(task.pool == _POOL for task in tasks) or Pool.get_pool(_POOL, session=session):
        return
    for task in tasks:
        failed = task.pool == _POOL
        task.set_state(TaskInstanceState.FAILED if failed else TaskInstanceState.SKIPPED, session=session)
    dag_run.note = _MISSING
    logger.error("%s %s: %s", dag_run.dag_id, dag_run.run_id, _MISSING)
