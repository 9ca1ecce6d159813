"""The door of training: a snapshot in, a fine-tuned challenger out, with the split and the zero-shot base.

    snapshot ─▶ splits ─▶ base (zero-shot) ─▶ challenger
                            champion ┄┄┄┄┄┄┄┄▶ (start_from = "champion")

Every one of the three is an artifact named by what made it, so a second call finds it; a killed one goes
on from its last checkpoint.

Does not know: whether the challenger is any good; evaluation decides.
"""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.config import Config
from recsys.encoder.model import ProductEncoder
from recsys.encoder.template import ContentReader
from recsys.training import items, splits, supervision
from recsys.training.card import model_card
from recsys.training.fit import Job, fit
from recsys.training.items import Material
from recsys.training.judged import pair_files
from recsys.training.learnable import nothing_to_learn
from recsys.training.near import thumbnail
from recsys.training.objectives import check_kind
from recsys.training.start import KIND, choose_start, make_base
from recsys.training.supervision import Supervision, column, label_codes
from recsys.training.validation import Question, Validator, ask
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import FILE, SCHEMA, TRAIN, read_splits, write_splits
from recsys.workspace.splits import KIND as SPLITS_KIND

logger = logging.getLogger(__name__)

_VERSION = 1
_SPLITS_VERSION = 2
_HARMLESS = {"num_workers", "cache_decoded", "cache_max_gb", "checkpoint_minutes"}
"""Settings that change how fast an encoder is trained and not which."""


def run(config: Config, workspace: Workspace, snapshot_ref: str, champion_ref: str | None = None) -> Manifest:
    """Train on the snapshot and return the challenger (kind ``encoders``).

    ``champion_ref`` is the encoder in service, if there is one: its split prevails for products it knew,
    and training may begin with it. ``inputs`` name ``snapshot``, ``splits``, ``base`` and ``start``;
    ``info`` holds ``trained``, ``counts``, ``fit`` (steps, epochs, history, speed), ``config`` and
    ``duration_s``. Where there is nothing to learn from, the challenger is what training would have begun
    with, ``trained`` is false and ``reason`` says why.
    """
    started = time.monotonic()
    for term in config.training.terms:
        check_kind(term)
    digests = [
        hashlib.sha256(p.read_bytes()).hexdigest() for p in pair_files(config.training, config.resolve)
    ]
    snapshot = Snapshot.open(workspace, snapshot_ref)
    splits_manifest = make_splits(config, workspace, snapshot_ref, champion_ref)
    table = read_splits(workspace, splits_manifest.ref)

    def trained_content() -> Material:
        reader = ContentReader(config.encoder)
        names, components = (table.column(c).to_pylist() for c in ("split", "component"))
        return items.read(snapshot, reader, names, components, {TRAIN})

    base = make_base(config, workspace, splits_manifest, snapshot, trained_content)
    start = choose_start(config, workspace, base, champion_ref)
    parts = {
        "role": "challenger",
        "version": _VERSION,
        "inputs": [snapshot_ref, splits_manifest.ref, base.ref, start.ref],
        "config": config.training.model_dump(mode="json", exclude=_HARMLESS),
        "pairs": digests,
        "seed": config.seed,
    }
    id = content_id(parts)
    found = workspace.find(KIND, id)
    if found is not None:
        logger.info("%s is there already", found.ref)
        return found
    inputs = {"snapshot": snapshot_ref, "splits": splits_manifest.ref, "base": base.ref, "start": start.ref}
    with workspace.lock(f"training-{id}"):
        found = workspace.find(KIND, id)
        if found is not None:
            return found
        encoder = ProductEncoder.load(workspace.path(start))
        info = _train(config, workspace, id, snapshot, table, encoder, trained_content)
        info |= {"role": "challenger", "config": parts["config"], "dim": encoder.dim}
        info["duration_s"] = round(time.monotonic() - started, 1)
        with workspace.create(KIND, id, inputs=inputs) as draft:
            encoder.save(draft.path)
            draft.info |= info
            (draft.path / "README.md").write_text(model_card(config, info, inputs), encoding="utf-8")
        workspace.drop_scratch(KIND, id)
    return draft.committed()


def make_splits(
    config: Config, workspace: Workspace, snapshot_ref: str, champion_ref: str | None = None
) -> Manifest:
    """Return the split of the snapshot (kind ``splits``); ``info["counts"]`` says who went where.

    Products that the champion's split knew keep their side, as long as the settings are the same.
    """
    settings = config.training.split
    dumped = settings.model_dump(mode="json")
    previous = _previous(workspace, champion_ref, dumped)
    parts = {
        "version": _SPLITS_VERSION,
        "snapshot": snapshot_ref,
        "config": dumped,
        "previous": previous and previous.ref,
    }
    id = content_id(parts)
    found = workspace.find(SPLITS_KIND, id)
    if found is not None:
        return found
    started = time.monotonic()
    snapshot = Snapshot.open(workspace, snapshot_ref)
    products, store = snapshot.table(), snapshot.images()
    ids: list[str] = products.column("id").to_pylist()
    images = products.column("images").to_pylist()
    facts = splits.Facts(
        ids=ids,
        groups=column(products, "item_group_id"),
        images=images,
        phashes=[[store.phash(sha) for sha in row] for row in images],
        look=lambda sha: thumbnail(store.jpeg(sha)),
    )
    keys, exact, counts = splits.components(facts, settings)
    if settings.column is None:
        known = read_splits(workspace, previous.ref) if previous is not None else SCHEMA.empty_table()
        was = dict(zip(known.column("id").to_pylist(), known.column("split").to_pylist(), strict=True))
        names = splits.assign(keys, settings, ids=ids, previous=was)
    else:
        drawn = None
        if settings.validation_by:
            codes = label_codes([column(products, c) for c in settings.validation_by])
            drawn = [
                f"c:{code}" if code >= 0 else key for code, key in zip(codes.tolist(), exact, strict=True)
            ]
        names, counts["straddling"] = splits.prescribed(
            column(products, settings.column), exact, settings, drawn_by=drawn
        )
    record = {**counts, "splits": dict(sorted(Counter(names).items()))}
    inputs = {"snapshot": snapshot_ref} | ({"previous": previous.ref} if previous is not None else {})
    with workspace.create(SPLITS_KIND, id, inputs=inputs) as draft:
        write_splits(
            draft.path / FILE, pa.table({"id": ids, "component": keys, "split": names}, schema=SCHEMA)
        )
        draft.info |= {"counts": record, "config": dumped, "duration_s": round(time.monotonic() - started, 1)}
    logger.info("split %d products: %s, %d components", len(ids), record["splits"], counts["components"])
    return draft.committed()


def _previous(workspace: Workspace, champion_ref: str | None, settings: dict[str, Any]) -> Manifest | None:
    """Return the champion's split, if it was made with the same settings."""
    ref = workspace.get(champion_ref).inputs.get("splits") if champion_ref is not None else None
    manifest = workspace.find(*ref.split("/", 1)) if ref is not None else None
    return manifest if manifest is not None and manifest.info.get("config") == settings else None


def _train(
    config: Config, workspace: Workspace, id: str, snapshot: Snapshot, table: pa.Table,
    encoder: ProductEncoder, trained_content: Callable[[], Material],
) -> dict[str, Any]:  # fmt: skip
    """Fine-tune ``encoder`` in place and return the record."""
    names: list[str] = table.column("split").to_pylist()
    known = supervision.build(snapshot.table(), names, config.training, config.resolve)
    material: Material = trained_content()
    trained = np.flatnonzero(np.array(names) == TRAIN)
    info: dict[str, Any] = {
        "counts": {
            "splits": dict(sorted(Counter(names).items())),
            "supervision": known.counts,
            "training_pictures": len(material.sha256),
            "training_texts": len(material.items.texts),
        }
    }
    reason = nothing_to_learn(config.training, encoder, material, known, trained)
    if reason is not None:
        logger.warning("nothing is trained: %s", reason)
        return info | {"trained": False, "reason": reason, "fit": None, "validation_label": None}
    question = _question(config, snapshot, table, known, encoder)
    job = Job(
        config=config.training,
        encoder=encoder,
        material=material,
        images=snapshot.images(),
        supervision=known,
        trained=trained,
        validator=None
        if question is None
        else Validator(question, config.training.validation, snapshot, encoder),
        folder=workspace.scratch(KIND, id),
        seed=config.seed,
    )
    label = None if question is None else question.label
    return info | {"trained": True, "reason": None, "fit": fit(job), "validation_label": label}


def _question(
    config: Config, snapshot: Snapshot, table: pa.Table, known: Supervision, encoder: ProductEncoder
) -> Question | None:
    names, ids = (table.column(c).to_pylist() for c in ("split", "id"))
    text_codes = np.empty(0, np.int64)
    if config.training.validation.label == "text_to_image":
        rows = snapshot.table(tuple(encoder.content.columns)).to_pylist()
        text_codes = label_codes([[encoder.render_text(row) for row in rows]])
    question = ask(names, ids, known, text_codes, config.training.validation)
    if question is None:
        logger.warning("no validation product has anything to find; the last epoch is kept")
    return question
