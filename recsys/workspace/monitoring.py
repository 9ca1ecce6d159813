"""What monitoring found each night: ``info["monitoring"]`` of its report; of the last one, a pointer too.

    {"run_id", "at",                         UTC, ISO 8601
     "encoder", "embeddings", "before",      refs; ``before``: the night before's embeddings, or null
     "encoder_changed",                      since the night before; null where nothing is known of that
     "num_products", "num_new",              those looked at; the new ones of the whole catalog, or null
     "isolation_limit",                      similarity below which a product is isolated, under this encoder
     "figures": {name: {"value", "low", "high"}},   without those for which there are too few products;
                                             95% intervals, null where a figure has none
     "usual": {name: {"median", "limit"}},   of the nights before; a limit is null where they are too few
     "unusual": {name: sentence},            figures that lie above their limit, interval and all
     "alarms": [sentences],                  of those of them that were not so the night before
     "categories": {name: {"num_products", "churn"}},
     "scores": {"title", "metric", "values": {category: score}}}     of the encoder in service by the night's
                                             gate, in the first task that has some; or null

The pointer is written a moment before the report: it names what the next night compares with, so that
housekeeping keeps that.
"""

from typing import Any

from recsys.workspace.store import Workspace

POINTER = "monitoring"
Night = dict[str, Any]


def nights(workspace: Workspace, *, but: str) -> list[Night]:
    """Return what monitoring found, oldest first, once for each run but the run ``but``."""
    found: dict[str, Night] = {}
    for report in workspace.list("reports"):
        night = report.info.get("monitoring")  # none in reports of an earlier release
        if night and night["run_id"] != but:
            found[night["run_id"]] = night
    return list(found.values())
