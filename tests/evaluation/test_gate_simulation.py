"""The gate over many nights of generated scores: chance, power, and losses that come little by little."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.config.evaluation import GateConfig
from recsys.evaluation.candidates import ANCHOR, BASE, CHAMPION, TUNED
from recsys.evaluation.gate import GateResult, compare
from recsys.evaluation.scores import PerQueryScores
from recsys.metrics.retrieval import map_at_r

Scores = dict[str, NDArray[np.float64]]
"""Task → score per product."""

TASKS = ("variants", "variants_image", "category_image", "words")
SIZES = {"demo": (1_200, 8), "middle": (5_000, 20), "large": (50_000, 40)}
"""Products of the catalog, a tenth of them held out, and categories, of which few are large."""
MANY = (95, 300)
"""Categories of a catalog that is broken down by type: most have a product or two."""
GATE = GateConfig()


class Holdout:
    """The held-out products of a shop, two of each component, and encoders that score on them."""

    def __init__(self, size: str, seed: int, num_categories: int | None = None) -> None:
        num_products, usual = SIZES[size]
        self.num_categories = num_categories or usual
        self._rng = np.random.default_rng(seed)
        self._num = num_products // 10
        share = 1 / np.arange(1, self.num_categories + 1)
        self.category = self._rng.choice(self.num_categories, self._num, p=share / share.sum())
        self._component = np.arange(self._num) // 2
        self.base = {task: self._rng.uniform(0.2, 0.8, self._num) for task in TASKS}

    def with_category(self, products: NDArray[np.int64]) -> int:
        """Make one more category, of these products; return its number."""
        self.category[products] = self.num_categories
        self.num_categories += 1
        return self.num_categories - 1

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


@pytest.mark.parametrize(
    ("size", "num_categories", "num_seeds", "num_nights"),
    [("demo", None, 3, 200), ("demo", 95, 1, 200), ("middle", None, 3, 200), ("middle", 95, 1, 200),
     ("large", None, 1, 100)],
)  # fmt: skip
def test_chance_promotes_in_few_of_many_nights_and_costs_nothing(
    size: str, num_categories: int | None, num_seeds: int, num_nights: int
) -> None:
    """The champion is as good as the base; every challenger is a little better or worse in truth."""
    rng = np.random.default_rng(0)
    for seed in range(num_seeds):
        shop = Holdout(size, seed, num_categories)
        champion, level, promoted = shop.encoder(shop.base, 0.0), 0.0, 0
        for night in range(num_nights):
            own = rng.normal(0, 0.005)
            challenger = shop.encoder(shop.base, own)
            result = shop.compare(
                champion=champion, base=shop.base, tuned=challenger, others=[BASE], times_asked=night
            )
            if result.accepted:
                champion, level, promoted = challenger, own, promoted + 1
        assert promoted <= num_nights / 20
        assert level >= -0.01


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("times_asked", "num_categories"), [(0, None), (199, None), (0, 95), (0, 300)])
def test_twice_the_detectable_difference_is_promoted_four_times_in_five(
    size: str, times_asked: int, num_categories: int | None
) -> None:
    accepted = 0
    for seed in range(40):
        shop = Holdout(size, seed, num_categories)
        equal = shop.compare(champion=shop.base, tuned=shop.encoder(shop.base, 0.0), times_asked=times_asked)
        assert equal.power is not None
        better = shop.encoder(shop.base, 2 * equal.power.detectable)
        accepted += shop.compare(champion=shop.base, tuned=better, times_asked=times_asked).accepted
    assert accepted >= 32


def cost_of_nights(shop: Holdout, category: int, a_night: float, *, nights: int) -> float:
    """Return what the category has lost in truth, when every night it loses and all others gain a little."""
    change = np.where(np.arange(shop.num_categories) == category, -a_night, 0.02)
    champion, cost = shop.base, 0.0
    anchor: tuple[Scores, int] | None = None  # and the night since which
    for night in range(nights):
        if anchor is not None and night - anchor[1] > GATE.anchor_days:
            anchor = None
        encoders = {CHAMPION: champion, BASE: shop.base, TUNED: shop.encoder(champion, change, 0.08)}
        encoders |= {} if anchor is None else {ANCHOR: anchor[0]}
        others = [name for name in (BASE, ANCHOR) if name in encoders]
        result = shop.compare(**encoders, others=others, times_asked=night)
        if result.accepted:
            anchor = None if result.no_loss_to_anchor else anchor or (champion, night)
            champion, cost = encoders[TUNED], cost + a_night
    return cost


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("a_night", [0.01, 0.045])
def test_a_slow_loss_in_a_large_category_stops_before_it_costs_much(size: str, a_night: float) -> None:
    """Every night all categories gain a little, and the largest loses."""
    num_seeds = 2 if size == "large" else 6
    costs = [cost_of_nights(Holdout(size, seed), 0, a_night, nights=40) for seed in range(num_seeds)]
    assert np.mean(costs) <= 0.05
    assert max(costs) < 0.075


@pytest.mark.parametrize("num_categories", MANY)
@pytest.mark.parametrize("num_products", [30, 100])
@pytest.mark.parametrize("a_night", [0.01, 0.045])
def test_a_slow_loss_in_a_middling_category_among_many_stops_before_it_costs_much(
    num_categories: int, num_products: int, a_night: float
) -> None:
    costs = []
    for seed in range(6):
        shop = Holdout("middle", seed, num_categories)
        last = shop.with_category(np.arange(num_products))
        costs.append(cost_of_nights(shop, last, a_night, nights=12))
    assert max(costs) < 0.055


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("num_categories", [None, *MANY])
@pytest.mark.parametrize("num_products", [3, 4, 12, 99])
def test_a_category_that_falls_to_nothing_is_seen_at_any_size(
    size: str, num_categories: int | None, num_products: int
) -> None:
    shop = Holdout(size, 0, num_categories)
    last = shop.with_category(np.arange(num_products))
    change = np.full(last + 1, 0.05)
    change[last] = -1.0
    result = shop.compare(champion=shop.base, tuned=shop.encoder(shop.base, change, 0.08))
    assert not result.accepted
    assert f"type {last}" in result.reasons[0]


@pytest.mark.parametrize("size", ["demo", "middle"])
@pytest.mark.parametrize("num_categories", MANY)
def test_chance_seldom_lets_a_small_category_fall(size: str, num_categories: int) -> None:
    """Of equal challengers against champion and base, in four tasks of many categories."""
    alarms = 0
    for seed in range(40):
        shop = Holdout(size, seed, num_categories)
        equal = shop.encoder(shop.base, 0.0), shop.encoder(shop.base, 0.0)
        result = shop.compare(champion=equal[0], tuned=equal[1], base=shop.base, others=[BASE])
        alarms += any(c.kind == "fallen" for c in result.checks)
    assert alarms <= 4


def ranked(num_products: int, num_categories: int, seed: int, **noise: float) -> GateResult:
    """Compare encoders that are the same vectors up to ``noise``, by MAP@R of each category's products.

    Every seventh product is held out and searches the whole catalog. Unlike those of :class:`Holdout`, the
    scores are coarse where a category is small, and its queries share what they find, so they fall together.
    """
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, num_categories + 1)
    category = rng.choice(num_categories, num_products, p=share / share.sum())
    vectors = rng.normal(0, 1, (num_categories, 16))[category] + rng.normal(0, 0.5, (num_products, 16))
    num_relevant = np.bincount(category)[category] - 1
    held_out = np.flatnonzero((rng.random(num_products) < 1 / 7) & (num_relevant > 0))

    def scores(amount: float) -> NDArray[np.float64]:
        noisy = vectors + rng.normal(0, amount, vectors.shape)
        noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
        similarity = noisy[held_out] @ noisy.T
        similarity[np.arange(len(held_out)), held_out] = -np.inf
        nearest = np.argsort(-similarity, axis=1)[:, : num_relevant.max()]
        return map_at_r(category[nearest] == category[held_out, None], num_relevant[held_out])

    task = PerQueryScores(
        task="category_image",
        values={name: scores(amount) for name, amount in noise.items()},
        components=held_out,
        products=held_out,
        categories=[f"type {c}" for c in category[held_out]],
    )
    return compare([task], challenger=TUNED, reference=CHAMPION, others=[BASE], config=GATE)


RANKED = [(300, 10, 0.4), (600, 30, 0.4), (1_200, 95, 0.15), (1_200, 95, 0.4)]


@pytest.mark.parametrize(("num_products", "num_categories", "noise"), RANKED)
def test_chance_seldom_lets_a_small_category_of_rankings_fall(
    num_products: int, num_categories: int, noise: float
) -> None:
    alarms = 0
    for seed in range(40):
        found = ranked(num_products, num_categories, seed, champion=noise, tuned=noise, base=noise)
        alarms += any(c.kind == "fallen" for c in found.checks)
    assert alarms <= 4


@pytest.mark.parametrize(("num_products", "num_categories", "noise"), RANKED)
def test_far_better_rankings_are_promoted_four_times_in_five(
    num_products: int, num_categories: int, noise: float
) -> None:
    accepted = 0
    for seed in range(40):
        worse = 3 * noise
        found = ranked(num_products, num_categories, seed, champion=worse, tuned=noise, base=worse)
        accepted += found.accepted
    assert accepted >= 32
