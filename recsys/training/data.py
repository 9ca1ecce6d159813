"""What the training products consist of, and batches of tensors made of it.

A batch is a function of (seed, batch number): plan, choice of images and augmentation all are. Worker
processes and the main process make the same batches. Products that are not trained on have no images and no
text here: nothing later can reach an image or a word of theirs.

    N = products of the snapshot, B = batch size, V = images in the batch, T = texts in the batch
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from recsys.config.training import AugmentConfig
from recsys.encoder.template import ContentReader
from recsys.training.augment import augment
from recsys.training.image_cache import ImageCache
from recsys.training.sampler import Sampler, generator
from recsys.training.supervision import Int, Supervision
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import TRAIN

Batch = dict[str, Any]
"""``pixels`` [V, 3, S, S] uint8 or ``early_images`` [V, E], ``image_rows`` [V], ``text_rows`` [T],
``tokens`` (dict of [T, L]) or ``text_features`` [T, F], ``products`` [B], ``components`` [B],
``text_codes`` [B], ``labels`` (level -> [B]), ``judged`` [B, B], ``number`` (int)."""


@dataclass(frozen=True, kw_only=True)
class TrainingItems:
    """Images and texts of the training products."""

    image_starts: Int  # [N + 1], product i has images[image_starts[i] : image_starts[i + 1]]
    images: Int  # positions in `sha256`
    sha256: list[bytes]  # distinct images
    text_codes: Int  # [N], position in `texts`, -1 without text
    texts: list[str]  # distinct texts
    components: Int  # [N], duplicate-and-variant component

    @property
    def num_images(self) -> Int:
        """Images of every product ``[N]``."""
        return np.diff(self.image_starts)


def read_items(
    snapshot: Snapshot, reader: ContentReader, splits: Sequence[str], components: Sequence[str]
) -> TrainingItems:
    """Read images and texts of the products whose split is ``train``.

    ``splits`` and ``components`` are those of the snapshot's rows, ``[N]``; memory is the training products'
    texts and image hashes.
    """
    starts, codes = [0], []
    images: list[int] = []
    positions: dict[bytes, int] = {}
    texts: dict[str, int] = {}
    rows = (row for batch in snapshot.batches(("id", *reader.columns)) for row in batch.to_pylist())
    for row, split in zip(rows, splits, strict=True):
        code = -1
        if split == TRAIN:
            content = reader.read(row)
            images.extend(positions.setdefault(sha256, len(positions)) for sha256 in content.images)
            if content.text is not None:
                code = texts.setdefault(content.text, len(texts))
        codes.append(code)
        starts.append(len(images))
    return TrainingItems(
        image_starts=np.array(starts, np.int64),
        images=np.array(images, np.int64),
        sha256=list(positions),
        text_codes=np.array(codes, np.int64),
        texts=list(texts),
        components=np.unique(np.array(components), return_inverse=True)[1].astype(np.int64),
    )


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """The texts of a batch, as tokens or as features of a frozen tower computed once."""

    tokenize: Callable[[list[str]], dict[str, Tensor]]
    texts: list[str]
    features: NDArray[np.float32] | None = None  # [len(texts), F], may be memory-mapped

    def __call__(self, codes: Int) -> dict[str, Any]:
        """Return ``text_features`` or ``tokens`` of the texts ``codes`` ``[T]``."""
        if self.features is not None:
            return {"text_features": _rows(self.features, codes)}
        return {"tokens": self.tokenize([self.texts[code] for code in codes]) if len(codes) else {}}


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """The images of a batch, as augmented pixels or as what a frozen tower's early stages say."""

    cache: ImageCache
    size: int
    augment: AugmentConfig
    features: NDArray[Any] | None = None  # [len(cache), E], may be memory-mapped

    def __call__(self, chosen: Int, rngs: Sequence[Callable[[], np.random.Generator]]) -> dict[str, Tensor]:
        """Return ``early_images`` or ``pixels`` of ``chosen`` ``[V]``, each with its own random numbers."""
        if self.features is not None:
            return {"early_images": _rows(self.features, chosen)}
        pixels = torch.empty((len(chosen), self.size, self.size, 3), dtype=torch.uint8)
        for i, image in enumerate(chosen.tolist()):
            pixels[i] = torch.from_numpy(augment(self.cache[image], self.size, self.augment, rngs[i]()))
        return {"pixels": pixels.permute(0, 3, 1, 2)}  # channels last in memory


def _rows(features: NDArray[Any], at: Int) -> Tensor:
    """Return some rows in memory of torch's own: the alignment of numpy's would decide last bits."""
    return torch.from_numpy(features)[torch.from_numpy(at)]


class BatchDataset(Dataset[Batch]):
    """Batch ``i`` of the whole run, made when asked for."""

    def __init__(
        self, sampler: Sampler, items: TrainingItems, images: ImageSource, text: TextSource | None,
        supervision: Supervision, seed: int,
    ) -> None:  # fmt: skip
        """``text`` is ``None`` where no term of the loss reads it."""
        self._sampler, self._items, self._images, self._text = sampler, items, images, text
        self._labels, self._seed = supervision.labels, seed
        left, right, weight = supervision.pairs
        ends = np.concatenate([left, right]), np.concatenate([right, left])
        size = len(items.text_codes)
        self._judged = coo_array((np.concatenate([weight, weight]), ends), shape=(size, size)).tocsr()

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``, 0-based over all epochs."""
        products, image_indices = self._sampler.plan(number)
        codes = self._items.text_codes[products]
        image_rows = np.flatnonzero(self._items.num_images[products] > 0)
        text_rows = np.flatnonzero(codes >= 0) if self._text is not None else np.empty(0, np.int64)
        starts = self._items.image_starts[products[image_rows]]
        chosen = self._items.images[starts + image_indices[image_rows]]
        rngs = [partial(generator, self._seed, number, 2 + row) for row in image_rows.tolist()]
        return {
            "number": number,
            **self._images(chosen, rngs),
            "image_rows": torch.from_numpy(image_rows),
            "text_rows": torch.from_numpy(text_rows),
            **(self._text(codes[text_rows]) if self._text is not None else {}),
            "products": torch.from_numpy(products),
            "components": torch.from_numpy(self._items.components[products]),
            "text_codes": torch.from_numpy(codes),
            "labels": {name: torch.from_numpy(level[products]) for name, level in self._labels.items()},
            "judged": torch.from_numpy(self._judged[products][:, products].toarray()),
        }


class BatchLoader:
    """Yields one epoch's batches from ``next_batch`` on, wherever in the run that is."""

    def __init__(
        self, dataset: BatchDataset, epoch_batches: int, *, num_workers: int, pin_memory: bool
    ) -> None:
        self.dataset, self._epoch_batches = dataset, epoch_batches
        self._num_workers, self._pin_memory = num_workers, pin_memory
        self.next_batch = 0

    def __len__(self) -> int:
        return self._epoch_batches

    def __iter__(self) -> Iterator[Batch]:
        end = (self.next_batch // self._epoch_batches + 1) * self._epoch_batches
        loader: DataLoader[Batch] = DataLoader(
            self.dataset,
            batch_size=None,
            sampler=range(self.next_batch, end),
            num_workers=self._num_workers,
            pin_memory=self._pin_memory,
            worker_init_fn=_use_one_thread,
            prefetch_factor=4 if self._num_workers else None,
        )
        for batch in loader:
            self.next_batch += 1
            yield batch


def _use_one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
