"""One night as a whole: what was in service when it began, which artifact follows from which, its report.

The DAG and the command line both use it, so that ``recsys train`` continues what ``recsys ingest`` did.

Does not know: how any stage works, or Airflow.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from recsys.config import Config
from recsys.errors import InputError
from recsys.workspace import Manifest, Workspace, content_id

STAGES = ("ingest", "train", "evaluate", "embed", "publish")


def begin(config: Config, workspace: Workspace, run_id: str) -> str | None:
    """Record and return the encoder in service when run ``run_id`` began, or ``None`` on the first night.

    The first call of a run decides; a task that is cleared after the publication still judges tonight's
    challenger against last night's champion.
    """
    from recsys import index

    name = _pointer(run_id)
    record = workspace.read_pointer(name)
    if record is None:
        champion = index.live_encoder(config, workspace)
        record = {"run_id": run_id, "champion": champion, "started_at": datetime.now(UTC).isoformat()}
        workspace.write_pointer(name, record)
    champion = record["champion"]
    return str(champion) if champion else None


def publish(config: Config, workspace: Workspace, run_id: str, snapshot: str, embeddings: str) -> Manifest:
    """Publish tonight's embeddings, once per run: asked again, the run's own publication is the answer.

    Without that record a task cleared after its publication would find nothing to do, and the report would
    say that nothing happened tonight.
    """
    from recsys.index import run

    record = workspace.read_pointer(_pointer(run_id)) or {"run_id": run_id}
    published: dict[str, str] = record.get("publications", {})
    if embeddings in published:
        return workspace.get(published[embeddings])
    manifest = run.run(config, workspace, snapshot, embeddings)
    published[embeddings] = manifest.ref
    workspace.write_pointer(_pointer(run_id), {**record, "publications": published})
    return manifest


def report(config: Config, workspace: Workspace, run_id: str, refs: Mapping[str, str]) -> Manifest:
    """Write the report of run ``run_id``.

    ``refs`` names its artifacts: ``snapshot``, ``challenger``, ``evaluation``, ``embeddings`` and
    ``publication``.
    """
    from recsys import report as pages

    record = workspace.read_pointer(_pointer(run_id)) or {}
    made = [
        workspace.get(refs[role])
        for role in ("snapshot", "challenger", "evaluation", "embeddings", "publication")
    ]
    timings: dict[str, Any] = {
        stage: manifest.info.get("duration_s") for stage, manifest in zip(STAGES, made, strict=True)
    }
    if record.get("started_at"):
        elapsed = datetime.now(UTC) - datetime.fromisoformat(record["started_at"])
        timings["total"] = elapsed.total_seconds()
    return pages.build(
        config,
        workspace,
        run_id=run_id,
        snapshot_ref=refs["snapshot"],
        encoder_ref=refs["challenger"],
        evaluation_ref=refs["evaluation"],
        embedding_set_ref=refs["embeddings"],
        publication_ref=refs["publication"],
        timings=timings,
    )


def latest(workspace: Workspace, kind: str, *, made_by: str, **inputs: str) -> Manifest:
    """Return the newest artifact of ``kind`` made from these inputs (role = ref).

    ``made_by`` is the verb that makes it, for the :class:`InputError` when there is none.
    """
    for manifest in reversed(workspace.list(kind)):
        if all(manifest.inputs.get(role) == ref for role, ref in inputs.items()):
            return manifest
    of = " and ".join(f"{role} {ref}" for role, ref in inputs.items())
    raise InputError(
        f"There is nothing of kind {kind!r}{' for ' + of if of else ''} in {workspace.root}.",
        fix=f"Run `recsys {made_by}` first.",
    )


def latest_challenger(workspace: Workspace, snapshot: str) -> Manifest:
    """Return the encoder last fine-tuned on ``snapshot``; raises :class:`InputError` where there is none."""
    for manifest in reversed(workspace.list("encoders")):
        if manifest.inputs.get("snapshot") == snapshot and {"base", "splits"} <= manifest.inputs.keys():
            return manifest
    raise InputError(f"No encoder was trained on {snapshot} yet.", fix="Run `recsys train` first.")


def latest_snapshot(workspace: Workspace) -> str:
    """Return the ref of the newest catalog snapshot; raises :class:`InputError` before the first ingest."""
    pointer = workspace.read_pointer("catalog")
    if pointer is None:
        raise InputError(
            f"There is no catalog snapshot in {workspace.root}.", fix="Run `recsys ingest` first."
        )
    return str(pointer["snapshot"])


def _pointer(run_id: str) -> str:
    return f"runs/{content_id({'run': run_id})}"
