"""The split of a snapshot as an artifact: made once, found again, stable over nights.

Does not know: how products are assigned (splits.py does), what is trained.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from recsys.config import Config
from recsys.training import splits
from recsys.training.near import thumbnail
from recsys.training.supervision import column, label_codes
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import FILE, KIND, SCHEMA, read_splits, write_splits

logger = logging.getLogger(__name__)

_VERSION = 2


def make_splits(
    config: Config,
    workspace: Workspace,
    snapshot_ref: str,
    champion_ref: str | None = None,
    duplicates: Sequence[tuple[str, str]] = (),
) -> Manifest:
    """Return the split of the snapshot (kind ``splits``); ``info["counts"]`` says who went where.

    Products that the champion's split knew keep their side, as long as the settings are the same.
    ``duplicates`` are ids judged to be one product: those of what is held out are not trained on.
    """
    settings = config.training.split
    dumped = settings.model_dump(mode="json")
    previous = _previous(workspace, champion_ref, dumped)
    parts = {
        "version": _VERSION,
        "snapshot": snapshot_ref,
        "config": dumped,
        "previous": previous and previous.ref,
    }
    snapshot = Snapshot.open(workspace, snapshot_ref)
    ids: list[str] = snapshot.table(("id",)).column("id").to_pylist() if duplicates else []
    row = {id: i for i, id in enumerate(ids)}
    same = sorted((row[a], row[b]) for a, b in duplicates if a in row and b in row)
    if same:
        parts["duplicates"] = [[ids[a], ids[b]] for a, b in same]
    id = content_id(parts)
    found = workspace.find(KIND, id)
    if found is not None:
        return found
    started = time.monotonic()
    products, store = snapshot.table(), snapshot.images()
    ids = products.column("id").to_pylist()
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
    if same:
        whole = keys if settings.column is None else exact
        names, counts["left_out_as_duplicates"] = splits.parted(names, whole, same)
    record = {**counts, "splits": dict(sorted(Counter(names).items()))}
    inputs = {"snapshot": snapshot_ref} | ({"previous": previous.ref} if previous is not None else {})
    with workspace.create(KIND, id, inputs=inputs) as draft:
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
