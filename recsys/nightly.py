"""One nightly run as a whole: which artifact follows from which, what was in service before it, its report.

The DAG and the command line both use it, so that ``recsys train`` continues what ``recsys ingest`` did.
"""

import logging
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from recsys.config import Config
from recsys.errors import ArtifactError, AuditError, DamagedError, InputError, UnusualError
from recsys.workspace import Manifest, Workspace, content_id

if TYPE_CHECKING:
    from recsys.index.audit import Encode
    from recsys.workspace.embeddings import Vectors
    from recsys.workspace.retention import Garbage

logger = logging.getLogger(__name__)

STAGES = {
    "ingest": "snapshot",
    "train": "challenger",
    "evaluate": "evaluation",
    "embed": "embeddings",
    "publish": "publication",
}
"""Stage → the artifact it makes."""


def find_champion(config: Config, workspace: Workspace) -> str | None:
    """Return the encoder in service, whose artifact is there: others are compared with it.

    ``None`` before the first publication, and where the encoder that serves was deleted: then the night goes
    as the first one did.
    """
    from recsys import index

    serving = index.live_encoder(config, workspace)
    if serving is None or workspace.find_ref(serving) is not None:
        return serving
    logger.warning("%s serves and is gone: nothing can be compared with it any more", serving)
    return None


def champion_at_start(config: Config, workspace: Workspace, run_id: str) -> str | None:
    """Return what :func:`find_champion` did when run ``run_id`` began.

    The first call of a run records it: a task that is cleared after the publication still compares
    tonight's challenger with last night's champion.
    """
    name = _record_name(run_id)
    record = workspace.read_pointer(name)
    if record is None:
        champion = find_champion(config, workspace)
        record = {
            "run_id": run_id,
            "champion": champion,
            "started_at": datetime.now(UTC).isoformat(),
            "sequence": workspace.next_sequence(),
        }
        workspace.write_pointer(name, record)
    return record["champion"] or None


def plan_training(
    config: Config,
    workspace: Workspace,
    refs: Mapping[str, str | None],
    *,
    run_id: str | None = None,
    force: bool = False,
) -> Manifest:
    """Decide whether to train on ``refs`` (``snapshot``, ``champion``, ``judgements``); return the plan.

    What run ``run_id`` made itself does not count: a task that is cleared after tonight's evaluation decides
    as it did before.
    """
    from recsys.training.plan import plan
    from recsys.workspace import judgements

    record = workspace.read_pointer(_record_name(run_id)) if run_id else None
    began = (record["sequence"], record["started_at"]) if record and "started_at" in record else None
    made = {
        "evaluation": [m for m in workspace.list("evaluations") if m.info["chosen"] == refs["champion"]],
        "embeddings": [
            m for m in workspace.list("embedding-sets") if m.inputs["encoder"] == refs["champion"]
        ],
    }
    before = {
        role: (m.ref for m in reversed(found) if not began or m.order < began) for role, found in made.items()
    }
    before["embeddings"] = (ref for ref in before["embeddings"] if _is_whole(workspace, ref))
    newest = {role: ref for role, found in before.items() if (ref := next(found, None))}
    judged = judgements.nonempty(workspace, refs["judgements"])
    inputs = {**refs, "judgements": judged, **newest}
    return plan(config, workspace, {role: ref for role, ref in inputs.items() if ref}, force=force)


def _is_whole(workspace: Workspace, embeddings: str) -> bool:
    from recsys.workspace.embeddings import EmbeddingSet

    try:
        EmbeddingSet(workspace, embeddings)
    except ArtifactError as error:  # tonight embeds it again; the plan does without it
        logger.warning("left out: %s", error)
        return False
    return True


def latest_plan(workspace: Workspace, snapshot: str) -> Manifest | None:
    """Return the newest training plan of ``snapshot``, or ``None``."""
    plans = [m for m in workspace.list("training-plans") if m.inputs["snapshot"] == snapshot]
    return plans[-1] if plans else None


def latest_evaluation(workspace: Workspace, snapshot: str) -> Manifest:
    """Return the evaluation that says which encoder serves ``snapshot``.

    It is the newest of ``snapshot``, or, if it was decided since that there is nothing to learn from it, the
    one that chose the encoder in service. Raises :class:`InputError` if there is neither.
    """
    plan = latest_plan(workspace, snapshot)
    if plan is None or plan.info["train"]:
        return latest(workspace, "evaluations", made_by="evaluate", snapshot=snapshot)
    since = [m for m in workspace.list("evaluations") if m.order > plan.order]
    tonight = [m for m in since if m.inputs["snapshot"] == snapshot]
    return tonight[-1] if tonight else workspace.get(plan.inputs["evaluation"])


def encoder_to_serve(config: Config, workspace: Workspace, evaluation: Manifest) -> str:
    """Return the encoder that ``evaluation`` chose; where that is on hold, the one in service."""
    from recsys import index
    from recsys.workspace.holds import holds

    chosen = str(evaluation.info["chosen"])
    if chosen not in holds(workspace):
        return chosen
    champion = index.live_encoder(config, workspace)
    logger.warning("%s is on hold: %s goes on serving", chosen, champion)
    return champion or chosen


def publish(
    config: Config,
    workspace: Workspace,
    snapshot: str,
    embeddings: str,
    *,
    refresh: bool = False,
    idempotency_key: str | None = None,
) -> Manifest:
    """Publish an embedding set whose audit encodes a sample of products anew; see :mod:`recsys.index.run`.

    A ``refresh`` never changes the encoder in service. A publication that does embeds first what a refresh
    brought in since ``snapshot``, so that it shows that too.
    """
    from recsys import index
    from recsys.index import run
    from recsys.workspace.snapshot import newest_snapshot

    encoder = workspace.get(embeddings).inputs["encoder"]
    latest = newest_snapshot(workspace)
    if (
        latest not in (None, snapshot)
        and not refresh
        and index.live_encoder(config, workspace) not in (None, encoder)
    ):
        from recsys.embedding import run as embedding

        embedding.run(config, workspace, latest, encoder)
    return run.run(
        config,
        workspace,
        snapshot,
        embeddings,
        encode=_encode(config, workspace),
        may_change_encoder=not refresh,
        idempotency_key=idempotency_key,
    )


def _encode(config: Config, workspace: Workspace) -> "Encode":
    def encode(*sample: Any) -> "Vectors":
        from recsys.embedding.reencode import reencode  # torch, which a night without changes does not need

        return reencode(config, workspace, *sample)

    return encode


def rollback(
    config: Config,
    workspace: Workspace,
    to: str | None = None,
    *,
    as_it_was: bool = False,
    idempotency_key: str | None = None,
) -> Manifest:
    """Go back to the collection ``to``, by default the one before; see :mod:`recsys.index.rollback`.

    Unless ``as_it_was``, today's catalog is embedded under its encoder first, and the audit encodes a sample
    anew. What stands in the way of that names ``--as-it-was`` as the way back without it.
    """
    from recsys.index import rollback
    from recsys.index.run import find_publication

    if (made := find_publication(workspace, idempotency_key)) is not None:
        return made
    if as_it_was:
        return rollback.run(config, workspace, to, snapshot_ref=None, idempotency_key=idempotency_key)
    target = rollback.choose(config, workspace, to)
    encoder, encode = target.metadata.encoder, None
    try:
        snapshot = latest_snapshot(workspace)
        if workspace.find_ref(encoder) is not None:
            from recsys.embedding import run as embedding

            embedding.run(config, workspace, snapshot, encoder)
            encode = _encode(config, workspace)
        return rollback.run(
            config,
            workspace,
            target.name,
            snapshot_ref=snapshot,
            encode=encode,
            idempotency_key=idempotency_key,
        )
    except (ArtifactError, AuditError, InputError) as error:
        fix = f"To go back without today's catalog: recsys rollback --to {target.name} --as-it-was"
        raise type(error)(error.message, fix=f"{fix}\n  Or: {error.fix}") from error


def audit(config: Config, workspace: Workspace, *, repair: bool) -> Manifest | None:
    """Audit the live collection, encoding a sample anew, and ``repair`` it; see :mod:`recsys.index.repair`.

    Vectors that are gone or damaged are embedded again first. What stands in the way of an audit says how to
    bring the live collection up to date without it.
    """
    from recsys import index
    from recsys.index import repair as stage

    live = index.status(config, workspace)
    try:
        if repair and live["collection"]:
            from recsys.embedding import run as embedding

            embedding.run(config, workspace, live["snapshot"], live["encoder"])
        return stage.run(config, workspace, repair=repair, encode=_encode(config, workspace))
    except ArtifactError as error:
        fix = "recsys refresh makes catalog and vectors again; without its encoder, go back: recsys rollback"
        raise type(error)(
            f"{live['collection']} is live and cannot be audited: {error.message}",
            fix=f"{fix}\n  Or: {error.fix}",
        ) from error


def audit_and_repair(config: Config, workspace: Workspace) -> None:
    """Audit the live collection and repair it; raises :class:`DamagedError`, an alarm, where it was wrong."""
    publication = audit(config, workspace, repair=True)
    if publication is not None:
        raise DamagedError(
            f"{publication.info['reason']}\n  Readers have {publication.info['collection']} instead.",
            fix='It is repaired. Find out what wrote to the index: "A live index that is wrong" in '
            "docs/operations.md.",
        )


def publish_once(
    config: Config, workspace: Workspace, run_id: str, snapshot: str, embeddings: str
) -> Manifest:
    """Publish tonight's embeddings; a second call of the same run returns the first one's publication.

    Without that record a task cleared after its publication would find nothing to do, and the report would
    say that nothing happened tonight.
    """
    key = content_id({"run": run_id, "what": embeddings})
    return publish(config, workspace, snapshot, embeddings, idempotency_key=key)


def rollback_once(
    config: Config, workspace: Workspace, run_id: str, to: str | None, *, as_it_was: bool
) -> Manifest:
    """Go back as :func:`rollback` does; a second call of the same run does not go back further."""
    key = content_id({"run": run_id, "what": "rollback"})
    return rollback(config, workspace, to, as_it_was=as_it_was, idempotency_key=key)


def write_report(config: Config, workspace: Workspace, run_id: str, refs: Mapping[str, str]) -> Manifest:
    """Write the report of run ``run_id``.

    ``refs`` names its artifacts by the values of :data:`STAGES`, and its training ``plan`` if there is one.
    Where that says not to train, challenger and evaluation are those that the encoder in service comes from.
    """
    from recsys import report

    record = workspace.read_pointer(_record_name(run_id)) or {}
    plan = workspace.get(refs["plan"]) if "plan" in refs else None
    earlier = ("train", "evaluate") if plan and not plan.info["train"] else ()
    timings: dict[str, Any] = {
        stage: workspace.get(refs[role]).info.get("duration_s")
        for stage, role in STAGES.items()
        if stage not in earlier
    }
    if record.get("started_at"):
        elapsed = datetime.now(UTC) - datetime.fromisoformat(record["started_at"])
        timings["total"] = elapsed.total_seconds()
    return report.build(
        config,
        workspace,
        run_id=run_id,
        snapshot_ref=refs["snapshot"],
        encoder_ref=refs["challenger"],
        evaluation_ref=refs["evaluation"],
        embedding_set_ref=refs["embeddings"],
        publication_ref=refs["publication"],
        plan_ref=refs.get("plan"),
        timings=timings,
    )


def monitor(workspace: Workspace, report: str) -> int:
    """Return how many figures of the night that ``report`` is about are unusual.

    Raises :class:`UnusualError` that names those that were not so the night before: an alarm, once, after
    the night's work is done.
    """
    night = workspace.get(report).info.get("monitoring") or {"alarms": [], "unusual": []}
    if night["alarms"]:
        raise UnusualError(
            "\n  ".join(["The vectors that were published are unusual:", *night["alarms"]]),
            fix='Look at the night\'s report, and at "Unusual figures" in docs/operations.md.',
        )
    return len(night["unusual"])


def scrub(config: Config, workspace: Workspace) -> int:
    """Read again what was not read for ``workspace.scrub_days``; return the number of artifacts.

    Raises :class:`DamagedError` that names what is damaged: an alarm, after the night's work is done.
    """
    from recsys.workspace.scrub import scrub

    found = scrub(workspace, older_than_s=config.workspace.scrub_days * 86_400)
    logger.info("scrub: %d artifacts, %d bytes", found.num_read, found.size_bytes)
    if found.damaged:
        raise DamagedError(
            "\n  ".join([f"{len(found.damaged)} artifact(s) are damaged:", *found.damaged.values()]),
            fix="Run `recsys scrub --delete` and the night again: it makes anew what is missing.",
        )
    return found.num_read


def housekeeping(
    config: Config, workspace: Workspace, *, delete: bool, now: datetime | None = None
) -> "list[Garbage]":
    """Find what nothing needs any more (:mod:`recsys.workspace.retention`), ``delete`` it, and return it.

    What the index's collections show stays, what the pointers name, holds included, the newest evaluation,
    and the newest that chose the encoder of a collection, from which the gate and the plan go on; and all
    that these need. With ``delete`` the image store is compacted too (:mod:`recsys.catalog.compaction`).
    Waits for a publication and an ingest. Raises :class:`DamagedError`, with nothing deleted, for a damaged
    manifest.
    """
    from recsys.catalog.compaction import compact
    from recsys.catalog.run import LOCK as CATALOG
    from recsys.index.service import LOCK as INDEX
    from recsys.workspace.retention import delete_garbage, find_garbage

    now, kept = now or datetime.now(UTC), config.workspace
    since, reports_since = (now - timedelta(days=days) for days in (kept.keep_days, kept.keep_reports_days))
    with workspace.lease(INDEX) as publishing, workspace.lease(CATALOG) as ingesting:
        roots = _roots(config, workspace, since)
        garbage = find_garbage(workspace, roots, since=since, reports_since=reports_since)
        if delete:
            leases = (publishing, ingesting)

            def fence() -> None:
                for lease in leases:
                    lease.check_if_due()

            garbage = delete_garbage(workspace, garbage, since=since, fence=fence)
            compact(config, workspace, ingesting)
    verb, size_bytes = "deleted" if delete else "could delete", sum(item.size_bytes for item in garbage)
    logger.info("housekeeping: %s %d things, %d bytes", verb, len(garbage), size_bytes)
    return garbage


def _roots(config: Config, workspace: Workspace, since: datetime) -> set[str]:
    from recsys.index import open_index
    from recsys.workspace.retention import refs_in

    with closing(open_index(config, workspace)) as index:
        collections = [collection.metadata for collection in index.collections()]
    roots = {ref for each in collections for ref in refs_in(each.to_json())}
    for name in workspace.pointers():
        changed_at = workspace.usage(f"pointers/{name}.json")[1]
        if not name.startswith("runs/") or (changed_at and changed_at >= since):
            roots.update(refs_in(workspace.read_pointer(name)))
    evaluations = workspace.list("evaluations")
    newest = {evaluation.info["chosen"]: evaluation.ref for evaluation in evaluations}
    roots.update(newest[each.encoder] for each in collections if each.encoder in newest)
    return roots | {evaluation.ref for evaluation in evaluations[-1:]}


def latest(workspace: Workspace, kind: str, *, made_by: str, **inputs: str) -> Manifest:
    """Return the newest artifact of ``kind`` made from these inputs (role = ref).

    Raises :class:`InputError` if there is none; ``made_by`` is the verb that makes one.
    """
    for manifest in reversed(workspace.list(kind)):
        if all(manifest.inputs.get(role) == ref for role, ref in inputs.items()):
            return manifest
    of = "".join(f" of {role} {ref}" for role, ref in inputs.items())
    raise InputError(
        f"There are no {kind}{of} in {workspace.root}.",
        fix=f"Run `recsys {made_by}` first.",
    )


def latest_challenger(workspace: Workspace, snapshot: str) -> Manifest:
    """Return the encoder last trained on ``snapshot``; raises :class:`InputError` if there is none."""
    for manifest in reversed(workspace.list("encoders")):
        if manifest.inputs.get("snapshot") == snapshot and {"base", "splits"} <= manifest.inputs.keys():
            return manifest
    raise InputError(f"No encoder was trained on {snapshot} yet.", fix="Run `recsys train` first.")


def latest_snapshot(workspace: Workspace) -> str:
    """Return the ref of the newest catalog snapshot; raises :class:`InputError` before the first ingest."""
    from recsys.workspace.snapshot import newest_snapshot

    newest = newest_snapshot(workspace)
    if newest is None:
        raise InputError(
            f"There is no catalog snapshot in {workspace.root}.", fix="Run `recsys ingest` first."
        )
    return newest


def _record_name(run_id: str) -> str:
    return f"runs/{content_id({'run': run_id})}"
