"""The gate over many nights of generated scores: chance, power, and losses that come little by little."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.config.evaluation import GateConfig
from recsys.evaluation.candidates import ANCHOR, BASE, CHAMPION, TUNED
from recsys.evaluation.gate import GateResult, compare
from recsys.evaluation.scores import PerQueryScores

Scores = dict[str, NDArray[np.float64]]
"""Task → score per product."""

TASKS = ("variants", "variants_image", "category_image", "words")
SIZES = {"demo": (1_200, 8), "middle": (5_000, 20), "large": (50_000, 40)}
"""Products of the catalog, a tenth of them held out, and categories, of which few are large."""
GATE = GateConfig()


class Holdout:
    """The held-out products of a shop, two of each component, and encoders that score on them."""

    def __init__(self, size: str, seed: int) -> None:
        num_products, self.num_categories = SIZES[size]
        self._rng = np.random.default_rng(seed)
        self._num = num_products // 10
        share = 1 / np.arange(1, self.num_categories + 1)
        self.category = self._rng.choice(self.num_categories, self._num, p=share / share.sum())
        self._component = np.arange(self._num) // 2
        self.base = {task: self._rng.uniform(0.2, 0.8, self._num) for task in TASKS}

    def encoder(self, of: Scores, gain: float | NDArray[np.float64], noise: float = 0.15) -> Scores:
        """Return one that is better than ``of`` by ``gain``, overall or by category, up to chance."""
        each = gain[self.category] if isinstance(gain, np.ndarray) else gain
        return {
            task: values
            + each
            + self._rng.normal(0, 0.7 * noise, self._component[-1] + 1)[self._component]
            + self._rng.normal(0, 0.7 * noise, self._num)
            for task, values in of.items()
        }

    def compare(self, *, times_asked: int = 0, others: Sequence[str] = (), **encoders: Scores) -> GateResult:
        tasks = [
            PerQueryScores(
                task=task,
                values={name: scores[task] for name, scores in encoders.items()},
                components=self._component,
                products=np.arange(self._num),
                categories=[f"type {c}" for c in self.category],
            )
            for task in TASKS
        ]
        return compare(
            tasks, challenger=TUNED, reference=CHAMPION, others=others, config=GATE, times_asked=times_asked
        )


@pytest.mark.parametrize("size", ["demo", "middle"])
def test_chance_promotes_in_few_of_two_hundred_nights_and_costs_nothing(size: str) -> None:
    """The champion is as good as the base; every challenger is a little better or worse in truth."""
    rng = np.random.default_rng(0)
    for seed in range(3):
        shop = Holdout(size, seed)
        champion, level, promoted = shop.encoder(shop.base, 0.0), 0.0, 0
        for night in range(200):
            own = rng.normal(0, 0.005)
            challenger = shop.encoder(shop.base, own)
            result = shop.compare(
                champion=champion, base=shop.base, tuned=challenger, others=[BASE], times_asked=night
            )
            if result.accepted:
                champion, level, promoted = challenger, own, promoted + 1
        assert promoted <= 10  # one in twenty
        assert level >= -0.01


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("times_asked", [0, 199])
def test_twice_the_detectable_difference_is_promoted_four_times_in_five(size: str, times_asked: int) -> None:
    accepted = 0
    for seed in range(40):
        shop = Holdout(size, seed)
        equal = shop.compare(champion=shop.base, tuned=shop.encoder(shop.base, 0.0), times_asked=times_asked)
        assert equal.power is not None
        better = shop.encoder(shop.base, 2 * equal.power.detectable)
        accepted += shop.compare(champion=shop.base, tuned=better, times_asked=times_asked).accepted
    assert accepted >= 32


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("a_night", [0.01, 0.045])
def test_a_slow_loss_in_a_large_category_stops_before_it_costs_much(size: str, a_night: float) -> None:
    """Every night all categories gain a little, and the largest loses."""
    costs = []
    for seed in range(6):
        shop = Holdout(size, seed)
        change = np.where(np.arange(shop.num_categories) == 0, -a_night, 0.02)
        champion, anchor, cost = shop.base, None, 0.0
        for night in range(30):
            encoders = {CHAMPION: champion, BASE: shop.base, TUNED: shop.encoder(champion, change, 0.08)}
            encoders |= {} if anchor is None else {ANCHOR: anchor}
            others = [name for name in (BASE, ANCHOR) if name in encoders]
            result = shop.compare(**encoders, others=others, times_asked=night)
            if result.accepted:
                anchor = None if result.no_loss_to_anchor else anchor or champion
                champion, cost = encoders[TUNED], cost + a_night
        costs.append(cost)
    assert np.mean(costs) <= 0.05


@pytest.mark.parametrize("num_products", [3, 12, 99])
def test_a_category_that_falls_to_nothing_is_seen_at_any_size(num_products: int) -> None:
    shop = Holdout("middle", 0)
    shop.category[shop.category == 19] = 0
    shop.category[:num_products] = 19
    change = np.where(np.arange(20) == 19, -1.0, 0.05)
    result = shop.compare(champion=shop.base, tuned=shop.encoder(shop.base, change, 0.08))
    assert not result.accepted
    assert "type 19" in result.reasons[0]
