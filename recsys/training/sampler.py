"""Which products enter which batch: P classes of K items, the rest at random.

The semantics of pytorch-metric-learning's MPerClassSampler (K items of each of P distinct classes), over
several label levels at once, and as a pure function of (seed, batch number): any batch can be made
without those before it, so a resumed run sees what the unbroken one would have seen.

    N = products of the snapshot, B = batch size, P = classes of a batch, K = items per class

Does not know: images, texts, losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.config.supervision import SamplerConfig
from recsys.training.supervision import LINKS, Supervision

Int = NDArray[np.int64]


def generator(seed: int, batch: int, stream: int = 0) -> np.random.Generator:
    """Return the random numbers of one batch; ``stream`` separates its sampler from its items."""
    key = np.array([seed, batch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, stream], np.uint64)))


class BatchPlan(NamedTuple):
    """What one batch holds."""

    products: Int  # [B], rows of the snapshot
    views: Int  # [B], which of the product's images; 0 for a product without


@dataclass(frozen=True)
class ClassPool:
    """The classes of one level that a batch can draw from."""

    members: Int  # products, class after class
    starts: Int  # [C + 1], where each class begins
    cumulative: NDArray[np.float64]  # [C], running sum of the classes' probabilities
    weight: float

    def __len__(self) -> int:
        return len(self.starts) - 1

    def draw(self, rng: np.random.Generator, num: int) -> Int:
        """Return ``num`` distinct classes (all of them where there are no more), likely ones first."""
        if num >= len(self):
            return rng.permutation(len(self))
        chosen: Int = np.empty(0, np.int64)
        while len(chosen) < num:
            drawn = np.searchsorted(self.cumulative, rng.random(2 * num) * self.cumulative[-1], side="right")
            merged = np.concatenate([chosen, drawn])
            chosen = merged[np.sort(np.unique(merged, return_index=True)[1])]
        return chosen[:num]

    def items(self, which: int) -> Int:
        """Return the products of a class."""
        return self.members[self.starts[which] : self.starts[which + 1]]


class Sampler:
    """Plans batches; cheap to pickle into workers."""

    def __init__(
        self, supervision: Supervision, trained: Int, num_views: Int, config: SamplerConfig, seed: int,
        weights: dict[str, float],
    ) -> None:  # fmt: skip
        """Prepare the pools.

        ``trained`` are the rows that are trained on, ``num_views`` the images of every product ``[N]``,
        ``weights`` the label levels that batches are drawn by and how often, relative to each other.
        """
        self.batch_size = config.batch_size
        self.pools = {
            name: pool
            for name, weight in weights.items()
            if weight > 0
            and (
                pool := _pool(supervision.labels[name], trained, num_views, weight, config.class_power, name)
            )
        }
        self._trained, self._num_views, self._seed = trained, num_views, seed
        self._items_per_class = config.items_per_class
        links = _neighbours(supervision)
        if config.links_weight > 0 and len(links):
            weight = config.links_weight * supervision.links_share
            self.pools[LINKS] = ClassPool(links.members, links.starts, links.cumulative, weight)
        share = config.random_share if self.pools else 1.0
        self.num_random = round(share * config.batch_size)
        self._permutation = lru_cache(maxsize=2)(self._shuffled)

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k != "_permutation"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._permutation = lru_cache(maxsize=2)(self._shuffled)

    def plan(self, batch: int) -> BatchPlan:
        """Return batch number ``batch`` (0-based, over all epochs)."""
        rng = generator(self._seed, batch)
        products: list[Int] = []
        free = self.batch_size - self.num_random
        num_classes = free // self._items_per_class
        for name, num in self._share_out(rng, num_classes).items():
            pool = self.pools[name]
            for which in pool.draw(rng, num):
                products.append(self._choose(rng, pool.items(int(which)), keep_first=name == LINKS))
        products.append(self._turn(batch))
        missing = self.batch_size - sum(map(len, products))
        products.append(rng.choice(self._trained, missing))
        chosen = np.concatenate(products)
        return BatchPlan(chosen, self._choose_views(rng, chosen))

    def _share_out(self, rng: np.random.Generator, num_classes: int) -> dict[str, int]:
        """Give each level its share of the classes; what does not divide goes by lot."""
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
        """Return K of a class's products; those come again where it has fewer."""
        if keep_first:  # a product and some of what is linked to it
            rest = rng.permutation(members[1:])[: self._items_per_class - 1]
            return np.concatenate([members[:1], rest])
        order = rng.permutation(members)
        return np.resize(order, self._items_per_class)

    def _choose_views(self, rng: np.random.Generator, products: Int) -> Int:
        """Give every product an image at random, and another one each time it comes again."""
        first = rng.random(len(products))
        seen: dict[int, int] = {}
        views = np.zeros(len(products), np.int64)
        for i, product in enumerate(products.tolist()):
            num = int(self._num_views[product])
            if num:
                again = seen.get(product)
                seen[product] = again + 1 if again is not None else int(first[i] * num)
                views[i] = seen[product] % num
        return views

    def _turn(self, batch: int) -> Int:
        """Return the products whose turn it is in the shuffled walk over all of them."""
        at = batch * self.num_random + np.arange(self.num_random)
        lap, place = np.divmod(at, len(self._trained))
        return np.array([self._permutation(int(e))[p] for e, p in zip(lap, place, strict=True)], np.int64)

    def _shuffled(self, lap: int) -> Int:
        return generator(self._seed, lap, stream=1).permutation(self._trained)


def _pool(
    codes: Int, trained: Int, num_views: Int, weight: float, power: float, name: str
) -> ClassPool | None:
    """Collect the classes of a level that have something to pull together."""
    rows = trained[codes[trained] >= 0]
    order = rows[np.argsort(codes[rows], kind="stable")]
    _, starts, sizes = np.unique(codes[order], return_index=True, return_counts=True)
    images = np.add.reduceat(num_views[order], starts) if len(starts) else sizes
    usable = (sizes > 1) | ((images > 1) & (name in ("product", "group")))
    if not usable.any():
        return None
    members = [order[s : s + n] for s, n in zip(starts[usable], sizes[usable], strict=True)]
    return _packed(members, np.asarray(sizes[usable], np.float64) ** power, weight)


def _packed(members: Sequence[Int], odds: NDArray[np.float64], weight: float) -> ClassPool:
    starts = np.concatenate([[0], np.cumsum([len(m) for m in members])]).astype(np.int64)
    flat = np.concatenate(members) if members else np.empty(0, np.int64)
    return ClassPool(flat, starts, np.cumsum(odds), weight)


def _neighbours(supervision: Supervision) -> ClassPool:
    """Return one class per judged product: itself first, then those it was judged with."""
    left, right = supervision.pairs.left, supervision.pairs.right
    ends = np.stack([np.concatenate([left, right]), np.concatenate([right, left])])
    ends = ends[:, np.lexsort(ends[::-1])]
    anchors, starts = np.unique(ends[0], return_index=True)
    groups = np.split(ends[1], starts[1:]) if len(anchors) else []
    members = [np.concatenate([[anchor], group]) for anchor, group in zip(anchors, groups, strict=True)]
    return _packed(members, np.ones(len(members)), 1.0)
