"""Who is trained on, who validates, who is held out: by duplicate-and-variant component, stable over nights.

Products that share an item group, a source image, or a near-equal perceptual hash are one component,
and a component is never divided. Its split is a hash of its key, the smallest item group or id in it:
new products do not move old ones, except where they join two components or come with a smaller key; for
those the assignment that the champion was trained under prevails (``previous``), so that nothing it was
trained on is held out later.

    N = products, E = edges (pairs of products)

The split of a snapshot as an artifact: made once, found again, stable over nights.
"""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

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


_FLAT_BITS = 8
"""A 64-bit hash with fewer ones, or fewer noughts, than this comes of a plain image."""


@dataclass(frozen=True, kw_only=True)
class ProductLinks:
    """What the split is decided from, one entry per product, ascending by id."""

    ids: Sequence[str]
    groups: Sequence[str | None]
    """Item group."""
    images: Sequence[Sequence[bytes]]
    """sha256 of each source image."""
    phashes: Sequence[Sequence[int]]
    """64-bit perceptual hash of each image, in the order of ``images``."""
    load_thumbnail: LoadThumbnail | None = None
    """Gives a small version of an image, to confirm what the hashes suggest; ``None``: they are believed."""


class Forest:
    """Union-find over N products, by size, with path halving."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))
        self.size = [1] * size

    def find(self, i: int) -> int:
        """Return the representative of ``i``'s set."""
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(self, i: int, j: int, *, largest: int | None = None) -> bool:
        """Unite the sets of ``i`` and ``j``; ``False`` where that would exceed ``largest`` members."""
        i, j = self.find(i), self.find(j)
        if i == j:
            return True
        if largest is not None and self.size[i] + self.size[j] > largest:
            return False
        if self.size[i] < self.size[j]:
            i, j = j, i
        self._parent[j] = i
        self.size[i] += self.size[j]
        return True


def components(links: ProductLinks, config: SplitConfig) -> tuple[list[str], list[str], dict[str, int]]:
    """Return each product's component key, its key by exact links alone, and counts for the record.

    Exact links are item group and equal source image; the first answer adds near-equal perceptual
    hashes, held back by ``phash_max_products`` and ``max_component``.
    """
    forest = Forest(len(links.ids))
    _join_equal(forest, links.groups)
    first: dict[bytes, int] = {}
    for i, hashes in enumerate(links.images):
        for sha256 in hashes:
            forest.join(i, first.setdefault(sha256, i))
    exact = _keys(forest, links)
    joined = refused = 0
    if config.phash_distance >= 0:
        for left, right in near_images(_carriers(links, exact, config), config, links.load_thumbnail):
            ok = forest.join(first[left], first[right], largest=config.max_component)
            joined += ok
            refused += not ok
    keys = _keys(forest, links)
    sizes = Counter(keys)
    counts = {
        "components": len(sizes),
        "components_by_exact_links": len(set(exact)),
        "largest_component": max(sizes.values(), default=0),
        "near_equal_images": joined,
        "refused_joins": refused,
    }
    return keys, exact, counts


def assign(
    keys: Sequence[str],
    config: SplitConfig,
    *,
    ids: Sequence[str] = (),
    previous: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the split of every product by the hash of its component key ``[N]``.

    ``previous`` maps product ids to the split that an encoder in service was made with: a component that
    holds any of them keeps that split; where two components have since become one, trained on prevails
    over validated on over held out, because what was once trained on can no longer judge.
    """
    chosen = {key: _by_hash(key, config.validation_share, config.holdout_share) for key in set(keys)}
    if previous:
        rank = {TRAIN: 0, VALIDATION: 1, HOLDOUT: 2}
        kept: dict[str, str] = {}
        for id, key in zip(ids, keys, strict=True):
            was = previous.get(id)
            if was in rank and (key not in kept or rank[was] < rank[kept[key]]):
                kept[key] = was
        chosen |= kept
    return [chosen[key] for key in keys]


def prescribed(
    values: Sequence[str | None],
    exact_keys: Sequence[str],
    config: SplitConfig,
    *,
    drawn_by: Sequence[str] | None = None,
) -> tuple[list[str], int]:
    """Return the split that a column prescribes, and how many products were left out as straddling.

    ``values`` is the column, ``[N]``. A product to train or validate on that shares an item group or a
    source image with a held-out one is ``unused``: the column decides, but no held-out image may
    be learnt from. Where no value validates, ``validation_share`` of the training products does, drawn
    by the hash of ``drawn_by`` (default: the component), whole.
    """
    table = dict.fromkeys(config.train, TRAIN) | dict.fromkeys(config.validation, VALIDATION)
    table |= dict.fromkeys(config.holdout, HOLDOUT)
    splits = [table.get(value or "", UNUSED) for value in values]
    if not config.validation and config.validation_share:
        for i, key in enumerate(exact_keys if drawn_by is None else drawn_by):
            if splits[i] == TRAIN:
                splits[i] = _by_hash(key, config.validation_share, 0.0)
    held = {key for key, split in zip(exact_keys, splits, strict=True) if split == HOLDOUT}
    straddling = [i for i, key in enumerate(exact_keys) if key in held and splits[i] in (TRAIN, VALIDATION)]
    for i in straddling:
        splits[i] = UNUSED
    return splits, len(straddling)


def separate_duplicates(
    splits: Sequence[str], keys: Sequence[str], duplicates: Sequence[tuple[int, int]]
) -> tuple[list[str], int]:
    """Return the splits ``[N]`` with judged duplicates kept apart, and how many products that left out.

    ``keys`` ``[N]`` are those of the components, ``duplicates`` rows that were judged to be one product.
    Nothing is moved between splits, which are to stay as they are over nights: where what is held out has a
    duplicate to train or validate on, that one's component is unused as long as the judgement stands.
    """
    forest = Forest(len(splits))
    _join_equal(forest, keys)
    for left, right in duplicates:
        forest.join(left, right)
    concerned = {forest.find(i) for pair in duplicates for i in pair}
    rank = {TRAIN: 0, VALIDATION: 1, HOLDOUT: 2}
    strictest: dict[int, int] = {}
    for i, split in enumerate(splits):
        root = forest.find(i)
        strictest[root] = max(strictest.get(root, -1), rank.get(split, -1))
    found = list(splits)
    for i, split in enumerate(splits):
        root = forest.find(i)
        if root in concerned and -1 < rank.get(split, -1) < strictest[root]:
            found[i] = UNUSED
    return found, sum(a != b for a, b in zip(splits, found, strict=True))


def _by_hash(key: str, validation_share: float, holdout_share: float) -> str:
    digest = hashlib.sha256(b"split\0" + key.encode()).digest()
    u = int.from_bytes(digest[:8], "big") / 2**64
    return HOLDOUT if u < holdout_share else VALIDATION if u < holdout_share + validation_share else TRAIN


def _join_equal(forest: Forest, values: Sequence[Any]) -> None:
    first: dict[Any, int] = {}
    for i, value in enumerate(values):
        if value is not None:
            forest.join(i, first.setdefault(value, i))


def _carriers(links: ProductLinks, exact: Sequence[str], config: SplitConfig) -> dict[int, list[bytes]]:
    """Return hash → images, without hashes of plain images and those of too many unrelated products."""
    carriers: dict[int, dict[bytes, None]] = {}
    owners: dict[int, set[str]] = {}
    for images, hashes, key in zip(links.images, links.phashes, exact, strict=True):
        for sha256, value in zip(images, hashes, strict=True):
            if _FLAT_BITS <= value.bit_count() <= 64 - _FLAT_BITS:
                carriers.setdefault(value, {})[sha256] = None
                owners.setdefault(value, set()).add(key)
    few = config.phash_max_products
    return {value: sorted(found) for value, found in sorted(carriers.items()) if len(owners[value]) <= few}


def _keys(forest: Forest, links: ProductLinks) -> list[str]:
    """Return each product's component key: the smallest unit in it, shorter before longer.

    A unit is the item group, or the id of a product without one. Numbers that count up keep the oldest
    product's key that way, so a component's key survives its growth.
    """
    smallest: dict[int, str] = {}
    roots = [forest.find(i) for i in range(len(links.ids))]
    for root, id, group in zip(roots, links.ids, links.groups, strict=True):
        unit = f"g:{group}" if group is not None else f"p:{id}"
        kept = smallest.get(root)
        if kept is None or _order(unit) < _order(kept):
            smallest[root] = unit
    return [smallest[root] for root in roots]


def _order(unit: str) -> tuple[int, str]:
    return len(unit), unit


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
    links = ProductLinks(
        ids=ids,
        groups=products.column("item_group_id").to_pylist(),
        images=images,
        phashes=[[store.phash(sha) for sha in row] for row in images],
        load_thumbnail=lambda sha: thumbnail(store.jpeg(sha)),
    )
    keys, exact, counts = components(links, settings)
    if settings.column is None:
        known = read_splits(workspace, previous.ref) if previous is not None else SCHEMA.empty_table()
        was = dict(zip(known.column("id").to_pylist(), known.column("split").to_pylist(), strict=True))
        names = assign(keys, settings, ids=ids, previous=was)
    else:
        drawn = None
        if settings.validation_by:
            codes = label_codes(
                [
                    read_column(products, c, setting="training.split.validation_by")
                    for c in settings.validation_by
                ]
            )
            drawn = [
                f"c:{code}" if code >= 0 else key for code, key in zip(codes.tolist(), exact, strict=True)
            ]
        names, counts["straddling"] = prescribed(
            read_column(products, settings.column, setting="training.split.column"),
            exact,
            settings,
            drawn_by=drawn,
        )
    if same:
        whole = keys if settings.column is None else exact
        names, counts["left_out_as_duplicates"] = separate_duplicates(names, whole, same)
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
