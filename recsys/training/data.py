"""The training data: which product has which images and text, and batches of tensors made of them.

A batch is a function of (seed, batch number): the plan, the views and the augmentation all are. Batches
are made in worker processes or in line; either way the same.

    N = products of the snapshot, B = batch size, V = images in the batch, T = texts in the batch

From a snapshot to what training needs of it: images and texts of the products it may look at.

Rows that are held out or unused get neither: nothing later can reach an image or a word of theirs.

    N = products of the snapshot
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from recsys.config.training import AugmentConfig
from recsys.encoder.template import ContentReader
from recsys.training.augment import augment
from recsys.training.image_cache import ImageCache
from recsys.training.sampler import Sampler, generator
from recsys.training.supervision import LabelledPairs, Supervision
from recsys.workspace.snapshot import Snapshot

Int = NDArray[np.int64]
Batch = dict[str, Any]
"""``pixels`` [V, 3, S, S] uint8 or ``image_features`` [V, F], ``image_rows`` [V], ``text_rows`` [T],
``tokens`` (dict of [T, L]) or ``text_features`` [T, F], ``products`` [B], ``components`` [B],
``text_codes`` [B], ``labels`` (level -> [B]), ``judged`` [B, B], ``number`` (int)."""


@dataclass(frozen=True, kw_only=True)
class Items:
    """What the products to train and validate on are made of; other rows have nothing."""

    view_starts: Int  # [N + 1], images of product i are views[view_starts[i] : view_starts[i + 1]]
    views: Int  # positions in `ImageCache`
    text_codes: Int  # [N], position in `texts`, -1 without text
    texts: list[str]  # distinct texts
    components: Int  # [N], duplicate-and-variant component

    @property
    def num_views(self) -> Int:
        """ImageCache of every product ``[N]``."""
        return np.diff(self.view_starts)


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """How the text of a batch is given: as tokens, or as features of a frozen tower computed once."""

    tokenize: Callable[[list[str]], dict[str, Tensor]] | None = None
    features: NDArray[np.float32] | None = None  # [len(texts), F], may be memory-mapped

    def __call__(self, items: Items, codes: Int) -> dict[str, Any]:
        """Return ``text_features`` or ``tokens`` of the texts ``codes`` ``[T]``."""
        if self.features is not None:
            return {"text_features": torch.from_numpy(self.features[codes])}
        assert self.tokenize is not None, "a text source tokenizes or has features"
        return {"tokens": self.tokenize([items.texts[code] for code in codes]) if len(codes) else {}}


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """How the images of a batch are given: as random views, or as features of a frozen tower."""

    cache: ImageCache
    size: int
    augment: AugmentConfig
    features: NDArray[np.float32] | None = None  # [len(images), F]

    def __call__(self, chosen: Int, rngs: Sequence[Callable[[], np.random.Generator]]) -> dict[str, Tensor]:
        """Return ``image_features`` or ``pixels`` of ``chosen`` ``[V]``, each with its own random numbers."""
        if self.features is not None:
            return {"image_features": torch.from_numpy(self.features[chosen])}
        out = np.empty((len(chosen), self.size, self.size, 3), np.uint8)
        for i, image in enumerate(chosen.tolist()):
            out[i] = augment(self.cache[image], self.size, self.augment, rngs[i]())
        return {"pixels": torch.from_numpy(out).permute(0, 3, 1, 2)}  # channels last in memory


class Judged:
    """Looks up what was judged of the products in a batch."""

    def __init__(self, pairs: LabelledPairs) -> None:
        self._of: dict[int, dict[int, float]] = {}
        for left, right, weight in zip(*(column.tolist() for column in pairs), strict=True):
            self._of.setdefault(left, {})[right] = weight
            self._of.setdefault(right, {})[left] = weight

    def matrix(self, products: Int) -> NDArray[np.float32]:
        """Return the signed weights ``[B, B]``, 0 where nothing was judged; symmetric."""
        weights = np.zeros((len(products), len(products)), np.float32)
        at: dict[int, list[int]] = {}
        for i, product in enumerate(products.tolist()):
            at.setdefault(product, []).append(i)
        for product, rows in at.items():
            for other, weight in self._of.get(product, {}).items():
                if other in at:
                    weights[np.ix_(rows, at[other])] = weight
        return weights


class Batches(Dataset[Batch]):
    """Batch ``i`` of the whole run, made when asked for."""

    def __init__(
        self, sampler: Sampler, items: Items, images: ImageSource, text: TextSource | None,
        supervision: Supervision, seed: int,
    ) -> None:  # fmt: skip
        """``text`` is ``None`` where no term reads words."""
        self._sampler, self._items, self._images, self._text = sampler, items, images, text
        self._labels = supervision.labels
        self._judged = Judged(supervision.pairs)
        self._seed = seed

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``, 0-based over all epochs."""
        plan = self._sampler.plan(number)
        codes = self._items.text_codes[plan.products]
        image_rows = np.flatnonzero(self._items.num_views[plan.products] > 0)
        text_rows = np.flatnonzero(codes >= 0 if self._text is not None else np.zeros(len(codes), bool))
        chosen = self._items.views[
            self._items.view_starts[plan.products[image_rows]] + plan.views[image_rows]
        ]
        rngs = [partial(generator, self._seed, number, 2 + row) for row in image_rows.tolist()]
        return {
            "number": number,
            **self._images(chosen, rngs),
            "image_rows": torch.from_numpy(image_rows),
            "text_rows": torch.from_numpy(text_rows),
            **(self._text(self._items, codes[text_rows]) if self._text is not None else {}),
            "products": torch.from_numpy(plan.products),
            "components": torch.from_numpy(self._items.components[plan.products]),
            "text_codes": torch.from_numpy(codes),
            "labels": {name: torch.from_numpy(c[plan.products]) for name, c in self._labels.items()},
            "judged": torch.from_numpy(self._judged.matrix(plan.products)),
        }


class Loader:
    """Yields one epoch's batches from wherever the run stands; its state is the number of the next one."""

    def __init__(self, batches: Batches, epoch_batches: int, *, num_workers: int, pin_memory: bool) -> None:
        self._batches, self._epoch_batches = batches, epoch_batches
        self._num_workers, self._pin_memory = num_workers, pin_memory
        self.next_batch = 0

    def __len__(self) -> int:
        return self._epoch_batches

    def __iter__(self) -> Iterator[Batch]:
        end = (self.next_batch // self._epoch_batches + 1) * self._epoch_batches
        loader: DataLoader[Batch] = DataLoader(
            self._batches,
            batch_size=None,
            sampler=range(self.next_batch, end),
            num_workers=self._num_workers,
            pin_memory=self._pin_memory,
            worker_init_fn=_one_thread,
            prefetch_factor=4 if self._num_workers else None,
        )
        for batch in loader:
            self.next_batch += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return where the run stands."""
        return {"next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.next_batch = state["next_batch"]


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


class Material(NamedTuple):
    """Items and the images they point at."""

    items: Items
    sha256: list[bytes]  # [V] distinct images; `Items.views` are positions in it


def read(
    snapshot: Snapshot,
    reader: ContentReader,
    splits: Sequence[str],
    components: Sequence[str],
    wanted: Collection[str],
) -> Material:
    """Read the content of the products whose split is in ``wanted``.

    ``splits`` and ``components`` are those of the snapshot's rows, ``[N]``; memory is the wanted rows'
    texts and image hashes.
    """
    starts, codes = [0], []
    views: list[int] = []
    positions: dict[bytes, int] = {}
    texts: dict[str, int] = {}
    rows = (row for batch in snapshot.batches(("id", *reader.columns)) for row in batch.to_pylist())
    for row, split in zip(rows, splits, strict=True):
        if split in wanted:
            content = reader.read(row)
            views.extend(positions.setdefault(sha, len(positions)) for sha in content.images)
            codes.append(-1 if content.text is None else texts.setdefault(content.text, len(texts)))
        else:
            codes.append(-1)
        starts.append(len(views))
    items = Items(
        view_starts=np.array(starts, np.int64),
        views=np.array(views, np.int64),
        text_codes=np.array(codes, np.int64),
        texts=list(texts),
        components=np.unique(np.array(components), return_inverse=True)[1].astype(np.int64),
    )
    return Material(items, list(positions))


def without_images(material: Material) -> Material:
    """Return the same for terms that read texts alone."""
    items = material.items
    none = np.zeros(len(items.view_starts), np.int64)
    return Material(dataclasses.replace(items, view_starts=none, views=np.empty(0, np.int64)), [])


def rows_at(snapshot: Snapshot, columns: Sequence[str], positions: Int) -> list[dict[str, Any]]:
    """Return some rows of the snapshot as dicts, in the order of ``positions``."""
    table = snapshot.table(tuple(dict.fromkeys(columns)))
    rows: list[dict[str, Any]] = table.take(pa.array(positions)).to_pylist()
    return rows
