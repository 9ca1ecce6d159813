"""catalog_refresh: every 15 minutes, ingest → embed what is new → publish, under the encoder in service.

Prices and stock embed nothing. It trains nothing and never changes the encoder: where a night did meanwhile,
the next refresh goes on with that one. Before anything was published it does nothing. It embeds little, and
without the queue `gpu`, where a night may train for hours.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task
from similarity_defaults import (
    CATALOG,
    DAG_SETTINGS,
    INDEX,
    NETWORK,
    PURE,
    WORKER,
    WRITER_POOL,
    ends_within,
    pipeline,
    step,
)


@dag(schedule="*/15 * * * *", doc_md=__doc__, **ends_within(timedelta(hours=2)), **DAG_SETTINGS)  # type: ignore[untyped-decorator]
def catalog_refresh() -> None:
    """Wire the refresh."""

    @step(
        rule=PURE,
        timeout=timedelta(minutes=5),
        decorator=task.short_circuit,
        ignore_downstream_trigger_rules=True,
    )
    def serving() -> str | None:
        from recsys import index

        return index.live_encoder(*pipeline())

    @step(rule=NETWORK, timeout=timedelta(hours=1), outlets=[CATALOG])
    def ingest() -> str:
        from recsys.catalog import run as stage

        return str(stage.run(*pipeline()).ref)

    @step(rule=PURE, timeout=timedelta(minutes=30))
    def plan(snapshot: str, encoder: str) -> list[dict[str, Any]]:
        from recsys.embedding import run as stage

        return list(stage.plan(*pipeline(), snapshot, encoder))

    @step(rule=WORKER, timeout=timedelta(hours=1), max_active_tis_per_dagrun=8)
    def embed(shard: dict[str, Any]) -> str:
        from recsys.embedding import run as stage

        return str(stage.embed_shard(*pipeline(), shard))

    @step(rule=PURE, timeout=timedelta(minutes=30), trigger_rule="none_failed")  # no shard: nothing to embed
    def collect(snapshot: str, encoder: str, shards: list[str]) -> str:
        from recsys.embedding import run as stage

        return str(stage.collect(*pipeline(), snapshot, encoder, list(shards or [])).ref)

    @step(rule=NETWORK, timeout=timedelta(hours=1), pool=WRITER_POOL, outlets=[INDEX])
    def publish(snapshot: str, embeddings: str) -> str:
        from recsys import nightly

        return str(nightly.publish(*pipeline(), snapshot, embeddings, refresh=True).ref)

    encoder, snapshot = serving(), ingest()
    encoder >> snapshot
    shards = embed.expand(shard=plan(snapshot, encoder))
    publish(snapshot, collect(snapshot, encoder, shards))


catalog_refresh()
