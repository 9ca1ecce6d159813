"""Runs a DAG in Airflow, in this process, with faults and true clears. Run by the tests.

    python -m tests.dags.harness clean          run the night once
    python -m tests.dags.harness fail-each      every task fails once, after its work is done; each time
                                                it is cleared, as a person would in the UI
    python -m tests.dags.harness late           queue a run and let its deadline pass
    python -m tests.dags.harness parse          parse the DAG file and say what that imported
    python -m tests.dags.harness settings       the Qdrant server that tasks talk to

TEST_DAG names the DAG if it is not similarity_nightly, TEST_NIGHT the run; TEST_CONF is its conf as JSON.

Airflow's own ``dag.test`` starts a run anew each time, so it cannot show what clearing one task does; the
loop here is its loop, around a run that stays. Prints one JSON object on the last line.
"""

import asyncio
import functools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

DAGS = Path(__file__).resolve().parents[2] / "dags"


def parse() -> dict[str, Any]:
    """Parse the DAG files as the DAG processor does, Airflow itself being imported already."""
    from airflow.dag_processing.dagbag import BundleDagBag

    BundleDagBag(dag_folder="/dev/null", bundle_path=DAGS, bundle_name="warm-up")
    started = time.process_time()
    bag = BundleDagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="dags-folder")
    seconds = time.process_time() - started
    heavy = sorted(
        {"torch", "open_clip", "sentence_transformers", "lightning", "pyarrow", "numpy"} & set(sys.modules)
    )
    own = sorted(name for name in sys.modules if name.split(".")[0] == "recsys")
    tasks = {
        dag.dag_id: {
            t.task_id: {
                "queue": t.queue,
                "pool": t.pool,
                "retries": t.retries,
                "timeout_s": t.execution_timeout and t.execution_timeout.total_seconds(),
                "outlets": [o.name for o in t.outlets],
                "after": sorted(t.upstream_task_ids),
            }
            for t in dag.tasks
        }
        for dag in bag.dags.values()
    }
    errors = {str(k): str(v) for k, v in bag.import_errors.items()}
    dags = {
        dag.dag_id: {
            "schedule": dag.schedule,
            "timeout_s": dag.dagrun_timeout and dag.dagrun_timeout.total_seconds(),
            "runs_at_once": dag.max_active_runs,
            "alarms": [type(alarm).__name__ for alarm in dag.on_failure_callback or ()],
            "late_s": [alert.interval.total_seconds() for alert in dag.deadline or ()],
        }
        for dag in bag.dags.values()
    }
    return {"seconds": seconds, "imported": heavy + own, "errors": errors, "tasks": tasks, "dags": dags}


def settings() -> dict[str, Any]:
    """Return address, key and gRPC port that tasks get, by what describes the Qdrant server."""
    sys.path.insert(0, str(DAGS))
    from similarity_defaults import pipeline

    connection = "AIRFLOW_CONN_QDRANT_DEFAULT"
    environments = {
        "nothing": {},
        "host": {connection: "qdrant://:secret@vectors.example:7333/?https=true"},
        "url": {
            connection: json.dumps({"conn_type": "qdrant", "extra": {"url": "http://v:1", "grpc_port": 2}})
        },
        "both": {connection: "qdrant://vectors.example", "RECSYS_QDRANT_URL": "http://mine:6333"},
    }
    found = {}
    for name, variables in environments.items():
        os.environ.update(variables)
        index = pipeline()[0].index
        found[name] = [index.url, index.api_key, index.grpc_port]
    return found


class Faults:
    """Makes tasks of the DAG fail on demand, after they did their work."""

    def __init__(self, dag: Any) -> None:
        self.armed: set[str] = set()
        self.failed: list[str] = []
        for task in dag.tasks:
            if hasattr(task, "python_callable"):
                task.python_callable = self._wrap(task.task_id, task.python_callable)
            else:  # mapped: the callable is among the operator's partial arguments
                arguments = task.partial_kwargs
                arguments["python_callable"] = self._wrap(task.task_id, arguments["python_callable"])

    def _wrap(self, task_id: str, function: Any) -> Any:
        from airflow.sdk.exceptions import AirflowFailException

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if task_id in self.armed:
                self.armed.discard(task_id)
                self.failed.append(task_id)
                raise AirflowFailException(f"a fault after the work of {task_id}")
            return result

        return run


def count_work() -> list[str]:
    """Return a list that grows by a ref whenever a stage begins to write an artifact."""
    from recsys.workspace import Workspace

    begun: list[str] = []
    create = Workspace.create

    def counted(self: Any, kind: str, id: str, **kwargs: Any) -> Any:
        begun.append(f"{kind}/{id}")
        return create(self, kind, id, **kwargs)

    Workspace.create = counted  # type: ignore[method-assign]
    return begun


def begin_run(state: str, prepare: Callable[[Any], None] = lambda dag: None) -> tuple[Any, Any, Any, Any]:
    """Return the session, all DAGs, what the scheduler has of one, and a run of that in ``state``."""
    from airflow import settings as airflow_settings
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.sdk import timezone
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    session = airflow_settings.Session()
    manager = DagBundlesManager()
    manager.sync_bundles_to_db(session=session)
    session.commit()
    bundle = next(iter(manager.get_all_dag_bundles()))
    bundle.initialize()
    bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    sync_bag_to_db(bag, bundle.name, bundle.version)
    dag = bag.dags[os.environ.get("TEST_DAG", "similarity_nightly")]
    prepare(dag)
    scheduled = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    now, run_id = timezone.utcnow(), f"manual__{os.environ.get('TEST_NIGHT', 'the-night')}"
    conf = json.loads(os.environ.get("TEST_CONF", "{}"))
    run = scheduled.create_dagrun(
        run_id=run_id, logical_date=now, data_interval=(now, now), run_after=now, conf=conf,
        run_type=DagRunType.MANUAL, state=DagRunState(state), triggered_by=DagRunTriggeredByType.TEST,
        triggering_user_name="test", start_date=now, session=session,
    )  # fmt: skip
    session.commit()
    return session, bag, scheduled, run


def late() -> dict[str, Any]:
    """Queue a run and do what the scheduler and the triggerer do once its deadline has passed."""
    from airflow.models.deadline import Deadline
    from airflow.models.trigger import Trigger
    from airflow.triggers.callback import CallbackTrigger
    from sqlalchemy import select

    session, _, _, run = begin_run("queued")
    deadline = session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id)).one()
    late_s = (deadline.deadline_time - run.queued_at).total_seconds()
    deadline.handle_miss(session)
    session.commit()
    trigger = CallbackTrigger(**session.scalars(select(Trigger)).one().kwargs)

    async def states() -> list[str]:
        return [str(event.payload["state"]) async for event in trigger.run()]

    return {"late_s": late_s, "states": asyncio.run(states())}


def night(fail_each: bool) -> dict[str, Any]:
    """Run one night to its end; with ``fail_each`` every task fails once and is cleared."""
    import structlog
    from airflow.dag_processing.processor import _execute_dag_callbacks
    from airflow.models.dagrun import DagRun
    from airflow.sdk.definitions.dag import _run_task
    from airflow.utils.state import DagRunState, TaskInstanceState
    from sqlalchemy import select

    begun, wrapped = count_work(), []
    session, bag, scheduled, run = begin_run("running", lambda dag: wrapped.append(Faults(dag)))
    [faults], dag = wrapped, bag.dags[scheduled.dag_id]
    if fail_each:
        faults.armed = set(dag.task_ids)
    run_id = run.run_id
    deadline = time.monotonic() + 540
    while time.monotonic() < deadline:
        session.close()  # tasks and clears use the session of the thread as well: look at the run anew
        run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        run.dag = scheduled
        ready, request = run.update_state(session=session, execute_callbacks=False)
        if request is not None:
            _execute_dag_callbacks(bag, request, structlog.get_logger())  # as the DAG processor does
        for instance in ready:
            instance.try_number += 1
            instance.state = TaskInstanceState.SCHEDULED
        session.commit()
        for instance in [
            t for t in run.get_task_instances(session=session) if t.state == TaskInstanceState.SCHEDULED
        ]:
            _run_task(ti=instance, task=dag.task_dict[instance.task_id])
        session.close()
        run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        if run.state == DagRunState.FAILED and fail_each:
            scheduled.clear(
                run_id=run.run_id, only_failed=True, dag_run_state=DagRunState.RUNNING, session=session
            )
            session.commit()
        elif run.state != DagRunState.RUNNING:
            break
    instances = run.get_task_instances(session=session)
    tasks = Counter(instance.task_id for instance in instances)
    skipped = sorted(
        instance.task_id for instance in instances if instance.state == TaskInstanceState.SKIPPED
    )
    return {
        "state": str(run.state), "failed": faults.failed, "begun": begun, "tasks": tasks, "skipped": skipped,
    }  # fmt: skip


if __name__ == "__main__":
    commands: dict[str, Callable[[], dict[str, Any]]] = {
        "parse": parse,
        "settings": settings,
        "late": late,
        "clean": functools.partial(night, fail_each=False),
        "fail-each": functools.partial(night, fail_each=True),
    }
    sys.stdout.write("\n" + json.dumps(commands[sys.argv[1]]()) + "\n")
