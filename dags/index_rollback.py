"""index_rollback: back to an earlier collection, under today's catalog; the encoder it leaves is put on hold.

Trigger it by hand. What is new or changed since that collection was left is embedded under its encoder, then
the collection is audited as a build is, and the alias moves. `as_it_was` moves the alias at once, without
today's catalog and without an audit. See docs/operations.md.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag
from similarity_defaults import DAG_SETTINGS, INDEX, NETWORK, WRITER_POOL, ends_within, logger, pipeline, step


@dag(
    schedule=None,
    params={
        "collection": Param(
            None, type=["null", "string"], description="Default: the one published before the live one."
        ),
        "as_it_was": Param(False, type="boolean", description="At once, with the catalog that it showed."),
    },
    doc_md=__doc__,
    **ends_within(timedelta(hours=6)),
    **DAG_SETTINGS,
)  # type: ignore[untyped-decorator]
def index_rollback() -> None:
    """One task: what it goes back from stays what it was while it embeds, and no GPU is waited for."""

    @step(rule=NETWORK, timeout=timedelta(hours=4), pool=WRITER_POOL, priority_weight=1000, outlets=[INDEX])
    def rollback(run_id: Any = None, params: Any = None) -> str:
        from recsys import nightly

        config, workspace = pipeline()
        to, as_it_was = params["collection"] or None, params["as_it_was"]
        manifest = nightly.rollback_once(config, workspace, run_id, to, as_it_was=as_it_was)
        info = manifest.info
        logger.info("recsys | %s → %s; on hold: %s", info["alias"], info["collection"], info["held"])
        return str(manifest.ref)

    rollback()


index_rollback()
