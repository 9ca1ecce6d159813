"""Which products enter which batch: P classes of K items, products without a class, the rest at random.

The semantics of pytorch-metric-learning's MPerClassSampler (K items of each of P distinct classes), over
several label levels at once, and as a pure function of (seed, batch number): any batch can be made without
those before it, so a resumed run sees what an unbroken one would have seen.

    N = products of the snapshot, B = batch size, P = classes of a batch, K = items per class
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.config.supervision import SamplerConfig
from recsys.training.supervision import LINKS, Int, LabelledPairs, Supervision

_MAX_OUTSIDE = 0.5
"""Largest share of a batch for products that no class can be drawn by."""
_OUTSIDE_STREAM = 1 << 32


def generator(seed: int, batch: int, stream: int = 0) -> np.random.Generator:
    """Return the random numbers of one batch; ``stream`` separates the sampler from each item."""
    key = np.array([seed, batch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, stream], np.uint64)))


class BatchPlan(NamedTuple):
    """What one batch holds."""

    products: Int  # [B], rows of the snapshot
    image_indices: Int  # [B], which of the product's images; 0 for a product without


class Sampler:
    """Plans batches; cheap to pickle into workers."""

    def __init__(
        self, supervision: Supervision, trained: Int, num_images: Int, config: SamplerConfig, seed: int,
        weights: dict[str, float],
    ) -> None:  # fmt: skip
        """Prepare the pools.

        ``trained`` are the rows to draw from, ``num_images`` ``[N]`` the images of every product, ``weights``
        the share of each label level. Levels without two items of one class are left out; where nothing is
        left, batches are drawn at random.
        """
        self.batch_size = config.batch_size
        self._items_per_class = config.items_per_class
        self._trained, self._num_images, self._seed = trained, num_images, seed
        self.pools: dict[str, ClassPool] = {}
        for name, weight in weights.items():
            repeats = name in ("product", "group")
            level = supervision.labels[name]
            classes = _classes_of(level, trained, num_images, repeats=repeats) if weight > 0 else []
            if classes:
                odds = np.array([len(members) for members in classes], np.float64) ** config.class_power
                self.pools[name] = ClassPool(classes, np.cumsum(odds), weight)
        classes = _judged_classes(supervision.pairs)
        if config.links_weight > 0 and classes:
            weight = config.links_weight * supervision.links_share
            self.pools[LINKS] = ClassPool(classes, np.arange(1.0, len(classes) + 1), weight)
        self.num_random = round((config.random_share if self.pools else 1.0) * config.batch_size)
        members = [rows for pool in self.pools.values() for rows in pool.classes]
        self._outside = np.setdiff1d(trained, np.concatenate([np.empty(0, np.int64), *members]))
        share = min(len(self._outside) / len(trained), _MAX_OUTSIDE)
        self.num_outside = int(np.ceil(share * (self.batch_size - self.num_random))) if self.pools else 0
        self._laps: dict[int, tuple[int, Int]] = {}

    def plan(self, batch: int) -> BatchPlan:
        """Return batch number ``batch`` (0-based, over all epochs)."""
        rng = generator(self._seed, batch)
        products: list[Int] = []
        num_classes = (self.batch_size - self.num_random - self.num_outside) // self._items_per_class
        for name, num in self._classes_per_level(rng, num_classes).items():
            pool = self.pools[name]
            for which in pool.draw(rng, num):
                products.append(self._choose(rng, pool.classes[which], keep_first=name == LINKS))
        products.append(self._next_in_turn(batch, self._trained, self.num_random, stream=1))
        products.append(self._next_in_turn(batch, self._outside, self.num_outside, stream=_OUTSIDE_STREAM))
        missing = self.batch_size - sum(map(len, products))
        products.append(rng.choice(self._trained, missing))
        chosen = np.concatenate(products)
        return BatchPlan(chosen, self._choose_images(rng, chosen))

    def _classes_per_level(self, rng: np.random.Generator, num_classes: int) -> dict[str, int]:
        """Give each level its share of the classes; the remainder is drawn at random."""
        if not self.pools:
            return {}
        weights = np.array([pool.weight for pool in self.pools.values()])
        exact = weights / weights.sum() * num_classes
        shares = np.floor(exact).astype(int)
        rest = num_classes - shares.sum()
        if rest:
            p = exact - np.floor(exact)
            np.add.at(shares, rng.choice(len(shares), int(rest), p=p / p.sum()), 1)
        return dict(zip(self.pools, shares.tolist(), strict=True))

    def _choose(self, rng: np.random.Generator, members: Int, *, keep_first: bool) -> Int:
        """Return K of a class's products, or as many as it has; one comes again with another image only."""
        if keep_first:  # a product and some of what is linked to it
            rest = rng.permutation(members[1:])[: self._items_per_class - 1]
            return np.concatenate([members[:1], rest])
        chosen = rng.permutation(members)[: self._items_per_class]
        if len(chosen) == self._items_per_class:
            return chosen
        more = np.maximum(self._num_images[chosen], 1)
        rounds = [chosen[more > lap] for lap in range(min(int(more.max()), self._items_per_class))]
        return np.concatenate(rounds)[: self._items_per_class]

    def _next_in_turn(self, batch: int, rows: Int, num: int, *, stream: int) -> Int:
        """Return ``num`` of ``rows``: the batch's part of a shuffled walk over them, lap after lap."""
        laps, places = np.divmod(batch * num + np.arange(num), max(len(rows), 1))
        parts = [self._shuffled(int(lap), rows, stream)[places[laps == lap]] for lap in np.unique(laps)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def _shuffled(self, lap: int, rows: Int, stream: int) -> Int:
        if self._laps.get(stream, (-1,))[0] != lap:
            self._laps[stream] = lap, generator(self._seed, lap, stream).permutation(rows)
        return self._laps[stream][1]

    def _choose_images(self, rng: np.random.Generator, products: Int) -> Int:
        """Give every product a random image, and another one each time the product is repeated."""
        first = rng.random(len(products))
        last: dict[int, int] = {}
        chosen = np.zeros(len(products), np.int64)
        for i, product in enumerate(products.tolist()):
            num = int(self._num_images[product])
            if num:
                last[product] = last[product] + 1 if product in last else int(first[i] * num)
                chosen[i] = last[product] % num
        return chosen


@dataclass(frozen=True)
class ClassPool:
    """The classes of one level that a batch can draw from. C = classes"""

    classes: Sequence[Int]  # [C], the products of each
    cumulative: NDArray[np.float64]  # [C], running sum of the classes' odds
    weight: float

    def draw(self, rng: np.random.Generator, num: int) -> Int:
        """Return ``num`` distinct classes (all of them where there are no more), likely ones first."""
        if num >= len(self.cumulative):
            return rng.permutation(len(self.cumulative))
        chosen: Int = np.empty(0, np.int64)
        while len(chosen) < num:
            drawn = np.searchsorted(self.cumulative, rng.random(2 * num) * self.cumulative[-1], side="right")
            merged = np.concatenate([chosen, drawn])
            chosen = merged[np.sort(np.unique(merged, return_index=True)[1])]
        return chosen[:num]


def _classes_of(codes: Int, trained: Int, num_images: Int, *, repeats: bool) -> list[Int]:
    """Return the products of each class that has something to pull together.

    That is two products, or with ``repeats`` two images.
    """
    rows = trained[codes[trained] >= 0]
    order = rows[np.argsort(codes[rows], kind="stable")]
    _, starts, sizes = np.unique(codes[order], return_index=True, return_counts=True)
    images = np.add.reduceat(num_images[order], starts) if len(starts) else sizes
    usable = (sizes > 1) | (repeats & (images > 1))
    return [order[s : s + n] for s, n in zip(starts[usable], sizes[usable], strict=True)]


def _judged_classes(pairs: LabelledPairs) -> list[Int]:
    """Return one class per judged product: itself first, then those it was judged with."""
    ends = np.stack([np.concatenate([pairs.left, pairs.right]), np.concatenate([pairs.right, pairs.left])])
    ends = ends[:, np.lexsort(ends[::-1])]
    anchors, starts = np.unique(ends[0], return_index=True)
    groups = np.split(ends[1], starts[1:]) if len(anchors) else []
    return [np.concatenate([[anchor], group]) for anchor, group in zip(anchors, groups, strict=True)]
