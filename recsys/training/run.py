"""The door of training: a snapshot in, a fine-tuned challenger out, with the split and the zero-shot base.

    snapshot ─▶ splits ─▶ base (zero-shot) ─▶ challenger
                            champion ┄┄┄┄┄┄┄┄▶ (start_from = "champion")

Every one of the three is an artifact named by what made it, so a second call finds it; a killed one goes
on from its last checkpoint.

Does not know: whether the challenger is any good; evaluation decides.
"""

import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from recsys.config import Config
from recsys.encoder.model import ProductEncoder
from recsys.encoder.template import ContentReader
from recsys.training import data, supervision
from recsys.training.data import Material
from recsys.training.fit import FitJob, fit
from recsys.training.initial_encoder import KIND, choose_initial, make_base
from recsys.training.model_card import model_card
from recsys.training.objectives import check_kind
from recsys.training.preflight import reason_not_to_train
from recsys.training.splits import make_splits
from recsys.training.supervision import Supervision, label_codes
from recsys.training.validation import ValidationTask, Validator, choose_task
from recsys.workspace import Manifest, Workspace, content_id, judgements
from recsys.workspace.pairs import digest
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import TRAIN, read_splits

logger = logging.getLogger(__name__)

_VERSION = 1
_HARMLESS = {"num_workers", "cache_decoded", "cache_max_gb", "checkpoint_minutes"}
"""Settings that change how fast an encoder is trained and not which."""


class TrainingData(NamedTuple):
    """What a challenger learns from."""

    table: pa.Table
    """The split."""
    known: Supervision
    material: Material


def run(
    config: Config,
    workspace: Workspace,
    snapshot_ref: str,
    champion_ref: str | None = None,
    judgements_ref: str | None = None,
) -> Manifest:
    """Train on the snapshot and return the challenger (kind ``encoders``).

    ``champion_ref`` is the encoder in service, if there is one: its split prevails for products it knew,
    and training may begin with it. Of the judgements ``judgements_ref``, those of two training products are
    learnt from. ``inputs`` name ``snapshot``, ``splits``, ``base``, ``start``, and ``judgements`` if there
    are any; ``info`` holds ``trained``, ``counts``, ``fit`` (steps, epochs, history, speed), ``config`` and
    ``duration_s``. Where there is nothing to learn from, the challenger is what training would have begun
    with, ``trained`` is false and ``reason`` says why.
    """
    started = time.monotonic()
    for term in config.training.terms:
        check_kind(term)
    digests = [digest(Path(config.resolve(s.path)), "training.pairs.path") for s in config.training.pairs]
    judgements_ref = judgements.nonempty(workspace, judgements_ref)
    judged = judgements.read_judgements(workspace, judgements_ref)
    if judged:
        config = config.model_copy(update={"training": supervision.with_judgements(config.training)})
    snapshot = Snapshot.open(workspace, snapshot_ref)
    same = [(pair.left_id, pair.right_id) for pair in judged if pair.duplicate]
    splits_manifest = make_splits(config, workspace, snapshot_ref, champion_ref, same)
    table = read_splits(workspace, splits_manifest.ref)
    names, components = (table.column(c).to_pylist() for c in ("split", "component"))

    def trained_content() -> Material:
        reader = ContentReader(config.encoder)
        return data.read(snapshot, reader, names, components, {TRAIN})

    base = make_base(config, workspace, splits_manifest, snapshot, trained_content)
    start = choose_initial(config, workspace, base, champion_ref)
    parts = {
        "role": "challenger",
        "version": _VERSION,
        "inputs": [snapshot_ref, splits_manifest.ref, base.ref, start.ref],
        "config": config.training.model_dump(mode="json", exclude=_HARMLESS),
        "pairs": digests,
        "seed": config.seed,
    } | ({"judgements": judgements_ref} if judgements_ref else {})
    id = content_id(parts)
    found = workspace.find(KIND, id)
    if found is not None:
        logger.info("%s is there already", found.ref)
        return found
    inputs = {"snapshot": snapshot_ref, "splits": splits_manifest.ref, "base": base.ref, "start": start.ref}
    inputs |= {"judgements": judgements_ref} if judgements_ref else {}
    with workspace.lock(f"training-{id}"):
        found = workspace.find(KIND, id)
        if found is not None:
            return found
        encoder = ProductEncoder.load(workspace.path(start))
        training_data = TrainingData(
            table,
            supervision.build(snapshot.table(), names, config.training, config.resolve, judged),
            trained_content(),
        )
        info = _train(config, snapshot, encoder, training_data, workspace.scratch(KIND, id))
        info |= {"role": "challenger", "config": parts["config"], "dim": encoder.dim}
        info["duration_s"] = round(time.monotonic() - started, 1)
        with workspace.create(KIND, id, inputs=inputs) as draft:
            encoder.save(draft.path)
            draft.info |= info
            (draft.path / "README.md").write_text(model_card(config, info, inputs), encoding="utf-8")
        workspace.drop_scratch(KIND, id)
    return draft.committed()


def _train(
    config: Config, snapshot: Snapshot, encoder: ProductEncoder, training_data: TrainingData, folder: Path
) -> dict[str, Any]:
    """Fine-tune ``encoder`` in place, resuming in ``folder``, and return the record."""
    known, material = training_data.known, training_data.material
    names: list[str] = training_data.table.column("split").to_pylist()
    trained = np.flatnonzero(np.array(names) == TRAIN)
    info: dict[str, Any] = {
        "counts": {
            "splits": dict(sorted(Counter(names).items())),
            "supervision": known.counts,
            "training_images": len(material.sha256),
            "training_texts": len(material.items.texts),
        }
    }
    reason = reason_not_to_train(config.training, encoder, material, known, trained)
    if reason is not None:
        logger.warning("nothing is trained: %s", reason)
        return info | {"trained": False, "reason": reason, "fit": None, "validation_label": None}
    question = _question(config, snapshot, training_data.table, known, encoder)
    job = FitJob(
        config=config.training,
        encoder=encoder,
        material=material,
        images=snapshot.images(),
        supervision=known,
        trained=trained,
        validator=None
        if question is None
        else Validator(question, config.training.validation, snapshot, encoder),
        folder=folder,
        seed=config.seed,
    )
    label = None if question is None else question.label
    return info | {"trained": True, "reason": None, "fit": fit(job), "validation_label": label}


def _question(
    config: Config, snapshot: Snapshot, table: pa.Table, known: Supervision, encoder: ProductEncoder
) -> ValidationTask | None:
    names, ids = (table.column(c).to_pylist() for c in ("split", "id"))
    text_codes = np.empty(0, np.int64)
    if config.training.validation.label == "text_to_image":
        rows = snapshot.table(tuple(encoder.content.columns)).to_pylist()
        text_codes = label_codes([[encoder.render_text(row) for row in rows]])
    question = choose_task(names, ids, known, text_codes, config.training.validation)
    if question is None:
        logger.warning("no validation product has anything to find; the last epoch is kept")
    return question
