"""housekeeping: every week, audit the live index, repair it, and delete what nothing needs any more.

`audit` is red where the index was wrong, also when it is repaired. `recsys housekeeping` says before what
would go; see docs/operations.md. Both take turns with what publishes.
"""

from datetime import timedelta

from airflow.sdk import dag
from similarity_defaults import DAG_SETTINGS, NETWORK, PURE, WRITER_POOL, ends_within, logger, pipeline, step


@dag(schedule="0 14 * * 0", doc_md=__doc__, **ends_within(timedelta(hours=8)), **DAG_SETTINGS)  # type: ignore[untyped-decorator]
def housekeeping() -> None:
    """Two tasks, of which neither waits for the other's success."""

    @step(rule=NETWORK, timeout=timedelta(hours=4), pool=WRITER_POOL)
    def audit() -> None:
        from recsys import nightly

        nightly.audit_and_repair(*pipeline())

    @step(rule=PURE, timeout=timedelta(hours=4), pool=WRITER_POOL)
    def delete() -> int:
        from recsys import nightly

        deleted = nightly.housekeeping(*pipeline(), delete=True)
        size_bytes = sum(item.size_bytes for item in deleted)
        logger.info("recsys | deleted %d things, %d bytes", len(deleted), size_bytes)
        return len(deleted)

    audit()
    delete()


housekeeping()
