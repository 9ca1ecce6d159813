"""Everything the report says, as one JSON value: ``report.json``.

    {"version", "run_id", "name", "headline": [sentences], "catalog", "training", "evaluation",
     "embedding", "publication", "timings": [{"stage", "title", "seconds"}],
     "examples": [{"id", "neighbours"}], "products": {id: card},
     "provenance": [{"what", "ref", "created_at"}], "next": [{"command", "does"}],
     "map": {"ids", "categories", "points", "of"} or null}

Does not know: pages, pictures.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recsys.config import Config
from recsys.evaluation.report import plane, words
from recsys.evaluation.report.catalog import catalog_facts
from recsys.evaluation.report.judgement import evaluation_facts, training_facts, verdict
from recsys.evaluation.report.shelf import Shelf
from recsys.evaluation.report.similar import examples
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import EmbeddingSet
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
        {"stage": stage, "title": words.STAGES.get(stage, stage), "seconds": value}
        for stage, value in seconds.items()
    ]


def _plane(embeddings: EmbeddingSet, seed: int) -> dict[str, Any] | None:
    ids, vectors = plane.sample(embeddings)
    points = plane.project(vectors, seed=seed)
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
    came = words.count(catalog["num_products"] or 0, "product") + " came in"
    came += f" and {words.count(turned_away, 'row')} had to be turned away." if turned_away else "."
    return [verdict(facts["evaluation"]), came, index_words(facts["embedding"], index)]


def index_words(embedding: Mapping[str, Any], index: Mapping[str, Any]) -> str:
    """Return what happened to the index in one sentence."""
    counts = index.get("counts") or {}
    total = counts.get("total")
    alias = f"“{index.get('alias', 'products')}”"
    if index.get("action") == "build":
        return (
            f"A new collection of {words.count(total or 0, 'product')} was built and audited, and {alias} "
            f"now points at it; {words.count(embedding.get('embedded') or 0, 'product')} had to be embedded."
        )
    if index.get("action") == "nothing":
        return f"The index already showed this catalog: {alias} was left as it is."
    embedded = words.count(embedding.get("embedded") or 0, "product")
    changed = [
        words.count(counts[key], "product") + " " + what
        for key, what in (
            ("new", "added"),
            ("vectors", "changed"),
            ("payload", "refreshed"),
            ("gone", "deleted"),
        )
        if counts.get(key)
    ]
    return f"In {alias}, {words.joined(changed) or 'nothing'} – and {embedded} had to be embedded anew."


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
    text = words.last_step(card["category"]) if card.get("category") else str(card["title"])
    plain = "".join(c if c.isalnum() or c in " -" else " " for c in text)
    return " ".join(plain.split()[:4]).lower()


def _ids(examples: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return (str(example["id"]) for example in examples)
