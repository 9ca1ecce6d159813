"""Batches: their make-up, and that each is a function of seed and number."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config.supervision import SamplerConfig
from recsys.training.sampler import Sampler
from recsys.training.supervision import LabelledPairs, Supervision

NO_PAIRS = LabelledPairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
LEVEL = {"category": 1.0}


def supervision(codes: list[int], pairs: LabelledPairs = NO_PAIRS) -> Supervision:
    labels = {"category": np.array(codes), "product": np.arange(len(codes))}
    return Supervision(labels, pairs, {})


def sampler(
    codes: list[int], config: SamplerConfig, weights: dict[str, float] | None = None, seed: int = 0
) -> Sampler:
    num = np.ones(len(codes), np.int64)
    return Sampler(
        supervision(codes), np.arange(len(codes)), num, config, seed, LEVEL if weights is None else weights
    )


codes_of = st.lists(st.integers(-1, 6), min_size=2, max_size=60)


@settings(max_examples=60)
@given(codes_of, st.integers(2, 32), st.integers(1, 5), st.floats(0, 1), st.integers(0, 10**6))
def test_batches_are_full_and_only_of_training_products(
    codes: list[int], size: int, per_class: int, share: float, number: int
) -> None:
    config = SamplerConfig(batch_size=size, items_per_class=per_class, random_share=share)
    trained = np.arange(0, len(codes), 2)
    num_images = np.arange(len(codes)) % 4
    made = Sampler(supervision(codes), trained, num_images, config, 7, {"category": 1.0, "product": 1.0})
    plan = made.plan(number)
    assert len(plan.products) == len(plan.image_indices) == size
    assert np.isin(plan.products, trained).all()
    assert ((plan.image_indices >= 0) & (plan.image_indices < np.maximum(num_images[plan.products], 1))).all()


@settings(max_examples=30)
@given(codes_of, st.integers(0, 2**32), st.lists(st.integers(0, 1000), min_size=1, max_size=5))
def test_a_batch_does_not_depend_on_those_before_it(codes: list[int], seed: int, numbers: list[int]) -> None:
    config = SamplerConfig(batch_size=8, items_per_class=2, random_share=0.3)
    made = sampler(codes, config, seed=seed)
    plans = {n: made.plan(n) for n in numbers}
    again = pickle.loads(pickle.dumps(sampler(codes, config, seed=seed)))
    for n in reversed(numbers):
        assert np.array_equal(again.plan(n).products, plans[n].products)
        assert np.array_equal(again.plan(n).image_indices, plans[n].image_indices)


def test_p_distinct_classes_of_k_distinct_products() -> None:
    codes = [i // 10 for i in range(200)]
    made = sampler(codes, SamplerConfig(batch_size=24, items_per_class=4))
    for number in range(20):
        products = made.plan(number).products
        assert len(set(products.tolist())) == 24
        counts = Counter(codes[p] for p in products)
        assert len(counts) == 6
        assert set(counts.values()) == {4}


def test_a_class_too_small_comes_again_with_another_image() -> None:
    made = Sampler(
        supervision([0, 0]),
        np.arange(2),
        np.array([3, 3]),
        SamplerConfig(batch_size=6, items_per_class=6),
        0,
        LEVEL,
    )
    plan = made.plan(0)
    shown = set(zip(plan.products.tolist(), plan.image_indices.tolist(), strict=True))
    assert shown == {(p, v) for p in range(2) for v in range(3)}


def test_a_product_comes_twice_only_with_another_image() -> None:
    codes, num_images = [0, 0, 0, *[1] * 30], np.ones(33, np.int64)
    num_images[1] = 2
    config = SamplerConfig(batch_size=12, items_per_class=6)
    made = Sampler(supervision(codes), np.arange(33), num_images, config, 0, LEVEL)
    chosen = made._choose(np.random.default_rng(0), np.arange(3), keep_first=False)
    assert Counter(chosen.tolist()) == {0: 1, 1: 2, 2: 1}
    assert len(made.plan(0).products) == 12


def test_products_without_a_class_come_in_turn_too() -> None:
    codes = [*[i // 5 for i in range(60)], *[-1] * 20]
    made = sampler(codes, SamplerConfig(batch_size=16, items_per_class=4))
    assert made.num_outside == 4
    drawn = Counter(np.concatenate([made.plan(n).products[-4:] for n in range(25)]).tolist())
    assert set(range(60, 80)) <= set(drawn)
    mostly = sampler([0, 0, *[-1] * 98], SamplerConfig(batch_size=16, items_per_class=4))
    assert mostly.num_outside == 8  # classes keep half of the batch


def test_random_products_come_in_turn() -> None:
    made = sampler([-1] * 30, SamplerConfig(batch_size=6))
    assert made.num_random == 6
    laps = [np.concatenate([made.plan(n).products for n in range(5 * lap, 5 * lap + 5)]) for lap in range(2)]
    assert all(sorted(lap.tolist()) == list(range(30)) for lap in laps)
    assert laps[0].tolist() != laps[1].tolist()


@pytest.mark.parametrize(("power", "expected"), [(0.0, 0.5), (1.0, 0.9)])
def test_class_power_weighs_large_classes(power: float, expected: float) -> None:
    codes = [0] * 90 + [1] * 10
    made = sampler(codes, SamplerConfig(batch_size=2, items_per_class=2, class_power=power))
    share = np.mean([codes[made.plan(n).products[0]] == 0 for n in range(2000)])
    assert abs(share - expected) < 0.05


def test_levels_share_the_batch_by_weight() -> None:
    codes = [i // 5 for i in range(100)]
    fine = np.array([i // 2 for i in range(100)])
    known = Supervision({"category": np.array(codes), "fine": fine}, NO_PAIRS, {})
    config = SamplerConfig(batch_size=20, items_per_class=2)
    made = Sampler(known, np.arange(100), np.ones(100, np.int64), config, 0, {"category": 3.0, "fine": 1.0})
    fine_share = np.mean(
        [
            fine[p[2 * i]] == fine[p[2 * i + 1]]
            for n in range(300)
            for p in [made.plan(n).products]
            for i in range(10)
        ]
    )
    assert (
        abs(fine_share - (0.25 + 0.75 * 0.2)) < 0.03
    )  # two of five of a category are of one fine class by chance


def test_judged_products_come_with_those_they_were_judged_with() -> None:
    pairs = LabelledPairs(np.array([0, 0, 5]), np.array([3, 4, 9]), np.array([1, -1, 1], np.float32))
    config = SamplerConfig(batch_size=8, items_per_class=2)  # half of it for products without a class
    made = Sampler(supervision([-1] * 20, pairs), np.arange(20), np.ones(20, np.int64), config, 0, {})
    judged = {(0, 3), (0, 4), (5, 9)}
    for number in range(50):
        a, b, c, d = made.plan(number).products.tolist()[:4]
        assert {tuple(sorted((a, b))), tuple(sorted((c, d)))} <= judged
