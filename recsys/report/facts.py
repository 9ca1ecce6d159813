"""Everything the report says, as one JSON value: ``report.json``.

    {"version", "run_id", "name", "headline": [sentences], "catalog", "plan", "training", "evaluation",
     "embedding", "publication", "holds": [{"encoder", "since", "reason"}],
     "timings": [{"stage", "title", "seconds"}],
     "examples": [{"id", "neighbours"}], "products": {id: card},
     "provenance": [{"what", "ref", "created_at"}], "next": [{"command", "does"}],
     "map": {"ids", "categories", "points", "of"} or null,
     "overlap": null, {"missing": sentence}, or {"embeddings", "k", "value", "low", "high", ...},
     "monitoring": {"night", "earlier": [nights]}}

``evaluation`` is ``evaluation.json`` (:mod:`recsys.workspace.evaluations`), without candidates and tasks
where nothing was trained tonight: what earlier nights found is in their reports. ``plan`` is the training
plan's ``train``, ``sentence``, ``reasons`` and ``findings``, or null. ``overlap`` is how neighbours change
(:func:`recsys.report.overlap.compare`) where another encoder takes over from the champion, else null.
``monitoring`` is tonight and the nights before, as :mod:`recsys.workspace.monitoring` describes one.
"""

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsys.config import Config
from recsys.errors import ArtifactError
from recsys.report import formatting, vectors
from recsys.report.cards import ProductCards
from recsys.report.monitoring import monitor
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import SET_KIND, EmbeddingSet
from recsys.workspace.evaluations import read_evaluation
from recsys.workspace.holds import hold_sentence, holds
from recsys.workspace.snapshot import Snapshot

VERSION = 1
_NUM_EXAMPLES, _NUM_NEIGHBOURS = 3, 5
_ROWS_PER_SCOPE = 24
_NOT_LOSSES = {"step", "epoch", "seconds", "lr_factor", "progress"}
_PUBLICATION: dict[str, Any] = {
    "action": "nothing", "reason": None, "alias": None, "collection": None, "previous": None,
    "collected": [], "counts": {}, "audit": None,
}  # fmt: skip
"""A publication that changed nothing."""


@dataclass(frozen=True, kw_only=True)
class RunArtifacts:
    """What one run made."""

    run_id: str
    snapshot: Manifest
    challenger: Manifest
    evaluation: Manifest
    embeddings: Manifest
    publication: Manifest
    plan: Manifest | None = None
    """The training plan."""
    timings: Mapping[str, float | None]
    """Stage → seconds."""

    @property
    def inputs(self) -> dict[str, str]:
        """Return role → ref."""
        roles = ("snapshot", "challenger", "evaluation", "embeddings", "publication")
        plan = {"training plan": self.plan.ref} if self.plan else {}
        return {role: getattr(self, role).ref for role in roles} | plan

    @property
    def trained(self) -> bool:
        """Whether challenger and evaluation are tonight's."""
        return self.plan is None or bool(self.plan.info["train"])


def gather(
    config: Config, workspace: Workspace, run: RunArtifacts, cards: ProductCards, *, at: str
) -> dict[str, Any]:
    """Return the facts; ``cards`` then holds every product that they name. ``at`` is the time (UTC)."""
    snapshot = Snapshot(workspace, run.snapshot)
    evaluation = read_evaluation(workspace, run.evaluation) if run.trained else _unchanged(config, run)
    embeddings = EmbeddingSet(workspace, run.embeddings.ref)
    facts: dict[str, Any] = {
        "version": VERSION,
        "run_id": run.run_id,
        "name": config.name,
        "catalog": _catalog(snapshot),
        "plan": run.plan and run.plan.info,
        "training": _training(run.challenger.info if run.trained else {}),
        "evaluation": evaluation,
        "embedding": {k: run.embeddings.info.get(k) for k in ("embedded", "reused", "counts", "duration_s")},
        "publication": _PUBLICATION | run.publication.info,
        "holds": [{"encoder": ref, **hold} for ref, hold in holds(workspace).items()],
        "timings": _timings(workspace, run),
        "examples": vectors.examples(
            snapshot, embeddings, count=_NUM_EXAMPLES, num_neighbours=_NUM_NEIGHBOURS,
            image_weight=evaluation["image_weight"],
        ),
        "overlap": _overlap(workspace, snapshot, embeddings, evaluation),
        "map": _map(embeddings, config.seed),
        "monitoring": monitor(config, workspace, embeddings, evaluation, run_id=run.run_id, at=at),
    }  # fmt: skip
    named = _ids_named(facts)
    cards.fetch(named)
    facts["products"] = {id: cards.card(id) for id in sorted(named) if id in cards}
    if facts["map"]:
        facts["map"]["categories"] = [cards.card(id)["category"] for id in facts["map"]["ids"]]
    compared = ((facts["overlap"] or {}).get("embeddings"), facts["monitoring"]["night"]["before"])
    facts["provenance"] = _provenance(workspace, run, *compared)
    facts["headline"] = _headline(facts)
    facts["next"] = _next_steps(facts)
    return facts


def _catalog(snapshot: Snapshot) -> dict[str, Any]:
    """Return counts, the change since the last snapshot, the reasons of rejections and some rejected rows."""
    info = snapshot.manifest.info
    counts = info.get("counts", {})
    rows: list[dict[str, Any]] = []
    totals: Counter[tuple[str, str]] = Counter()
    shown: Counter[str] = Counter()
    for batch in snapshot.rejected().to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            scope, key = row["scope"], (row["scope"], row["reason"])
            totals[key] += 1
            # The page must not grow with the feed: some rows of each scope, and the first of every reason.
            if shown[scope] < _ROWS_PER_SCOPE or totals[key] == 1:
                shown[scope] += 1
                rows.append(
                    {k: row[k] for k in ("id", "row", "column", "value", "reason", "message", "scope")}
                )
    reasons = [
        {"scope": scope, "reason": reason, "words": formatting.reason(reason), "count": count}
        for (scope, reason), count in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    ]
    return {
        "feed": info.get("feed"),
        "num_rows": counts.get("rows", 0),
        "num_products": counts.get("products", snapshot.num_products),
        "num_images": counts.get("images", 0),
        "num_with_image": counts.get("products_with_image"),
        "num_with_text": counts.get("products_with_text"),
        "num_rejected": {s: sum(r["count"] for r in reasons if r["scope"] == s) for s in formatting.SCOPES},
        "diff": info.get("diff", {}),
        "reasons": reasons,
        "rejected": rows,
        "num_rejected_rows": totals.total(),
    }


def _unchanged(config: Config, run: RunArtifacts) -> dict[str, Any]:
    """Return the ``evaluation.json`` of a night without an evaluation: the champion stays."""
    return {
        "snapshot": run.snapshot.ref, "splits": None, "confidence": config.evaluation.gate.confidence,
        "image_weight": config.evaluation.image_weight, "reference": "champion", "challenger": None,
        "decision": "keep", "chosen": {"name": "champion", "ref": run.evaluation.info["chosen"]},
        "reasons": [run.plan.info["sentence"]] if run.plan else [], "notes": [], "gate": None,
        "candidates": [], "tasks": [], "examples": [],
    }  # fmt: skip


def _training(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the challenger was trained: loss curves, counts, or why it was not."""
    fit = info.get("fit") or {}
    history = fit.get("history") or []
    losses = [
        name for name in dict.fromkeys(k for entry in history for k in entry) if name not in _NOT_LOSSES
    ]
    counts = info.get("counts", {})
    copied = ("device", "steps", "seconds", "images_per_second", "kept_epoch")
    return {
        "trained": bool(info.get("trained", fit)),
        "reason": info.get("reason"),
        **{key: fit.get(key) for key in copied},
        "stopped_early": bool(fit.get("stopped_early")),
        "decisions": info.get("decisions") or [],
        "validation": {
            "metric": info.get("config", {}).get("validation", {}).get("metric"),
            "label": info.get("validation_label"),
            "epochs": [{"epoch": e["epoch"], "metric": e.get("metric")} for e in fit.get("epochs") or []],
        },
        "splits": counts.get("splits", {}),
        "judgements": _judgements(counts.get("supervision", {}).get("judgements")),
        "losses": {
            name: [[entry["step"], entry[name]] for entry in history if entry.get(name) is not None]
            for name in losses
        },
    }


def _judgements(counts: Mapping[str, int] | None) -> str | None:
    """Return what became of people's judgements, in one sentence; ``None`` where there were none."""
    if not counts:
        return None
    uses = {
        "validation": "help to pick the challenger",
        "holdout": "help the gate decide",
        "test": "kept for the final test",
        "unused": "left out",
        "unknown": "of products that are gone",
    }
    learnt = f"{formatting.count(counts['trained_on'], 'pair')} learnt from"
    parts = [f"{learnt} ({counts['similar']:,} similar, {counts['not_similar']:,} not)"]
    parts += [f"{counts[key]:,} {use}" for key, use in uses.items() if counts.get(key)]
    return f"Of people's judgements: {formatting.joined(parts)}."


def _timings(workspace: Workspace, run: RunArtifacts) -> list[dict[str, Any]]:
    """Return seconds per stage; embedding counts the shards made in this run, on whichever worker."""
    shards = [workspace.get(ref) for ref in run.embeddings.info.get("shards", [])]
    made = [s.info.get("duration_s", 0.0) for s in shards if s.inputs.get("snapshot") == run.snapshot.ref]
    seconds = {**run.timings, "embed": sum(made) + (run.embeddings.info.get("duration_s") or 0.0)}
    return [
        {"stage": stage, "title": formatting.STAGES.get(stage, stage), "seconds": value}
        for stage, value in seconds.items()
    ]


def _overlap(
    workspace: Workspace, snapshot: Snapshot, embeddings: EmbeddingSet, evaluation: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return how neighbours change from the champion's last vectors; ``None`` where no encoder takes over."""
    if evaluation["reference"] != "champion" or evaluation["decision"] != "promote":
        return None
    champion = next(c["ref"] for c in evaluation["candidates"] if c["name"] == "champion")
    sets = [made for made in workspace.list(SET_KIND) if made.inputs.get("encoder") == champion]
    try:
        before = EmbeddingSet(workspace, sets[-1].ref) if sets else None
    except ArtifactError:  # a shard of it is gone
        before = None
    if before is None:
        return {"missing": "The vectors of the encoder that served before are gone: nothing can be compared."}
    from recsys.report import overlap  # needs torch, which other nights' reports do without

    labels = (t["breakdown_by"] for t in evaluation["tasks"] if t["gate"] and t["breakdown_by"])
    found = overlap.compare(
        snapshot, before, embeddings,
        image_weight=evaluation["image_weight"], breakdown_by=next(labels, "product_type"),
    )  # fmt: skip
    if found is None:
        return {"missing": "Too few products have vectors of both encoders to compare their neighbours."}
    return {"embeddings": before.manifest.ref, **found}


def _map(embeddings: EmbeddingSet, seed: int) -> dict[str, Any] | None:
    """Return ids, positions and the number of all products; ``None`` where there are too few for a map."""
    ids, sample = vectors.map_sample(embeddings)
    points = vectors.project_2d(sample, seed=seed)
    if points is None:
        return None
    return {"ids": ids, "points": points.astype(float).round(4).tolist(), "of": len(embeddings)}


def _provenance(
    workspace: Workspace, run: RunArtifacts, before: str | None, last: str | None
) -> list[dict[str, Any]]:
    """Return every artifact that the run read or made, with its role and when it was made.

    The report compares with the champion's vectors ``before`` and with those of the ``last`` night.
    """
    refs = dict(run.inputs)
    for manifest in (run.challenger, run.evaluation):
        for role, ref in manifest.inputs.items():
            refs.setdefault("training started from" if role == "start" else role, ref)
    chosen, collection = run.evaluation.info.get("chosen"), run.publication.info.get("collection")
    others = {"in service now": chosen, "collection": collection, "embeddings before": before,
              "embeddings of the last night": last}  # fmt: skip
    refs |= {role: ref for role, ref in others.items() if ref}
    found = []
    for role, ref in refs.items():
        artifact = workspace.find_ref(ref)
        found.append({"what": role, "ref": ref, "created_at": artifact.created_at if artifact else None})
    return found


def _ids_named(facts: Mapping[str, Any]) -> set[str]:
    """Return the id of every product that the facts name."""
    ids = {row["id"] for row in facts["catalog"]["rejected"] if row["id"]}
    ids |= set(facts["map"]["ids"] if facts["map"] else ())
    for example in facts["examples"]:
        ids |= {example["id"], *(n["id"] for n in example["neighbours"])}
    for example in facts["evaluation"]["examples"]:
        ids |= {example["id"], *(n["id"] for side in example["neighbours"].values() for n in side)}
    for product in (facts["overlap"] or {}).get("changed", ()):
        ids |= {product["id"], *(n["id"] for side in ("before", "after") for n in product[side])}
    return ids


_MOST_CATEGORIES = 6


def _headline(facts: Mapping[str, Any]) -> list[str]:
    """Return what happened in three sentences, the encoder, the catalog, the index, and what is unusual."""
    catalog = facts["catalog"]
    rejected = catalog["num_rejected"]["product"]
    came = formatting.count(catalog["num_products"], "product") + " came in"
    came += f" and {formatting.count(rejected, 'row')} had to be turned away." if rejected else "."
    unusual = len(facts["monitoring"]["night"]["unusual"])
    found = [
        f"{formatting.count(unusual, 'figure')} of the vectors {'is' if unusual == 1 else 'are'} unusual."
    ]
    return [_decision(facts), came, _index(facts["embedding"], facts["publication"]), *found[: bool(unusual)]]


def _decision(facts: Mapping[str, Any]) -> str:
    evaluation, plan = facts["evaluation"], facts["plan"]
    if plan and not plan["train"]:
        return "Nothing to learn from tonight: the champion stays."
    chosen = title(evaluation, (evaluation["chosen"] or {}).get("name"))
    if evaluation["reference"] != "champion":
        return f"There was no champion to compare with: “{chosen}” enters service."
    return (
        f"A new encoder takes over: “{chosen}”."
        if evaluation["decision"] == "promote"
        else "The champion stays."
    )


def _index(embedding: Mapping[str, Any], publication: Mapping[str, Any]) -> str:
    counts, alias = publication["counts"] or {}, f"“{publication['alias'] or 'products'}”"
    embedded = formatting.count(embedding["embedded"] or 0, "product") + " had to be embedded"
    if publication["action"] == "build":
        total = formatting.count(counts.get("total") or 0, "product")
        return f"A new collection of {total} was built and audited, and {alias} now points at it; {embedded}."
    if publication["action"] == "rollback":
        return f"A person went back to an earlier collection, and {alias} now points at it; {embedded}."
    if publication["action"] == "nothing":
        return f"The index already showed this catalog: {alias} was left as it is."
    done = {"new": "added", "vectors": "changed", "payload": "refreshed", "gone": "deleted"}
    numbers = {what: counts[key] for key, what in done.items() if counts.get(key)}
    changed = [f"{formatting.count(number, 'product')} {what}" for what, number in numbers.items()]
    return f"In {alias}, {formatting.joined(changed) or 'nothing'} – and {embedded} anew."


def _next_steps(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    ids = [example["id"] for example in facts["examples"]]
    words = _shell_safe_words(facts["products"][ids[-1]]) if ids else ""
    return [
        {
            "command": f"recsys similar {shlex.quote(ids[0] if ids else 'ID')}",
            "does": "what is similar to a product",
        },
        {"command": f'recsys search --text "{words or "blue"}"', "does": "find products by words"},
        {"command": "recsys status", "does": "what is in service"},
    ]


def _shell_safe_words(card: Mapping[str, Any]) -> str:
    """Return words of a product that are safe to paste into a shell, whatever the feed says."""
    text = formatting.last_step(card["category"]) if card["category"] else str(card["title"])
    plain = "".join(c if c.isalnum() or c in " -" else " " for c in text)
    return " ".join(plain.split()[:4]).lower()


def title(evaluation: Mapping[str, Any], name: str | None) -> str:
    """Return what a candidate is called, such as ``Fine-tuned tonight``."""
    titles = {c["name"]: c["title"] for c in evaluation["candidates"]}
    return titles.get(name) or name or "none"


def roles(evaluation: Mapping[str, Any], name: str) -> list[str]:
    """Return what a candidate was in this run: ``champion``, ``to beat``, ``challenger``, ``in service``."""
    is_reference = name == evaluation["reference"]
    holds = {
        "champion": name == "champion",
        "to beat": is_reference and name != "champion",
        "challenger": name == evaluation["challenger"],
        "in service": name == (evaluation["chosen"] or {}).get("name"),
    }
    return [role for role, held in holds.items() if held]


def shown_checks(evaluation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the gate's comparisons to draw: all but most of the categories that passed."""
    checks = [c for c in (evaluation["gate"] or {}).get("checks", ()) if c["difference"] is not None]
    passed = [c for c in checks if c["kind"] == "category" and c["passed"]]
    left_out = [id(c) for c in sorted(passed, key=lambda c: c["low"])[_MOST_CATEGORIES:]]
    return [c for c in checks if id(c) not in left_out]


def check_title(evaluation: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    """Return what one of the gate's comparisons is about: all tasks, a task, a category."""
    titles = {task["name"]: task["title"] for task in evaluation["tasks"]}
    task = str(titles.get(check["task"], check["task"]))
    name = formatting.last_step(check["name"])
    found = {"overall": "All tasks together", "task": task}.get(check["kind"], f"{name}: {task}")
    if check["against"] == evaluation["reference"]:
        return found
    return f"{found} (against: {title(evaluation, check['against'])})"


def check_sentence(evaluation: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    """Return one of the gate's comparisons as a sentence."""
    signed = formatting.signed
    rules = {
        "overall": "the interval must lie above",
        "task": "the difference must be at least",
        "category": "drawn towards the other categories, it must be a gain or the interval lie above",
        "fallen": "however small, it may not fall to nothing or lose for certain, beyond",
    }
    return (
        f"{check_title(evaluation, check)}: the challenger differs by {signed(check['difference'])} "
        f"({signed(check['low'])} to {signed(check['high'])}, "
        f"{formatting.count(check['num_products'], 'product')} in "
        f"{formatting.count(check['num_components'], 'independent group')}); {rules[check['kind']]} "
        f"{signed(check['limit'])}: {'passed' if check['passed'] else 'not passed'}."
    )


def power_sentence(evaluation: Mapping[str, Any]) -> str | None:
    """Return what gain tonight's holdout could show, in words; ``None`` where nothing was compared."""
    gate = evaluation["gate"] or {}
    power = gate.get("power")
    if not power:
        return None
    return (
        f"{formatting.count(power['num_products'], 'held-out product')} in "
        f"{formatting.count(power['num_components'], 'independent group')} show a gain of "
        f"{power['detectable']:.3f} four times in five; one of 0.010 would take "
        f"{formatting.count(power['components_for_a_point'], 'group')}. "
        f"They decided {formatting.count(gate['times_asked'], 'time')} before, and each time asks for more."
    )


def overlap_sentence(overlap: Mapping[str, Any] | None) -> str | None:
    """Return how many nearest neighbours stay, in words; ``None`` where no encoder takes over."""
    if overlap is None:
        return None
    if "missing" in overlap:
        return str(overlap["missing"])
    k, ends = overlap["k"], [overlap[end] for end in ("low", "high")]
    interval = "" if None in ends else f" ({k * ends[0]:.1f} to {k * ends[1]:.1f})"
    return (
        f"Of the {k} products most similar to each product, {k * overlap['value']:.1f} on average{interval} "
        "are the same as before."
    )


def holds_sentence(facts: Mapping[str, Any]) -> str | None:
    """Return which encoders are on hold, since when and why; ``None``: none."""
    held = [hold_sentence(hold["encoder"], hold) for hold in facts["holds"]]
    return f"{'; '.join(held)}. `recsys holds --lift` lets one serve again." if held else None


def cheap_tricks_ahead(evaluation: Mapping[str, Any], task: Mapping[str, Any]) -> str | None:
    """Return which cheap tricks reach the score of the encoder in service, in words; ``None``: none."""
    chosen = (evaluation["chosen"] or {}).get("name")
    found = (task["scores"].get(chosen) or {}).get(task["main_metric"])
    if not found:
        return None
    ahead = [
        f"{formatting.BASELINES[name].lower()} ({value['value']:.3f})"
        for name, value in task["baselines"].items()
        if value["value"] >= found["value"]
    ]
    if not ahead:
        return None
    return (
        f"{formatting.joined(ahead).capitalize()} reach{'es' if len(ahead) == 1 else ''} what "
        f"“{title(evaluation, chosen)}” reaches ({found['value']:.3f}): this score says little about the "
        "encoder."
    )
