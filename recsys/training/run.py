"""The training stage: a snapshot in, a fine-tuned challenger out, with the split and the zero-shot base.

    snapshot ─▶ splits ─▶ base (zero-shot) ─▶ challenger
                            champion ┄┄┄┄┄┄┄┄▶ (start_from = "champion")

Each of the three is an artifact named by what made it, so a second call finds it; a killed call goes on
from its last checkpoint.
"""

import functools
import logging
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from recsys.config import Config
from recsys.encoder.model import ProductEncoder
from recsys.encoder.template import ContentReader
from recsys.training import supervision
from recsys.training.data import TrainingItems, read_items
from recsys.training.fit import FitJob, fit
from recsys.training.initial_encoder import KIND, choose_initial, make_base
from recsys.training.model_card import model_card
from recsys.training.objectives import check_kind
from recsys.training.preflight import reason_not_to_train
from recsys.training.recipe import decide
from recsys.training.settings import UNRELATED, settings_of
from recsys.training.splits import make_splits
from recsys.training.unseen_classes import how_far
from recsys.training.validation import Validator, choose_tasks
from recsys.workspace import Manifest, Workspace, content_id, judgements
from recsys.workspace.features import FeatureStore
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import TRAIN, read_splits

logger = logging.getLogger(__name__)


def run(
    config: Config,
    workspace: Workspace,
    snapshot_ref: str,
    champion_ref: str | None = None,
    judgements_ref: str | None = None,
) -> Manifest:
    """Train on the snapshot and return the challenger (kind ``encoders``).

    ``champion_ref`` is the encoder in service, if there is one: products it knew keep their part of the
    split, and training may begin with it. Of the judgements ``judgements_ref``, those of two training
    products are learnt from. ``inputs`` name ``snapshot``, ``splits``, ``base``, ``initial``, and
    ``judgements`` if there are any; ``info`` holds ``trained``, ``counts``, ``fit`` (steps, epochs, history,
    speed), ``wise_ft_alphas`` (how far from the base it may serve), ``wise_ft_bounds`` (within which its
    images and its texts stay), ``base_is_behind`` (whether the base itself may not challenge) and
    ``unseen_classes`` (what these were found by, or ``None``) unless the config says how far, ``config``
    (nothing left open), ``decisions`` (of the recipe), ``settings`` (those that were given) and
    ``duration_s``. Where there is nothing to learn from, the challenger is the initial encoder, ``trained``
    is false and ``reason`` says why.
    """
    started = time.monotonic()
    for term in config.training.terms:
        check_kind(term)
    settings = settings_of(config)
    judgements_ref = judgements.nonempty(workspace, judgements_ref)
    judged = judgements.read_judgements(workspace, judgements_ref)
    snapshot = Snapshot.open(workspace, snapshot_ref)
    same = [(pair.left_id, pair.right_id) for pair in judged if pair.duplicate]
    splits_manifest = make_splits(config, workspace, snapshot_ref, champion_ref, same)
    table = read_splits(workspace, splits_manifest.ref)
    ids, splits, components = (table.column(c).to_pylist() for c in ("id", "split", "component"))

    @functools.cache
    def items() -> TrainingItems:
        return read_items(snapshot, ContentReader(config.encoder), splits, components)

    base = make_base(config, workspace, splits_manifest, snapshot, items, champion_ref)
    initial = choose_initial(config, workspace, base, champion_ref)
    inputs = {
        "snapshot": snapshot_ref,
        "splits": splits_manifest.ref,
        "base": base.ref,
        "initial": initial.ref,
    }
    inputs |= {"judgements": judgements_ref} if judgements_ref else {}
    asks_how_far = config.evaluation.wise_ft_alphas is None
    parts = {"role": "challenger", "inputs": inputs, "settings": settings, "asks_how_far": asks_how_far}
    id = content_id(parts)
    with workspace.lock(f"training-{id}"):
        found = workspace.find(KIND, id)
        if found is not None:
            workspace.drop_scratch(KIND, id)
            logger.info("%s is there already", found.ref)
            return found
        encoder = ProductEncoder.load(workspace.path(initial))
        known = supervision.build(snapshot.table(), splits, config.training, config.resolve, judged)
        trained = np.flatnonzero(np.array(splits) == TRAIN)
        training, decisions = decide(config.training, encoder, items(), known, trained)
        if judged:
            training = supervision.with_judgements(training)
        config = config.model_copy(update={"training": training})
        job = FitJob(
            config=training, encoder=encoder, items=items(), images=snapshot.images(), supervision=known,
            trained=trained, validator=None, folder=workspace.scratch(KIND, id), seed=config.seed,
            store=FeatureStore(workspace),
        )  # fmt: skip
        info = _train(job, snapshot, ids, splits)
        if info["trained"] and asks_how_far:
            far = how_far(replace(job, encoder=ProductEncoder.load(workspace.path(base))), snapshot)
            info |= {"wise_ft_alphas": list(far.alphas), "wise_ft_bounds": far.bounds}
            info["base_is_behind"] = far.base_is_behind
            info["unseen_classes"] = far.record
            decisions.append(far.choice)
        info |= {"role": "challenger", "dim": encoder.dim, "late_stages": encoder.image_tower.late_stages}
        info |= {"decisions": [d._asdict() for d in decisions]}
        info["config"] = training.model_dump(mode="json", exclude=UNRELATED)
        info["duration_s"] = round(time.monotonic() - started, 1)
        with workspace.create(KIND, id, inputs=inputs) as draft:
            encoder.save(draft.path)
            draft.info |= info | {"settings": settings}
            (draft.path / "README.md").write_text(model_card(config, info, inputs), encoding="utf-8")
        workspace.drop_scratch(KIND, id)
    return draft.committed()


def _train(job: FitJob, snapshot: Snapshot, ids: list[str], splits: list[str]) -> dict[str, Any]:
    """Fine-tune the job's encoder in place, resuming in its folder, and return the record.

    ``ids`` and ``splits`` are those of the snapshot's rows ``[N]``.
    """
    info: dict[str, Any] = {
        "counts": {
            "splits": dict(sorted(Counter(splits).items())),
            "supervision": job.supervision.counts,
            "training_images": len(job.items.sha256),
            "training_texts": len(job.items.texts),
        }
    }
    config, encoder = job.config, job.encoder
    reason = reason_not_to_train(config, encoder, job.items, job.supervision, job.trained)
    if reason is not None:
        logger.warning("nothing is trained: %s", reason)
        return info | {"trained": False, "reason": reason, "fit": None, "validation_label": None}
    tasks = choose_tasks(splits, ids, job.supervision, config.validation)
    validator = None
    if not tasks:
        logger.warning("no validation product has anything to find: no epoch has a score")
    else:
        validator = Validator(tasks, config.validation, snapshot, encoder, job.store)
    label = ", ".join(dict.fromkeys(task.label for task in tasks)) or None
    record = fit(replace(job, validator=validator))
    return info | {"trained": True, "reason": None, "fit": record, "validation_label": label}
