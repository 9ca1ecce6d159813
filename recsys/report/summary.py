"""A run in a terminal: half a page of plain text."""

import textwrap
from collections.abc import Mapping
from typing import Any

from recsys.report import formatting
from recsys.report.facts import holds_sentence, overlap_sentence, power_sentence, roles, title

_WIDTH = 96


def text(facts: Mapping[str, Any], page: str) -> str:
    """Return the summary; ``page`` is where the HTML report lies."""
    parts = [
        _heading(facts),
        _section("What came in", _catalog(facts["catalog"])),
        _section("Training", _wrapped(facts["plan"]["sentence"]) if facts["plan"] else []),
        _section("Encoders", _encoders(facts["evaluation"]) + _wrapped(facts["training"]["judgements"])),
        _section("The gate", _gate(facts["evaluation"])),
        _section("What changes for shoppers", _wrapped(overlap_sentence(facts["overlap"]))),
        _section("Unusual tonight", _unusual(facts["monitoring"]["night"])),
        _section("The index", _index(facts)),
        _section("Three products and what is most similar", _examples(facts)),
        _section("Next", [f"{step['command']:<40} {step['does']}" for step in facts["next"]]),
        _section("The whole report", [page]),
    ]
    whole = "\n\n".join(part for part in parts if part) + "\n"
    # Feed text may hold terminal codes.
    return "".join(c if c.isprintable() or c == "\n" else " " for c in whole)


def _heading(facts: Mapping[str, Any]) -> str:
    lines = textwrap.wrap(" ".join(facts["headline"]), _WIDTH)
    return "\n".join([f"{facts['name']}: run {facts['run_id']}", "=" * _WIDTH, *lines])


def _section(name: str, lines: list[str]) -> str:
    return "\n".join([name, "-" * len(name), *lines]) if lines else ""


def _catalog(catalog: Mapping[str, Any]) -> list[str]:
    rows = formatting.count(catalog["num_rows"], "row")
    products, images = (formatting.count(catalog[f"num_{thing}s"], thing) for thing in ("product", "image"))
    lines = [f"{products} accepted of {rows}, with {images}"]
    for scope, name in formatting.SCOPES.items():
        reasons = [r for r in catalog["reasons"] if r["scope"] == scope]
        if reasons:
            found = ", ".join(f"{r['count']} × {r['words']}" for r in reasons[:5])
            lines += _wrapped(f"{name}: {catalog['num_rejected'][scope]} ({found})")
    diff = {k: v for k, v in catalog["diff"].items() if v}
    if diff:
        lines.append(
            "Against the last catalog: " + ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in diff.items())
        )
    return lines


def _encoders(evaluation: Mapping[str, Any]) -> list[str]:
    lines = []
    for candidate in evaluation["candidates"]:
        held = roles(evaluation, candidate["name"])
        if not held:
            continue
        score = formatting.interval(candidate["gate_score"])
        lines.append(f"{candidate['title']} ({' and '.join(held)}): gate score {score}")
        for task in evaluation["tasks"]:
            metric = task["main_metric"]
            found = formatting.interval(task["scores"].get(candidate["name"], {}).get(metric))
            lines.append(f"  {_short(task['title'], 52):<52} {formatting.metric(metric):<11} {found}")
    return lines


def _gate(evaluation: Mapping[str, Any]) -> list[str]:
    if not evaluation["candidates"]:
        return []
    chosen = title(evaluation, (evaluation["chosen"] or {}).get("name"))
    decision = evaluation["decision"]
    first = [f"Decision: {decision} – “{chosen}” serves from now on"] if decision else []
    power = power_sentence(evaluation)
    first += _wrapped(power) if power else []
    return first + [line for reason in evaluation["reasons"] for line in _wrapped("because: " + reason)]


def _unusual(night: Mapping[str, Any]) -> list[str]:
    return [line for said in night["unusual"].values() for line in _wrapped(said)]


def _index(facts: Mapping[str, Any]) -> list[str]:
    index, embedding = facts["publication"], facts["embedding"]
    counts = index.get("counts") or {}
    names = {
        "new": "new",
        "vectors": "with new vectors",
        "payload": "with new columns",
        "gone": "deleted",
        "unchanged": "unchanged",
    }
    numbers = ", ".join(f"{counts[k]:,} {what}" for k, what in names.items() if counts.get(k) is not None)
    audit = (index.get("audit") or {}).get("checks") or {}
    failed = [name for name, result in audit.items() if result != "ok"]
    seconds = {t["stage"]: t["seconds"] for t in facts["timings"]}
    lines = [
        f"{index.get('alias')} → {index.get('collection')} ({counts.get('total', 0):,} products)",
        f"{formatting.ACTIONS.get(str(index.get('action')), index.get('action'))}: {numbers}",
        f"{embedding.get('embedded') or 0:,} embedded in {formatting.duration(seconds.get('embed'))}, "
        f"{embedding.get('reused') or 0:,} vectors reused; "
        f"published in {formatting.duration(seconds.get('publish'))}",
    ]
    if audit:
        lines.append(
            "Audit: " + (f"{', '.join(failed)} not passed" if failed else f"{len(audit)} checks passed")
        )
    return lines + _wrapped(holds_sentence(facts))


def _examples(facts: Mapping[str, Any]) -> list[str]:
    lines = []
    for example in facts["examples"]:
        lines.append(f"{example['id']}  {_title(facts, example['id'])}")
        for n in example["neighbours"]:
            lines.append(
                f"  {n['score']:.3f}  {n['id']}  {_title(facts, n['id'])}"
                f"  [image {n['image_score']:.2f}, text {n['text_score']:.2f}]"
            )
    return lines


def _title(facts: Mapping[str, Any], id: str) -> str:
    name = " ".join(str(facts["products"].get(id, {}).get("title", "")).split())
    return _short(name, 56)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _wrapped(line: str | None) -> list[str]:
    return textwrap.wrap(line or "", _WIDTH, subsequent_indent="  ")
