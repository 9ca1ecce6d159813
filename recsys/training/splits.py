"""The split of a snapshot: which products are trained on, validate, decide, and are the final test.

Products that share an item group, a source image or a near-duplicate image are one component, and a
component is never divided. Its role is a hash of its key, the smallest item group or id in it. New products
do not move old ones, unless they join two components or bring a smaller key; for those the role that the
champion was trained under prevails. Nothing that the champion or an ancestor of it was trained on decides or
tests later, whatever became of the settings.

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
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.columns import read_column
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import (
    FILE,
    HOLDOUT,
    KIND,
    SCHEMA,
    TEST,
    TRAIN,
    UNUSED,
    VALIDATION,
    ids_of,
    read_splits,
    write_splits,
)

logger = logging.getLogger(__name__)

_VERSION = 4
_STRICTNESS = {TRAIN: 0, VALIDATION: 1, HOLDOUT: 2, TEST: 3}
_FOLDS = 10
_PLAIN_BITS = 8
"""A 64-bit perceptual hash with fewer ones, or fewer zeros, is that of a plain image."""


def make_splits(
    config: Config,
    workspace: Workspace,
    snapshot_ref: str,
    champion_ref: str | None = None,
    duplicates: Sequence[tuple[str, str]] = (),
) -> Manifest:
    """Return the split of the snapshot (kind ``splits``); ``info["counts"]`` has the size of each role.

    Products that the champion's split knew keep their role, as long as the settings are the same; what was
    trained on never decides or tests. ``duplicates`` are pairs of ids judged to be one product: they are
    kept apart like variants.
    """
    started = time.monotonic()
    settings = config.training.split
    dumped = settings.model_dump(mode="json")
    previous = _split_of(workspace, champion_ref)
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
    found = workspace.find_intact(KIND, id)
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
    keys, counts = find_components(links, settings)
    values = settings.column and read_column(products, settings.column, setting="training.split.column")
    known, trained = _known_roles(workspace, previous, set(ids), dumped)
    splits = assign(_undivided(products, settings, keys), settings, values=values, ids=ids, previous=known)
    counts["trained_before"] = sum(
        i in trained and s in (VALIDATION, HOLDOUT, TEST) for i, s in zip(ids, splits, strict=True)
    )
    splits = [UNUSED if i in trained and s != TRAIN else s for i, s in zip(ids, splits, strict=True)]
    splits, counts["straddling"] = separate(splits, keys)
    if duplicate_rows:
        splits, counts["left_out_as_duplicates"] = separate(splits, keys, duplicate_rows)
    record = {**counts, "splits": dict(sorted(Counter(splits).items()))}
    inputs = {"snapshot": snapshot_ref} | ({"previous": previous.ref} if previous is not None else {})
    with workspace.create(KIND, id, inputs=inputs) as draft:
        table = pa.table({"id": ids, "component": keys, "split": splits}, schema=SCHEMA)
        write_splits(draft.path / FILE, table)
        draft.info |= {"counts": record, "config": dumped, "duration_s": round(time.monotonic() - started, 1)}
    logger.info("split %d products: %s, %d components", len(ids), record["splits"], counts["components"])
    return draft.committed()


def _split_of(workspace: Workspace, encoder_ref: str | None) -> Manifest | None:
    """Return the split that an encoder was trained under, if there is one and it is kept."""
    ref = workspace.get(encoder_ref).inputs.get("splits") if encoder_ref is not None else None
    return workspace.find_ref(ref) if ref is not None else None


def _known_roles(
    workspace: Workspace, previous: Manifest | None, ids: set[str], settings: dict[str, Any]
) -> tuple[dict[str, str], set[str]]:
    """Return what ``previous`` says of the products, and which of them an encoder of its line trained on.

    A split of other settings says only what was trained on. What an older one trained on, a newer one may
    call unused, or not know: all of them are read.
    """
    known: dict[str, str] = {}
    trained: set[str] = set()
    if previous is not None and previous.info.get("config") == settings:
        table = read_splits(workspace, previous.ref)
        known = dict(zip(table.column("id").to_pylist(), table.column("split").to_pylist(), strict=True))
    manifest = previous
    while manifest is not None:
        trained |= ids & ids_of(workspace, manifest.ref, TRAIN)
        manifest = workspace.find_ref(manifest.inputs.get("previous", ""))
    return known | dict.fromkeys(trained, TRAIN), trained


def _undivided(products: pa.Table, config: SplitConfig, keys: Sequence[str]) -> Sequence[str]:
    """Return what is drawn whole: the class by ``classes``, and a component where there is none."""
    if not config.classes:
        return keys
    columns = [read_column(products, name, setting="training.split.classes") for name in config.classes]
    return [
        key if None in values else "c:" + "\0".join(map(str, values))
        for key, *values in zip(keys, *columns, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class ProductLinks:
    """What joins products into components, one entry per product, ascending by id."""

    ids: Sequence[str]
    groups: Sequence[str | None]  # item group
    images: Sequence[Sequence[bytes]]  # sha256 of each source image
    phashes: Sequence[Sequence[int]]  # 64-bit perceptual hash of each image, in the order of `images`
    load_thumbnail: LoadThumbnail | None = None  # confirms what the hashes suggest; None: they decide alone


def find_components(links: ProductLinks, config: SplitConfig) -> tuple[list[str], dict[str, int]]:
    """Return each product's component key, and counts for the record.

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
    return keys, counts


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
    values: Sequence[str | None] | None = None,
    ids: Sequence[str] = (),
    previous: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the role of every product ``[N]``: the one that its value names, else by the hash of its key.

    ``values`` ``[N]`` are those of ``config.column``; of the products that it gives to training, roles
    without a value of their own take their share. ``previous`` maps product ids to the roles that the
    champion was trained under: what is drawn whole and holds any of them keeps that role. Where two
    components have become one, training prevails over validation, validation over holdout and holdout over
    the final test, because what was trained on can no longer evaluate.
    """
    named = {value: role for role in _STRICTNESS for value in getattr(config, role)}
    given = [TRAIN] * len(keys) if values is None else [named.get(v or "", UNUSED) for v in values]
    drawn = {key: _draw(key, config) for key in set(keys)}
    kept: dict[str, str] = {}
    if previous:
        for id, key, role in zip(ids, keys, given, strict=True):
            was = previous.get(id, UNUSED)
            if role == TRAIN and was in _STRICTNESS:
                kept[key] = min(kept.get(key, was), was, key=_STRICTNESS.__getitem__)
    drawn |= kept
    return [drawn[key] if role == TRAIN else role for key, role in zip(keys, given, strict=True)]


def _draw(key: str, config: SplitConfig) -> str:
    """Return the role of what is drawn whole, by the hash of its key; a role with values takes no share.

    The final test is the upper end of the unit interval. The rest is turned by ``fold`` and cut into
    holdout, validation and training.
    """
    shares = {
        role: 0.0 if getattr(config, role) else getattr(config, f"{role}_share")
        for role in (HOLDOUT, VALIDATION, TEST)
    }
    digest = hashlib.sha256(b"split\0" + key.encode()).digest()
    u = int.from_bytes(digest[:8], "big") / 2**64
    rest = 1 - shares[TEST]
    if u >= rest:
        return TEST
    turned = (u / rest + config.fold / _FOLDS) % 1 * rest
    holdout, validation = shares[HOLDOUT], shares[VALIDATION]
    return HOLDOUT if turned < holdout else VALIDATION if turned < holdout + validation else TRAIN


def separate(
    splits: Sequence[str], keys: Sequence[str], duplicates: Sequence[tuple[int, int]] = ()
) -> tuple[list[str], int]:
    """Return the roles ``[N]`` with no component divided, and how many products that left out.

    ``keys`` ``[N]`` are those of the components, ``duplicates`` pairs of rows judged to be one product,
    which join theirs. No product moves from one role to another: where a component has several, all but its
    products of the strictest (test, holdout, validation, train) are unused.
    """
    joined = DisjointSet(set(keys))
    for left, right in duplicates:
        joined.merge(keys[left], keys[right])
    roots = [joined[key] for key in keys]
    strictest: dict[str, int] = {}
    for split, root in zip(splits, roots, strict=True):
        strictest[root] = max(strictest.get(root, -1), _STRICTNESS.get(split, -1))
    found = [
        UNUSED if _STRICTNESS.get(split, 9) < strictest[root] else split
        for split, root in zip(splits, roots, strict=True)
    ]
    return found, sum(a != b for a, b in zip(splits, found, strict=True))
