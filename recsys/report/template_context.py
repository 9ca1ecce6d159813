"""What the templates are given: the facts arranged as charts, grids and lists.

Does not know: HTML.
"""

from collections.abc import Mapping
from typing import Any

from recsys.report import charts, formatting
from recsys.report.charts import scatter
from recsys.report.facts import check_title, check_words, title, verdict
from recsys.report.product_cards import Shelf

_CATEGORIES = 12


def views(facts: Mapping[str, Any], shelf: Shelf) -> dict[str, Any]:
    """Return every view by name; one that has nothing to show is ``None`` or empty."""
    evaluation = facts["evaluation"]
    return {
        "losses": _losses(facts["training"]),
        "validation": _validation(facts["training"]),
        "score": _score(evaluation),
        "tasks": [_task(evaluation, task) for task in evaluation.get("tasks", []) if task.get("scores")],
        "checks": _checks(evaluation),
        "judged": _judged(evaluation, facts["products"], shelf),
        "examples": _examples(facts, shelf),
        "rejected": _rejected(facts, shelf),
        "map": scatter(facts["map"], shelf),
        "timings": _timings(facts),
        "verdict": verdict(evaluation),
        "check_words": [check_words(evaluation, c) for c in (evaluation.get("gate") or {}).get("checks", [])],
        "sides": _sides(evaluation),
    }


def _sides(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """Return what the two sides of the examples are called."""
    reference, challenger = evaluation.get("reference"), evaluation.get("challenger")
    before = "Champion" if reference == "champion" else title(evaluation, reference)
    return {"reference": before, "challenger": title(evaluation, challenger)}


def _losses(training: Mapping[str, Any]) -> charts.LineChart | None:
    series = {
        _loss_name(name): charts.smooth([(float(x), float(y)) for x, y in points])
        for name, points in training["losses"].items()
        if points
    }
    return charts.line_chart(series, x_label="step")


def _loss_name(name: str) -> str:
    return {"loss": "total", "clip": "image to text (CLIP)"}.get(name, name.rpartition(":")[2])


def _validation(training: Mapping[str, Any]) -> charts.LineChart | None:
    validation = training["validation"]
    points = [
        (float(e["epoch"]), float(e["metric"])) for e in validation["epochs"] if e["metric"] is not None
    ]
    name = formatting.metric(validation["metric"] or "metric")
    return charts.line_chart({name: points} if points else {}, x_label="epoch")


def _roles(evaluation: Mapping[str, Any], name: str) -> list[str]:
    chosen = (evaluation.get("chosen") or {}).get("name")
    found = {
        "champion": name == "champion",
        "to beat": name == evaluation.get("reference") != "champion",
        "challenger": name == evaluation.get("challenger"),
        "in service": name == chosen,
    }
    return [role for role, holds in found.items() if holds]


def _score(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    rows = [
        {
            "title": c["title"],
            "roles": _roles(evaluation, c["name"]),
            "error": c.get("error"),
            **(c.get("gate_score") or {}),
        }
        for c in evaluation.get("candidates", [])
    ]
    return _whiskers(rows)


def _task(evaluation: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    main, names = task["main_metric"], [c["name"] for c in evaluation["candidates"]]
    titles = {c["name"]: c["title"] for c in evaluation["candidates"]}
    shown = [name for name in names if name in task["scores"]]
    rows = [
        {
            "title": titles[n],
            "roles": _roles(evaluation, n),
            "error": None,
            **task["scores"][n].get(main, {}),
        }
        for n in shown
    ]
    table = [
        {"title": titles[n], "scores": [task["scores"][n].get(m) for m in task["metrics"]]} for n in shown
    ]
    return {**task, "chart": _whiskers(rows), "table": table, "groups": _categories(evaluation, task)}


def _categories(evaluation: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return reference and challenger per category, those with most queries first."""
    before, after = evaluation.get("reference"), evaluation.get("challenger")
    rows = []
    for category in task.get("categories", [])[:_CATEGORIES]:
        one, other = category["scores"].get(before), category["scores"].get(after)
        if one is not None:
            rows.append(
                {
                    "name": formatting.last_step(category["name"]),
                    "num_queries": category["num_queries"],
                    "a": one,
                    "b": other,
                }
            )
    if not rows:
        return None
    scale = charts.scale(rows, ("a", "b"))
    for row in rows:
        row["at_a"] = scale.at(row["a"])
        row["at_b"] = None if row["b"] is None else scale.at(row["b"])
    return {"rows": rows, "ticks": scale.ticks, "more": max(0, len(task["categories"]) - _CATEGORIES)}


def _whiskers(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not any(row.get("value") is not None for row in rows):
        return None
    scale = charts.scale(rows, ("value", "low", "high"))
    placed = []
    for row in rows:
        at = {key: None if row.get(key) is None else scale.at(row[key]) for key in ("value", "low", "high")}
        placed.append({**row, "at": at, "words": formatting.interval(row)})
    return {"rows": placed, "ticks": scale.ticks}


def _checks(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    checks = (evaluation.get("gate") or {}).get("checks", [])
    rows = [c for c in checks if c.get("difference") is not None]
    if not rows:
        return None
    scale = charts.scale(rows, ("difference", "low", "high", "limit"), include=(0.0,))
    placed = []
    for c in rows:
        keys = ("difference", "low", "high", "limit")
        at = {key: None if c.get(key) is None else scale.at(c[key]) for key in keys}
        name = formatting.last_step(check_title(evaluation, c))
        placed.append({**c, "at": at, "title": name})
    return {"rows": placed, "ticks": scale.ticks, "zero": scale.at(0.0)}


def _neighbour(facts_products: Mapping[str, Any], shelf: Shelf, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **found,
        "card": facts_products.get(found["id"]) or shelf.card(found["id"]),
        "image": shelf.thumbnail(found["id"]),
        "image_share": max(0.0, min(100.0, 100 * found["image_score"])),
        "text_share": max(0.0, min(100.0, 100 * found["text_score"])),
    }


def _judged(evaluation: Mapping[str, Any], products: Mapping[str, Any], shelf: Shelf) -> list[dict[str, Any]]:
    """Return held-out examples with their neighbours on both sides; ``new``: the other side has it not."""
    result = []
    for example in evaluation.get("examples", []):
        sides = example["neighbours"]
        ids = {side: {n["id"] for n in found} for side, found in sides.items()}
        lists = {}
        for side, found in sides.items():
            others = set().union(*(ids[s] for s in ids if s != side)) if len(ids) > 1 else ids[side]
            lists[side] = [_neighbour(products, shelf, n) | {"new": n["id"] not in others} for n in found]
        result.append(
            {
                "card": products.get(example["id"]) or shelf.card(example["id"]),
                "image": shelf.thumbnail(example["id"]),
                "why": example.get("why"),
                "change": example.get("change"),
                "sides": lists,
            }
        )
    return result


def _examples(facts: Mapping[str, Any], shelf: Shelf) -> list[dict[str, Any]]:
    return [
        {
            "card": facts["products"].get(e["id"]) or shelf.card(e["id"]),
            "image": shelf.thumbnail(e["id"]),
            "neighbours": [
                _neighbour(facts["products"], shelf, n) | {"relevant": None, "new": False}
                for n in e["neighbours"]
            ],
        }
        for e in facts["examples"]
    ]


def _rejected(facts: Mapping[str, Any], shelf: Shelf) -> list[dict[str, Any]]:
    """Return per scope its reasons and rows; a row shows the product's image where it has one."""
    catalog = facts["catalog"]
    groups = []
    for scope, name in formatting.SCOPES.items():
        rows = [
            {
                **row,
                "words": formatting.reason(row["reason"]),
                "image": shelf.thumbnail(row["id"]) if row["id"] else None,
            }
            for row in catalog["rejected"]
            if row["scope"] == scope
        ]
        if rows:
            reasons = [r for r in catalog["reasons"] if r["scope"] == scope]
            total = catalog["num_rejected"][scope]
            most = max(r["count"] for r in reasons)
            groups.append(
                {"scope": scope, "name": name, "total": total, "rows": rows, "reasons": reasons, "most": most}
            )
    return groups


def _timings(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    known = [t for t in facts["timings"] if t["seconds"] is not None]
    longest = max((t["seconds"] for t in known), default=0) or 1
    return [{**t, "share": round(100 * t["seconds"] / longest, 1)} for t in known]
