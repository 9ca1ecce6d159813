"""Decides whether to train: what came in since the last training, against ``training.retrain``.

The last training is the challenger of the evaluation that last left the encoder in service where it is, or
put it there; whether the gate took it does not matter. Counting from the training of the encoder in service
would be wrong: a base never had one, and where the gate refuses every challenger, each night would try again
what the night before has tried.

Reads artifacts, without torch and without embedding anything: what decides needs no GPU.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from recsys.config import Config
from recsys.config.base import differences
from recsys.errors import ArtifactError
from recsys.training.changes import count_changed
from recsys.training.drift import count_unlike
from recsys.training.settings import settings_of
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.embeddings import EmbeddingSet
from recsys.workspace.judgements import read_judgements
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import TRAIN, read_splits

logger = logging.getLogger(__name__)

KIND = "training-plans"
_VERSION = 2


class Finding(NamedTuple):
    """One thing that was looked at."""

    clause: str
    is_reason: bool


def plan(config: Config, workspace: Workspace, inputs: Mapping[str, str], *, force: bool = False) -> Manifest:
    """Decide whether to train and return the decision (kind ``training-plans``).

    ``inputs`` names tonight's ``snapshot`` and, as far as there are any, the ``champion``, ``judgements``,
    the ``evaluation`` that last chose the champion, and ``embeddings``, the newest embedding set of the
    champion. ``info`` holds ``train``, ``sentence``, ``reasons`` and ``findings``: what was looked at, in
    words. ``force`` is a reason by itself. The same inputs and settings give the same plan. Raises
    :class:`InputError` where a file that the settings name is missing.
    """
    settings = settings_of(config)
    limits = config.training.retrain.model_dump(mode="json")
    parts: dict[str, Any] = {"version": _VERSION, "inputs": dict(inputs), "force": force}
    parts |= {"settings": settings, "limits": limits}
    id = content_id(parts)
    existing = workspace.find_intact(KIND, id)
    if existing is not None:
        return existing
    findings = [Finding("it was asked for", True)] if force else []
    findings += _findings(config, workspace, inputs, settings)
    clauses = [finding.clause for finding in findings]
    reasons = [finding.clause for finding in findings if finding.is_reason]
    sentence = "Training tonight: " if reasons else "Nothing to learn from tonight: "
    sentence += "; ".join(reasons or clauses) + "."
    with workspace.create(KIND, id, inputs=inputs) as draft:
        draft.info |= {"train": bool(reasons), "sentence": sentence, "reasons": reasons, "findings": clauses}
    logger.info("%s", sentence)
    return draft.committed()


def _findings(
    config: Config, workspace: Workspace, inputs: Mapping[str, str], settings: Mapping[str, Any]
) -> Iterator[Finding]:
    limits = config.training.retrain
    if limits.always:
        yield Finding("training.retrain.always is set", True)
    if "champion" not in inputs:
        yield Finding("no encoder is in service, or it is gone", True)
        return
    last = _last_training(workspace, inputs)
    if last is None:
        yield Finding("it is not known any more what the last training learnt from", True)
        return
    changed = differences(last.info["settings"], settings)
    if changed:
        yield Finding(f"settings changed since the last training ({', '.join(changed[:3])})", True)
        return
    if config.training.max_epochs == 0:
        yield Finding("training is switched off, training.max_epochs is 0", False)
        return
    before, tonight = (Snapshot.open(workspace, ref) for ref in (last.inputs["snapshot"], inputs["snapshot"]))
    split = read_splits(workspace, last.inputs["splits"])
    roles = dict(zip(split.column("id").to_pylist(), split.column("split").to_pylist(), strict=True))

    trained = [id for id, role in roles.items() if role == TRAIN]
    number, total = count_changed(config, before, tonight, trained)
    yield _share(number, total, "products to learn from", "are new or changed", limits.changed_share)

    earlier, known = (_judged(workspace, each.get("judgements")) for each in (last.inputs, inputs))
    number = len(known - earlier)
    judgements = f"{number:,} {'judgement is' if number == 1 else 'judgements are'} new"
    yield _compared(judgements, number, limits.new_judgements, below="fewer than")

    age = datetime.fromisoformat(tonight.manifest.created_at) - datetime.fromisoformat(last.created_at)
    days = max(age / timedelta(days=1), 0.0)
    yield _compared(f"the last training was {days:.0f} days before this catalog", days, limits.max_age_days)

    counts = _count_unlike(workspace, inputs.get("embeddings"), roles)
    if counts is not None:
        yield _share(*counts, "new products", "are unlike all that was trained on", limits.drift_share)


def _count_unlike(
    workspace: Workspace, embeddings: str | None, roles: Mapping[str, str]
) -> tuple[int, int] | None:
    """Return how many new products are unlike, and of how many; ``None`` where too few vectors are there."""
    try:
        return count_unlike(EmbeddingSet(workspace, embeddings), roles) if embeddings else None
    except ArtifactError:  # a shard of it is gone
        return None


def _share(number: int, total: int, of: str, what: str, limit: float) -> Finding:
    share = number / max(total, 1)
    text = f"{number:,} of {total:,} {of} ({share:.1%}) {what}"
    return _compared(text, 100 * share, 100 * limit, unit="%")


def _compared(text: str, value: float, limit: float, *, below: str = "less than", unit: str = "") -> Finding:
    is_reason = value >= limit
    return Finding(f"{text}, {'at least' if is_reason else below} {limit:g}{unit}", is_reason)


def _last_training(workspace: Workspace, inputs: Mapping[str, str]) -> Manifest | None:
    """Return the last training; ``None`` where it, or anything it learnt from, is gone."""
    evaluation = workspace.find_ref(inputs.get("evaluation", ""))
    last = workspace.find_ref(evaluation.inputs["challenger"]) if evaluation else None
    if last is None or "settings" not in last.info:
        return None
    learnt_from = [last.inputs[role] for role in ("snapshot", "splits", "judgements") if role in last.inputs]
    return last if all(workspace.find_ref(ref) for ref in learnt_from) else None


def _judged(workspace: Workspace, ref: str | None) -> set[tuple[str, str, bool, bool]]:
    """Return what was said of which pairs."""
    return {(p.left_id, p.right_id, p.weight > 0, p.duplicate) for p in read_judgements(workspace, ref)}
