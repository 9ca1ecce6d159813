"""Monitoring: tonight's figures against those of the nights before, and which are unusual.

A figure is unusual where all of its interval lies above its limit: one from the config, or the median of
earlier nights plus ``monitoring.tolerance`` standard deviations, these by the median absolute deviation, so
that an unusual night among them does not hide the next one. Churn is compared with nights on which the
encoder changed if it did tonight, and else with the others.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recsys.config import Config
from recsys.config.monitoring import MonitoringConfig
from recsys.errors import ArtifactError
from recsys.report.figures import ItemGroups, measure
from recsys.report.formatting import last_step
from recsys.workspace import Workspace
from recsys.workspace.embeddings import EmbeddingSet
from recsys.workspace.monitoring import Night, nights

logger = logging.getLogger(__name__)

_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
_MIN_NIGHTS = 7
_MAX_CATEGORIES, _MAX_LINES = 12, 6


class FigureText(NamedTuple):
    """What is said of a figure, and which change of it is none."""

    title: str
    meaning: str
    least_change: float = 0.05


FIGURES = {
    "drift": FigureText(
        "New products unlike the others",
        "share of them that lie farther from the nearest of the others than 95% of those do; 0.05 is chance",
    ),
    "isolated": FigureText(
        "Products without a near neighbour",
        "share whose nearest other is farther than it was for 95% on this encoder’s first night",
    ),
    "churn": FigureText(
        "Neighbours that changed",
        "share of the 10 nearest that are others than the night before, of products of both nights",
    ),
    "hubness": FigureText(
        "Hubness",
        "skewness of the number of lists of the 10 nearest that a product is in; higher: a few are in most",
        least_change=0.5,
    ),
    "antihubs": FigureText(
        "Products that nothing leads to", "share that is among the 10 nearest of no other product"
    ),
}


def monitor(
    config: Config,
    workspace: Workspace,
    embeddings: EmbeddingSet,
    evaluation: Mapping[str, Any],
    *,
    run_id: str,
    at: str,
) -> dict[str, Any]:
    """Return ``night``, what :mod:`recsys.workspace.monitoring` describes, and ``earlier``, the last nights.

    ``evaluation`` is the ``evaluation.json`` of the report, ``at`` the time (UTC, ISO 8601).
    """
    earlier = nights(workspace, but=run_id)
    last = earlier[-1] if earlier else None
    labels = (task.breakdown_by for task in config.evaluation.tasks if task.gate and task.breakdown_by)
    then = _item_groups(workspace, last)
    changed = None if last is None else last["encoder"] != embeddings.encoder_ref
    night: Night = {
        "run_id": run_id,
        "at": at,
        "encoder": embeddings.encoder_ref,
        "embeddings": embeddings.manifest.ref,
        "before": last["embeddings"] if last and then else None,
        "encoder_changed": changed,
        "scores": _category_scores(evaluation),
    } | measure(
        ItemGroups(workspace, embeddings),
        then,
        isolation_limit=last["isolation_limit"] if last and not changed else None,
        breakdown_by=next(labels, "product_type"),
    )
    night |= compare(config.monitoring, night, earlier)
    return {"night": night, "earlier": earlier[-config.monitoring.nights :]}


def _item_groups(workspace: Workspace, night: Night | None) -> ItemGroups | None:
    if night is None:
        return None
    try:
        return ItemGroups(workspace, EmbeddingSet(workspace, night["embeddings"]))
    except ArtifactError as error:
        logger.warning("tonight's vectors are not compared with those of the night before: %s", error)
        return None


def compare(settings: MonitoringConfig, night: Night, earlier: Sequence[Night]) -> dict[str, Any]:
    """Return ``usual``, by ``earlier`` nights, the last one last, ``unusual`` and ``alarms``."""
    found = {name: usual(settings, night, earlier, name) for name in night["figures"]}
    unusual = {}
    for name, figure in night["figures"].items():
        median, limit = found[name]["median"], found[name]["limit"]
        lowest = figure["value"] if figure["low"] is None else figure["low"]
        if limit is not None and lowest > limit:
            usually = "" if median is None else f"usually {median:.3f}, "
            figures = f"{figure['value']:.3f} tonight, {usually}unusual above {limit:.3f}"
            unusual[name] = f"{FIGURES[name].title}: {figures}."
    known = earlier[-1]["unusual"] if earlier else ()
    alarms = [sentence for name, sentence in unusual.items() if name not in known]
    return {"usual": found, "unusual": unusual, "alarms": alarms}


def usual(
    settings: MonitoringConfig, tonight: Night, earlier: Sequence[Night], name: str
) -> dict[str, float | None]:
    """Return the ``median`` of a figure on ``earlier`` nights, and its ``limit``; null where unknown."""
    values = [
        night["figures"][name]["value"]
        for night in earlier
        if name in night["figures"]
        and (name != "churn" or night["encoder_changed"] == tonight["encoder_changed"])
    ][-settings.nights :]
    median = float(np.median(values)) if values else None
    limit = settings.limits.get(name)  # type: ignore[call-overload]
    if limit is None and median is not None and len(values) >= _MIN_NIGHTS:
        deviation = _DEVIATION * float(np.median(np.abs(np.array(values) - median)))
        limit = median + max(settings.tolerance * deviation, FIGURES[name].least_change)
    return {"median": median, "limit": limit}


def curves(monitoring: Mapping[str, Any]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return what is drawn over the nights: name of a figure → name of a line → (night, value).

    Tonight is night 0. Besides the figures there are ``categories``, their churn, and ``scores``.
    """
    every = [*monitoring["earlier"], monitoring["night"]]
    placed = [(float(i - len(every) + 1), night) for i, night in enumerate(every)]
    drawn = {
        name: {
            "each night": [(x, n["figures"][name]["value"]) for x, n in placed if name in n["figures"]],
            "unusual above": [
                (x, limit) for x, n in placed if (limit := n["usual"].get(name, {}).get("limit")) is not None
            ],
        }
        for name in FIGURES
    }
    churn = [(x, {name: c["churn"] for name, c in n["categories"].items()}) for x, n in placed]
    scores = [(x, n["scores"]["values"]) for x, n in placed if n["scores"]]
    return drawn | {"categories": _lines(churn), "scores": _lines(scores)}


def _lines(placed: Sequence[tuple[float, Mapping[str, float]]]) -> dict[str, list[tuple[float, float]]]:
    """Return the lines of the first categories of the last night that has any, by their last step."""
    names = next((list(values) for _, values in reversed(placed) if values), [])[:_MAX_LINES]
    steps = [last_step(name) for name in names]
    titles = [name if steps.count(step) > 1 else step for name, step in zip(names, steps, strict=True)]
    return {
        title: [(x, values[name]) for x, values in placed if name in values]
        for title, name in zip(titles, names, strict=True)
    }


def _category_scores(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the scores by category of what the gate chose, in the first task that counts and has any."""
    chosen = (evaluation["chosen"] or {}).get("name")
    for task in evaluation["tasks"]:
        found = {c["name"]: c["scores"].get(chosen) for c in task["categories"][:_MAX_CATEGORIES]}
        values = {name: score for name, score in found.items() if score is not None}
        if task["gate"] and values:
            return {"title": task["title"], "metric": task["main_metric"], "values": values}
    return None
