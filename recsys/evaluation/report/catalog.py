"""What came in and what was turned away, from a catalog snapshot.

Does not know: pages, or how feeds are read.
"""

from typing import Any

from recsys.evaluation.report import words
from recsys.workspace.snapshot import Snapshot

_ROWS_PER_SCOPE = 24


def catalog_facts(snapshot: Snapshot) -> dict[str, Any]:
    """Return counts, the change since the last snapshot, reasons and some rejected rows, as JSON."""
    info = snapshot.manifest.info
    counts = info.get("counts", {})
    rejected = snapshot.rejected()
    rows: list[dict[str, Any]] = []
    totals: dict[tuple[str, str], int] = {}
    taken: dict[str, int] = {}
    for batch in rejected.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            key = (row["scope"], row["reason"])
            totals[key] = totals.get(key, 0) + 1
            # Some of each scope, the first of every reason in any case: the page must not grow with the feed.
            if taken.get(row["scope"], 0) < _ROWS_PER_SCOPE or totals[key] == 1:
                taken[row["scope"]] = taken.get(row["scope"], 0) + 1
                rows.append(
                    {k: row[k] for k in ("id", "row", "column", "value", "reason", "message", "scope")}
                )
    reasons = [
        {"scope": scope, "reason": reason, "words": words.reason(reason), "count": number}
        for (scope, reason), number in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    ]
    return {
        "feed": info.get("feed"),
        "num_rows": counts.get("rows"),
        "num_products": counts.get("products", snapshot.num_products),
        "num_images": counts.get("images"),
        "num_with_image": counts.get("products_with_image"),
        "num_with_text": counts.get("products_with_text"),
        "num_rejected": {
            scope: sum(r["count"] for r in reasons if r["scope"] == scope) for scope in words.SCOPES
        },
        "diff": info.get("diff", {}),
        "reasons": reasons,
        "rejected": rows,
        "num_rejected_rows": rejected.num_rows,
    }
