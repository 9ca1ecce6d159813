"""similarity_nightly: ingest, judgements → train → evaluate → embed → publish → report → monitor and scrub.

A night that brought too little to learn from (`training.retrain`) skips `train` and `evaluate`: the encoder
in service embeds what is new and is published. The parameter `force_training` trains all the same.

Every task calls one stage of ``recsys`` and returns the ref of the artifact it made; only refs travel
through XCom. Each stage finds finished work by its id, so a retried or cleared task repeats nothing.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from similarity_defaults import (
    CATALOG,
    DAG_SETTINGS,
    ENCODER,
    GPU_QUEUE,
    INDEX,
    NETWORK,
    PURE,
    WORKER,
    WRITER_POOL,
    ends_within,
    logger,
    pipeline,
    step,
)


@dag(
    schedule="0 1 * * *",
    params={
        "force_training": Param(False, type="boolean", description="Train even if there is nothing to learn.")
    },
    doc_md=__doc__,
    **ends_within(timedelta(hours=22)),
    **DAG_SETTINGS,
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

    @step(rule=PURE, timeout=timedelta(minutes=30))
    def plan_training(
        snapshot: str, champion: str | None, feedback: str, run_id: Any = None, params: Any = None
    ) -> dict[str, Any]:
        from recsys import nightly

        refs = {"snapshot": snapshot, "champion": champion, "judgements": feedback}
        manifest = nightly.plan_training(*pipeline(), refs, run_id=run_id, force=params["force_training"])
        logger.info("recsys | %s", manifest.info["sentence"])
        return {"plan": manifest.ref, "train": manifest.info["train"]}

    @step(
        rule=PURE,
        timeout=timedelta(minutes=5),
        decorator=task.short_circuit,
        ignore_downstream_trigger_rules=False,
    )
    def has_reason(train: bool) -> bool:
        return train

    @step(rule=WORKER, timeout=timedelta(hours=8), queue=GPU_QUEUE)
    def train(snapshot: str, champion: str | None, feedback: str) -> str:
        from recsys.training import run as stage

        return str(stage.run(*pipeline(), snapshot, champion, feedback).ref)

    @step(rule=WORKER, timeout=timedelta(hours=2), queue=GPU_QUEUE, outlets=[ENCODER])
    def evaluate(snapshot: str, challenger: str, champion: str | None, feedback: str) -> str:
        from recsys.evaluation import run as stage

        return str(stage.run(*pipeline(), snapshot, challenger, champion, feedback).ref)

    @step(rule=PURE, timeout=timedelta(minutes=5), trigger_rule="none_failed")  # skipped: the champion stays
    def choose(plan: str, evaluation: str | None) -> dict[str, str]:
        from recsys import nightly

        config, workspace = pipeline()
        made = workspace.get(plan)
        found = workspace.get(evaluation if made.info["train"] else made.inputs["evaluation"])
        encoder = nightly.encoder_to_serve(config, workspace, found)
        return {"challenger": found.inputs["challenger"], "evaluation": found.ref, "encoder": encoder}

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

    @step(rule=PURE, timeout=timedelta(minutes=5))
    def monitor(report: str) -> int:
        from recsys import nightly

        return int(nightly.monitor(pipeline()[1], report))

    @step(rule=PURE, timeout=timedelta(hours=4))
    def scrub() -> int:
        from recsys import nightly

        return int(nightly.scrub(*pipeline()))

    champion, snapshot, feedback = begin(), ingest(), judgements()
    champion >> [snapshot, feedback]  # where the index cannot be reached, nothing of the night is done
    training = plan_training(snapshot, champion, feedback)
    reason = has_reason(training["train"])
    challenger = train(snapshot, champion, feedback)
    reason >> challenger
    chosen = choose(training["plan"], evaluate(snapshot, challenger, champion, feedback))
    shards = embed.expand(shard=plan(snapshot, chosen["encoder"]))
    embeddings = collect(snapshot, chosen["encoder"], shards)
    publication = publish(snapshot, embeddings)
    reported = report({"snapshot": snapshot, "plan": training["plan"],
                       "challenger": chosen["challenger"], "evaluation": chosen["evaluation"],
                       "embeddings": embeddings, "publication": publication})  # fmt: skip
    monitor(reported)
    reported >> scrub()


similarity_nightly()
