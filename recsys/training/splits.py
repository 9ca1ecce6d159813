"""The split of a snapshot: which products are trained on, which validate, which are held out.

Products that share an item group, a source image or a near-duplicate image are one component, and a
component is never divided. Its split is a hash of its key, the smallest item group or id in it. New products
do not move old ones, unless they join two components or bring a smaller key; for those the split that the
champion was trained under prevails, so that nothing it was trained on is held out later.

    N = products of the snapshot
"""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from scipy.cluster.hierarchy import DisjointSet

from recsys.config import Config
from recsys.config.supervision import SplitConfig
from recsys.training.near_duplicates import LoadThumbnail, near_images, thumbnail
from recsys.training.supervision import label_codes
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.columns import read_column
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import (
    FILE,
    HOLDOUT,
    KIND,
    SCHEMA,
    TRAIN,
    UNUSED,
    VALIDATION,
    read_splits,
    write_splits,
)

logger = logging.getLogger(__name__)

_VERSION = 2
_STRICTNESS = {TRAIN: 0, VALIDATION: 1, HOLDOUT: 2}
_PLAIN_BITS = 8
"""A 64-bit perceptual hash with fewer ones, or fewer zeros, is that of a plain image."""


def make_splits(
    config: Config,
    workspace: Workspace,
    snapshot_ref: str,
    champion_ref: str | None = None,
    duplicates: Sequence[tuple[str, str]] = (),
) -> Manifest:
    """Return the split of the snapshot (kind ``splits``); ``info["counts"]`` has the size of each part.

    Products that the champion's split knew keep their part, as long as the settings are the same.
    ``duplicates`` are pairs of ids judged to be one product: duplicates of held-out products are left out.
    """
    started = time.monotonic()
    settings = config.training.split
    dumped = settings.model_dump(mode="json")
    previous = _previous_split(workspace, champion_ref, dumped)
    snapshot = Snapshot.open(workspace, snapshot_ref)
    ids = snapshot.table(("id",)).column("id").to_pylist()
    row = {id: i for i, id in enumerate(ids)}
    duplicate_rows = sorted((row[a], row[b]) for a, b in duplicates if a in row and b in row)
    parts: dict[str, Any] = {
        "version": _VERSION,
        "snapshot": snapshot_ref,
        "config": dumped,
        "previous": previous and previous.ref,
    }
    if duplicate_rows:
        parts["duplicates"] = [[ids[a], ids[b]] for a, b in duplicate_rows]
    id = content_id(parts)
    found = workspace.find(KIND, id)
    if found is not None:
        return found
    products, store = snapshot.table(), snapshot.images()
    images = products.column("images").to_pylist()
    links = ProductLinks(
        ids=ids,
        groups=products.column("item_group_id").to_pylist(),
        images=images,
        phashes=[[store.phash(sha256) for sha256 in hashes] for hashes in images],
        load_thumbnail=lambda sha256: thumbnail(store.jpeg(sha256)),
    )
    keys, exact_keys, counts = find_components(links, settings)
    if settings.column is None:
        known = read_splits(workspace, previous.ref) if previous is not None else SCHEMA.empty_table()
        was = dict(zip(known.column("id").to_pylist(), known.column("split").to_pylist(), strict=True))
        splits = assign(keys, settings, ids=ids, previous=was)
    else:
        values = read_column(products, settings.column, setting="training.split.column")
        drawn_by = _validation_keys(products, settings, exact_keys)
        splits, counts["straddling"] = follow_column(values, exact_keys, settings, drawn_by=drawn_by)
    if duplicate_rows:
        whole = keys if settings.column is None else exact_keys
        splits, counts["left_out_as_duplicates"] = separate_duplicates(splits, whole, duplicate_rows)
    record = {**counts, "splits": dict(sorted(Counter(splits).items()))}
    inputs = {"snapshot": snapshot_ref} | ({"previous": previous.ref} if previous is not None else {})
    with workspace.create(KIND, id, inputs=inputs) as draft:
        table = pa.table({"id": ids, "component": keys, "split": splits}, schema=SCHEMA)
        write_splits(draft.path / FILE, table)
        draft.info |= {"counts": record, "config": dumped, "duration_s": round(time.monotonic() - started, 1)}
    logger.info("split %d products: %s, %d components", len(ids), record["splits"], counts["components"])
    return draft.committed()


def _previous_split(
    workspace: Workspace, champion_ref: str | None, settings: dict[str, Any]
) -> Manifest | None:
    """Return the champion's split, if it was made with the same settings."""
    ref = workspace.get(champion_ref).inputs.get("splits") if champion_ref is not None else None
    manifest = workspace.find(*ref.split("/", 1)) if ref is not None else None
    return manifest if manifest is not None and manifest.info.get("config") == settings else None


def _validation_keys(products: pa.Table, config: SplitConfig, exact_keys: Sequence[str]) -> Sequence[str]:
    """Return what is drawn whole for validation: the class by ``validation_by``, else the component."""
    if not config.validation_by:
        return exact_keys
    setting = "training.split.validation_by"
    codes = label_codes([read_column(products, name, setting=setting) for name in config.validation_by])
    return [f"c:{code}" if code >= 0 else key for code, key in zip(codes.tolist(), exact_keys, strict=True)]


@dataclass(frozen=True, kw_only=True)
class ProductLinks:
    """What joins products into components, one entry per product, ascending by id."""

    ids: Sequence[str]
    groups: Sequence[str | None]  # item group
    images: Sequence[Sequence[bytes]]  # sha256 of each source image
    phashes: Sequence[Sequence[int]]  # 64-bit perceptual hash of each image, in the order of `images`
    load_thumbnail: LoadThumbnail | None = None  # confirms what the hashes suggest; None: they decide alone


def find_components(links: ProductLinks, config: SplitConfig) -> tuple[list[str], list[str], dict[str, int]]:
    """Return each product's component key, its key by exact links alone, and counts for the record.

    Exact links are item groups and equal source images. Near-duplicate images join further products, unless
    the hash belongs to too many products (``phash_max_products``) or the component would become too large
    (``max_component``).
    """
    components = DisjointSet(range(len(links.ids)))
    first_of_group: dict[str, int] = {}
    first_with_image: dict[bytes, int] = {}
    for i, (group, hashes) in enumerate(zip(links.groups, links.images, strict=True)):
        if group is not None:
            components.merge(i, first_of_group.setdefault(group, i))
        for sha256 in hashes:
            components.merge(i, first_with_image.setdefault(sha256, i))
    exact_keys = _component_keys(components, links)
    joined = refused = 0
    if config.phash_distance >= 0:
        by_hash = _images_by_hash(links, exact_keys, config)
        for one, other in near_images(by_hash, config, links.load_thumbnail):
            left, right = first_with_image[one], first_with_image[other]
            size = components.subset_size(left) + components.subset_size(right)
            if size <= config.max_component or components.connected(left, right):
                components.merge(left, right)
                joined += 1
            else:
                refused += 1
    keys = _component_keys(components, links)
    sizes = Counter(keys)
    counts = {
        "components": len(sizes),
        "components_by_exact_links": len(set(exact_keys)),
        "largest_component": max(sizes.values(), default=0),
        "near_equal_images": joined,
        "refused_joins": refused,
    }
    return keys, exact_keys, counts


def _component_keys(components: DisjointSet, links: ProductLinks) -> list[str]:
    """Return each product's component key: the smallest unit of the component, shorter before longer.

    A unit is the item group, or the id of a product without one. Where ids count up, the oldest product
    names the component, so that the key survives the component's growth.
    """
    smallest: dict[int, str] = {}
    roots = [components[i] for i in range(len(links.ids))]
    for root, id, group in zip(roots, links.ids, links.groups, strict=True):
        unit = f"g:{group}" if group is not None else f"p:{id}"
        smallest[root] = min(smallest.get(root, unit), unit, key=lambda name: (len(name), name))
    return [smallest[root] for root in roots]


def _images_by_hash(
    links: ProductLinks, exact_keys: Sequence[str], config: SplitConfig
) -> dict[int, list[bytes]]:
    """Return hash → images, without the hashes of plain images and of too many unrelated products."""
    images_of: dict[int, set[bytes]] = {}
    components_of: dict[int, set[str]] = {}
    for images, phashes, key in zip(links.images, links.phashes, exact_keys, strict=True):
        for sha256, phash in zip(images, phashes, strict=True):
            if _PLAIN_BITS <= phash.bit_count() <= 64 - _PLAIN_BITS:
                images_of.setdefault(phash, set()).add(sha256)
                components_of.setdefault(phash, set()).add(key)
    most = config.phash_max_products
    return {h: sorted(images) for h, images in sorted(images_of.items()) if len(components_of[h]) <= most}


def assign(
    keys: Sequence[str],
    config: SplitConfig,
    *,
    ids: Sequence[str] = (),
    previous: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the split of every product by the hash of its component key ``[N]``.

    ``previous`` maps product ids to the split that the champion was trained under: a component that holds
    any of them keeps that split. Where two components have become one, training prevails over validation
    and validation over holdout, because what was trained on can no longer evaluate.
    """
    chosen = {key: _by_hash(key, config.validation_share, config.holdout_share) for key in set(keys)}
    kept: dict[str, str] = {}
    if previous:
        for id, key in zip(ids, keys, strict=True):
            was = previous.get(id, UNUSED)
            if was in _STRICTNESS:
                kept[key] = min(kept.get(key, was), was, key=_STRICTNESS.__getitem__)
    chosen |= kept
    return [chosen[key] for key in keys]


def follow_column(
    values: Sequence[str | None],
    exact_keys: Sequence[str],
    config: SplitConfig,
    *,
    drawn_by: Sequence[str] | None = None,
) -> tuple[list[str], int]:
    """Return the split that a column names, and how many products are left out because they straddle it.

    ``values`` is the column, ``[N]``. A training or validation product that shares an item group or a source
    image with a held-out one is ``unused``: the column decides, but no held-out image may be learnt from.
    Where no value validates, ``validation_share`` of the training products does, drawn by the hash of
    ``drawn_by`` (default: the component), whole.
    """
    table = dict.fromkeys(config.train, TRAIN) | dict.fromkeys(config.validation, VALIDATION)
    table |= dict.fromkeys(config.holdout, HOLDOUT)
    splits = [table.get(value or "", UNUSED) for value in values]
    if not config.validation and config.validation_share:
        for i, key in enumerate(exact_keys if drawn_by is None else drawn_by):
            if splits[i] == TRAIN:
                splits[i] = _by_hash(key, config.validation_share, 0.0)
    held_out = {key for key, split in zip(exact_keys, splits, strict=True) if split == HOLDOUT}
    straddling = [
        i for i, key in enumerate(exact_keys) if key in held_out and splits[i] in (TRAIN, VALIDATION)
    ]
    for i in straddling:
        splits[i] = UNUSED
    return splits, len(straddling)


def _by_hash(key: str, validation_share: float, holdout_share: float) -> str:
    digest = hashlib.sha256(b"split\0" + key.encode()).digest()
    u = int.from_bytes(digest[:8], "big") / 2**64
    return HOLDOUT if u < holdout_share else VALIDATION if u < holdout_share + validation_share else TRAIN


def separate_duplicates(
    splits: Sequence[str], keys: Sequence[str], duplicates: Sequence[tuple[int, int]]
) -> tuple[list[str], int]:
    """Return the splits ``[N]`` with judged duplicates kept apart, and how many products that left out.

    ``keys`` ``[N]`` are those of the components, ``duplicates`` pairs of rows judged to be one product.
    No product moves from one part to another: where a held-out product has a duplicate to train or
    validate on, the duplicate's component is unused as long as the judgement stands.
    """
    joined = DisjointSet(set(keys))
    for left, right in duplicates:
        joined.merge(keys[left], keys[right])
    strictest = {joined[keys[i]]: -1 for pair in duplicates for i in pair}
    for split, key in zip(splits, keys, strict=True):
        if joined[key] in strictest:
            strictest[joined[key]] = max(strictest[joined[key]], _STRICTNESS.get(split, -1))
    found = [
        UNUSED if _STRICTNESS.get(split, 3) < strictest.get(joined[key], -1) else split
        for split, key in zip(splits, keys, strict=True)
    ]
    return found, sum(a != b for a, b in zip(splits, found, strict=True))
