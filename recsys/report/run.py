"""The report's door: one artifact of kind ``reports`` for a run.

report.html   one self-contained page: no network, no script but its own
report.json   the same facts
summary.txt   half a page of plain text

"""

import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from recsys.config import Config
from recsys.report import render, summary
from recsys.report.cards import ProductCards
from recsys.report.facts import RunArtifacts, gather
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.monitoring import POINTER
from recsys.workspace.snapshot import Snapshot

logger = logging.getLogger(__name__)

KIND = "reports"
PAGE, FACTS, SUMMARY = "report.html", "report.json", "summary.txt"
_VERSION = 5


def build(
    config: Config,
    workspace: Workspace,
    *,
    run_id: str,
    snapshot_ref: str,
    encoder_ref: str,
    evaluation_ref: str,
    embedding_set_ref: str,
    publication_ref: str,
    plan_ref: str | None = None,
    timings: Mapping[str, float | None],
) -> Manifest:
    """Write the report of a run and return its manifest.

    ``encoder_ref`` is the challenger that was trained; ``timings`` is stage → seconds. Where the training
    plan ``plan_ref`` says not to train, challenger and evaluation are those of an earlier night.
    The id comes from the run and the artifacts it ended with: building it again returns what is there.
    ``info`` has
    ``run_id``, ``headline``, ``decision``, ``reasons``, ``chosen``, ``counts``, ``alias``, ``collection``,
    ``examples``, ``next``, ``monitoring`` (:mod:`recsys.workspace.monitoring`), ``page`` (where the page
    lies) and ``duration_s``.
    """
    started = time.monotonic()
    refs = (snapshot_ref, encoder_ref, evaluation_ref, embedding_set_ref, publication_ref)
    snapshot, challenger, evaluation, embeddings, publication = (workspace.get(ref) for ref in refs)
    run = RunArtifacts(
        run_id=run_id,
        snapshot=snapshot,
        challenger=challenger,
        evaluation=evaluation,
        embeddings=embeddings,
        publication=publication,
        plan=workspace.get(plan_ref) if plan_ref else None,
        timings=timings,
    )
    id = content_id({"version": _VERSION, "run": run_id, "inputs": run.inputs})
    existing = workspace.find_intact(KIND, id)
    if existing is not None:
        return existing
    cards = ProductCards(Snapshot(workspace, snapshot))
    facts = gather(config, workspace, run, cards, at=datetime.now(UTC).isoformat(timespec="seconds"))
    night = facts["monitoring"]["night"]
    html = render.render(facts, cards)
    before = (facts["overlap"] or {}).get("embeddings")
    compared = {"embeddings_before": before, "embeddings_last_night": night["before"]}
    inputs = run.inputs | {role: ref for role, ref in compared.items() if ref}
    with workspace.create(KIND, id, inputs=inputs) as draft:
        where = f"{draft.url}/{PAGE}"
        (draft.path / PAGE).write_text(html, encoding="utf-8")
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False, default=str)
        (draft.path / FACTS).write_text(text + "\n", encoding="utf-8")
        (draft.path / SUMMARY).write_text(summary.text(facts, where), encoding="utf-8")
        draft.info |= {key: facts[key] for key in ("run_id", "headline", "examples", "next")}
        draft.info |= {key: facts["evaluation"].get(key) for key in ("decision", "reasons", "chosen")}
        draft.info |= {key: facts["publication"].get(key) for key in ("counts", "alias", "collection")}
        draft.info |= {"monitoring": night, "page": where}
        draft.info["duration_s"] = round(time.monotonic() - started, 3)
        workspace.write_pointer(POINTER, night)
    for said in night["unusual"].values():
        logger.warning("%s", said)
    logger.info("report of %s: %s, %d KB", run_id, where, len(html) // 1024)
    return draft.committed()
