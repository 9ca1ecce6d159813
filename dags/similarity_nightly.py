"""similarity_nightly: ingest, judgements → train → evaluate and gate → embed shards → publish → report.

Every task calls one stage of ``recsys`` and returns the ref of the artifact it made; only refs travel
through XCom. Each stage finds finished work by its id, so a retried or cleared task repeats nothing.
"""

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import dag
from similarity_defaults import (
    CATALOG,
    ENCODER,
    GPU_QUEUE,
    INDEX,
    NETWORK,
    PURE,
    WORKER,
    WRITER_POOL,
    pipeline,
    step,
)


@dag(
    schedule="0 1 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["recsys"],
    doc_md=__doc__,
)  # type: ignore[untyped-decorator]
def similarity_nightly() -> None:
    """Wire the nightly run."""

    @step(rule=PURE, timeout=timedelta(minutes=5))
    def begin(run_id: Any = None) -> str | None:
        from recsys import nightly

        return nightly.champion_at_start(*pipeline(), run_id)

    @step(rule=NETWORK, timeout=timedelta(hours=4), outlets=[CATALOG])
    def ingest() -> str:
        from recsys.catalog import run as stage

        return str(stage.run(*pipeline()).ref)

    @step(rule=NETWORK, timeout=timedelta(minutes=15))
    def judgements() -> str:
        from recsys.feedback import run as stage

        return str(stage.run(*pipeline()).ref)

    @step(rule=WORKER, timeout=timedelta(hours=8), queue=GPU_QUEUE)
    def train(snapshot: str, champion: str | None, feedback: str) -> str:
        from recsys.training import run as stage

        return str(stage.run(*pipeline(), snapshot, champion, feedback).ref)

    @step(rule=WORKER, timeout=timedelta(hours=2), queue=GPU_QUEUE, outlets=[ENCODER])
    def evaluate(snapshot: str, challenger: str, champion: str | None, feedback: str) -> dict[str, str]:
        from recsys.evaluation import run as stage

        manifest = stage.run(*pipeline(), snapshot, challenger, champion, feedback)
        return {"evaluation": manifest.ref, "encoder": manifest.info["chosen"]}

    @step(rule=PURE, timeout=timedelta(minutes=30))
    def plan(snapshot: str, encoder: str) -> list[dict[str, Any]]:
        from recsys.embedding import run as stage

        return list(stage.plan(*pipeline(), snapshot, encoder))

    @step(rule=WORKER, timeout=timedelta(hours=2), queue=GPU_QUEUE, max_active_tis_per_dagrun=8)
    def embed(shard: dict[str, Any]) -> str:
        from recsys.embedding import run as stage

        return str(stage.embed_shard(*pipeline(), shard))

    @step(rule=PURE, timeout=timedelta(minutes=30), trigger_rule="none_failed")  # no shard: nothing changed
    def collect(snapshot: str, encoder: str, shards: list[str]) -> str:
        from recsys.embedding import run as stage

        return str(stage.collect(*pipeline(), snapshot, encoder, list(shards or [])).ref)

    @step(rule=NETWORK, timeout=timedelta(hours=4), pool=WRITER_POOL, outlets=[INDEX])
    def publish(snapshot: str, embeddings: str, run_id: Any = None) -> str:
        from recsys import nightly

        return str(nightly.publish_once(*pipeline(), run_id, snapshot, embeddings).ref)

    @step(rule=PURE, timeout=timedelta(minutes=30))
    def report(refs: dict[str, str], run_id: Any = None) -> str:
        from recsys import nightly

        return str(nightly.write_report(*pipeline(), run_id, refs).ref)

    champion, snapshot, feedback = begin(), ingest(), judgements()
    challenger = train(snapshot, champion, feedback)
    evaluation = evaluate(snapshot, challenger, champion, feedback)
    shards = embed.expand(shard=plan(snapshot, evaluation["encoder"]))
    embeddings = collect(snapshot, evaluation["encoder"], shards)
    publication = publish(snapshot, embeddings)
    report({"snapshot": snapshot, "challenger": challenger, "evaluation": evaluation["evaluation"],
            "embeddings": embeddings, "publication": publication})  # fmt: skip


similarity_nightly()
