"""The night's judgement: how the challenger was trained, how candidates did, what the gate said.

Everything the report says, as one JSON value: ``report.json``.

    {"version", "run_id", "name", "headline": [sentences], "catalog", "training", "evaluation",
     "embedding", "publication", "timings": [{"stage", "title", "seconds"}],
     "examples": [{"id", "neighbours"}], "products": {id: card},
     "provenance": [{"what", "ref", "created_at"}], "next": [{"command", "does"}],
     "map": {"ids", "categories", "points", "of"} or null}

What came in and what was turned away, from a catalog snapshot.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recsys.config import Config
from recsys.report import formatting, projection_2d
from recsys.report.examples import examples
from recsys.report.product_cards import Shelf
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import EmbeddingSet
from recsys.workspace.evaluations import read_evaluation
from recsys.workspace.snapshot import Snapshot

VERSION = 1
NUM_EXAMPLES, NUM_NEIGHBOURS = 3, 5


_PUBLICATION: dict[str, Any] = {
    "action": "nothing",
    "reason": None,
    "alias": None,
    "collection": None,
    "previous": None,
    "behind": None,
    "collected": [],
    "counts": {},
    "audit": None,
}
"""What a publication says where it has nothing to say."""


@dataclass(frozen=True, kw_only=True)
class Night:
    """The artifacts of one run."""

    run_id: str
    snapshot: Manifest
    challenger: Manifest
    evaluation: Manifest
    embeddings: Manifest
    publication: Manifest
    timings: Mapping[str, float | None]
    """Stage → seconds."""

    @property
    def inputs(self) -> dict[str, str]:
        """Return role → ref."""
        made = (self.snapshot, self.challenger, self.evaluation, self.embeddings, self.publication)
        roles = ("snapshot", "challenger", "evaluation", "embeddings", "publication")
        return {role: manifest.ref for role, manifest in zip(roles, made, strict=True)}


def gather(config: Config, workspace: Workspace, night: Night, shelf: Shelf) -> dict[str, Any]:
    """Return the facts; ``shelf`` then holds the words of every product they name."""
    snapshot = Snapshot(workspace, night.snapshot)
    evaluation = evaluation_facts(workspace, night.evaluation)
    embeddings = EmbeddingSet(workspace, night.embeddings.ref)
    weight = float(evaluation.get("image_weight", 0.5))
    settings = {"examples": NUM_EXAMPLES, "neighbours": NUM_NEIGHBOURS, "image_weight": weight}
    facts: dict[str, Any] = {
        "version": VERSION,
        "run_id": night.run_id,
        "name": config.name,
        "catalog": catalog_facts(snapshot),
        "training": training_facts(night.challenger),
        "evaluation": evaluation,
        "embedding": {
            k: night.embeddings.info.get(k) for k in ("embedded", "reused", "counts", "duration_s")
        },
        "publication": _PUBLICATION | night.publication.info,
        "timings": _timings(workspace, night),
        "examples": examples(snapshot, embeddings, settings),
        "map": _plane(embeddings, config.seed),
        "provenance": _provenance(workspace, night),
    }
    shelf.fetch(_named(facts))
    facts["products"] = {id: shelf.card(id) for id in sorted(_named(facts)) if id in shelf}
    if facts["map"]:
        facts["map"]["categories"] = [shelf.card(id)["category"] for id in facts["map"]["ids"]]
    facts["headline"] = headline(facts)
    facts["next"] = _next_steps(facts)
    return facts


def _timings(workspace: Workspace, night: Night) -> list[dict[str, Any]]:
    """Return seconds per stage; embedding is the work of tonight's shards, wherever they were made."""
    seconds = dict(night.timings)
    shards = [workspace.get(ref) for ref in night.embeddings.info.get("shards", [])]
    made = [s.info.get("duration_s", 0.0) for s in shards if s.inputs.get("snapshot") == night.snapshot.ref]
    seconds["embed"] = sum(made) + (night.embeddings.info.get("duration_s") or 0.0)
    return [
        {"stage": stage, "title": formatting.STAGES.get(stage, stage), "seconds": value}
        for stage, value in seconds.items()
    ]


def _plane(embeddings: EmbeddingSet, seed: int) -> dict[str, Any] | None:
    ids, vectors = projection_2d.sample(embeddings)
    points = projection_2d.project(vectors, seed=seed)
    if points is None:
        return None
    return {
        "ids": ids,
        "points": [[round(float(c), 4) for c in point] for point in points],
        "of": len(embeddings),
    }


def _named(facts: Mapping[str, Any]) -> set[str]:
    """Return the id of every product that the facts speak of."""
    ids = {row["id"] for row in facts["catalog"]["rejected"] if row["id"]}
    ids |= set((facts["map"] or {}).get("ids", ()))
    for example in facts["examples"]:
        ids |= {example["id"], *(n["id"] for n in example["neighbours"])}
    for example in facts["evaluation"].get("examples", []):
        ids.add(example["id"])
        ids |= {n["id"] for side in example["neighbours"].values() for n in side}
    return ids


def headline(facts: Mapping[str, Any]) -> list[str]:
    """Return what happened, in two or three sentences."""
    catalog, index = facts["catalog"], facts["publication"]
    turned_away = catalog["num_rejected"].get("product", 0)
    came = formatting.count(catalog["num_products"] or 0, "product") + " came in"
    came += f" and {formatting.count(turned_away, 'row')} had to be turned away." if turned_away else "."
    return [verdict(facts["evaluation"]), came, index_words(facts["embedding"], index)]


def index_words(embedding: Mapping[str, Any], index: Mapping[str, Any]) -> str:
    """Return what happened to the index in one sentence."""
    counts = index.get("counts") or {}
    total = counts.get("total")
    alias = f"“{index.get('alias', 'products')}”"
    if index.get("action") == "build":
        return (
            f"A new collection of {formatting.count(total or 0, 'product')} was built and audited, "
            f"and {alias} now points at it; {formatting.count(embedding.get('embedded') or 0, 'product')} "
            "had to be embedded."
        )
    if index.get("action") == "nothing":
        return f"The index already showed this catalog: {alias} was left as it is."
    embedded = formatting.count(embedding.get("embedded") or 0, "product")
    changed = [
        formatting.count(counts[key], "product") + " " + what
        for key, what in (
            ("new", "added"),
            ("vectors", "changed"),
            ("payload", "refreshed"),
            ("gone", "deleted"),
        )
        if counts.get(key)
    ]
    return f"In {alias}, {formatting.joined(changed) or 'nothing'} – and {embedded} had to be embedded anew."


def _provenance(workspace: Workspace, night: Night) -> list[dict[str, Any]]:
    roles = dict(night.inputs)
    for manifest in (night.challenger, night.evaluation):
        for role, ref in manifest.inputs.items():
            roles.setdefault(
                {"challenger": "challenger", "start": "training started from"}.get(role, role), ref
            )
    chosen = night.evaluation.info.get("chosen")
    if chosen:
        roles["in service now"] = chosen
    if night.publication.info.get("collection"):
        roles["collection"] = night.publication.info["collection"]
    return [{"what": role, "ref": ref, "created_at": _created(workspace, ref)} for role, ref in roles.items()]


def _created(workspace: Workspace, ref: str) -> str | None:
    kind, _, id = ref.partition("/")
    manifest = workspace.find(kind, id) if id else None
    return manifest.created_at if manifest else None


def _next_steps(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    example = next(iter(_ids(facts["examples"])), "ID")
    words_to_try = next((_typeable(facts["products"][id]) for id in list(_ids(facts["examples"]))[::-1]), "")
    return [
        {"command": f"recsys similar {shlex.quote(example)}", "does": "what is similar to a product"},
        {"command": f'recsys search --text "{words_to_try or "blue"}"', "does": "find products by words"},
        {"command": "recsys status", "does": "what is in service"},
    ]


def _typeable(card: Mapping[str, Any]) -> str:
    """Return words of a product that are safe to paste into a shell, whatever the feed says."""
    text = formatting.last_step(card["category"]) if card.get("category") else str(card["title"])
    plain = "".join(c if c.isalnum() or c in " -" else " " for c in text)
    return " ".join(plain.split()[:4]).lower()


def _ids(examples: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return (str(example["id"]) for example in examples)


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
        {"scope": scope, "reason": reason, "words": formatting.reason(reason), "count": number}
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
            scope: sum(r["count"] for r in reasons if r["scope"] == scope) for scope in formatting.SCOPES
        },
        "diff": info.get("diff", {}),
        "reasons": reasons,
        "rejected": rows,
        "num_rejected_rows": rejected.num_rows,
    }


_EVALUATION_SAYS: dict[str, Any] = {
    "confidence": 0.95,
    "image_weight": 0.5,
    "reference": None,
    "challenger": None,
    "decision": None,
    "chosen": None,
    "reasons": [],
    "notes": [],
    "gate": None,
    "candidates": [],
    "tasks": [],
    "examples": [],
}
_NOT_LOSSES = {"step", "epoch", "seconds", "lr_factor", "progress"}


def training_facts(encoder: Manifest) -> dict[str, Any]:
    """Return how the challenger was trained: curves, counts, or why it was not."""
    info = encoder.info
    fit = info.get("fit") or {}
    history = fit.get("history") or []
    names = [name for name in dict.fromkeys(k for entry in history for k in entry) if name not in _NOT_LOSSES]
    curves = {
        name: [[e["step"], e[name]] for e in history if e.get(name) is not None and "step" in e]
        for name in names
    }
    return {
        "trained": bool(info.get("trained", fit)),
        "reason": info.get("reason"),
        "device": fit.get("device"),
        "steps": fit.get("steps"),
        "seconds": fit.get("seconds"),
        "images_per_second": fit.get("images_per_second"),
        "best_epoch": fit.get("best_epoch"),
        "stopped_early": bool(fit.get("stopped_early")),
        "validation": {
            "metric": info.get("config", {}).get("validation", {}).get("metric"),
            "label": info.get("validation_label"),
            "epochs": [
                {"epoch": e["epoch"], "metric": e.get("metric")}
                for e in fit.get("epochs") or []
                if "epoch" in e
            ],
        },
        "splits": info.get("counts", {}).get("splits", {}),
        "judgements": _judgements_words(info.get("counts", {}).get("supervision", {}).get("judgements")),
        "losses": curves,
    }


def _judgements_words(counts: Mapping[str, int] | None) -> str | None:
    """Return what became of people's judgements in one sentence; ``None`` where there were none."""
    if not counts:
        return None
    parts = [
        f"{formatting.count(counts['learnt'], 'pair')} learnt from "
        f"({counts['similar']:,} similar, {counts['not_similar']:,} not)"
    ]
    others = {
        "selecting": "help to pick the challenger",
        "judging": "judge the candidates",
        "left_out": "left out",
        "gone": "of products that are gone",
    }
    parts += [f"{counts[key]:,} {what}" for key, what in others.items() if counts[key]]
    return f"Of what people judged: {formatting.joined(parts)}."


def evaluation_facts(workspace: Workspace, evaluation: Manifest) -> dict[str, Any]:
    """Return ``evaluation.json``, complete with what it may lack."""
    return _EVALUATION_SAYS | read_evaluation(workspace, evaluation)


def candidate(evaluation: Mapping[str, Any], name: str | None) -> dict[str, Any] | None:
    """Return the entry of a candidate, or ``None``."""
    return next((c for c in evaluation.get("candidates", []) if c["name"] == name), None)


def title(evaluation: Mapping[str, Any], name: str | None) -> str:
    """Return what a candidate is called, such as ``Fine-tuned tonight``."""
    found = candidate(evaluation, name)
    return str(found["title"]) if found and found.get("title") else str(name or "none")


def verdict(evaluation: Mapping[str, Any]) -> str:
    """Return the decision in one sentence."""
    chosen = evaluation.get("chosen") or {}
    name = title(evaluation, chosen.get("name"))
    if evaluation.get("reference") != "champion":
        return f"There was no champion yet: “{name}” is the first encoder in service."
    if evaluation.get("decision") == "promote":
        return f"A new encoder takes over: “{name}”."
    return "The champion stays."


def check_title(evaluation: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    """Return what one of the gate's comparisons is about."""
    if check.get("kind") == "overall":
        return "All tasks together"
    tasks = {task["name"]: task["title"] for task in evaluation.get("tasks", [])}
    return str(tasks.get(check["name"], check["name"]) if check.get("kind") == "task" else check["name"])


def check_words(evaluation: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    """Return one of the gate's comparisons as a sentence."""
    name = check_title(evaluation, check)
    subject = {
        "overall": "Over all tasks",
        "task": f"On the task “{name}”",
        "category": f"In the category “{name}”",
    }.get(str(check.get("kind")), name)
    return (
        f"{subject}, the challenger differs by {formatting.signed(check.get('difference'))} "
        f"({formatting.signed(check.get('low'))} to {formatting.signed(check.get('high'))}, "
        f"{formatting.count(check.get('num_queries') or 0, 'query', 'queries')}); "
        f"the interval must lie above {formatting.signed(check.get('limit'))}: "
        f"{'passed' if check.get('passed') else 'not passed'}."
    )
