"""What the sample tower learns from, how, and what came of it."""

import inspect
import json
from itertools import combinations

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.nn import functional

from examples.sample_shop import run
from examples.sample_shop.pretraining import held_out, training_set
from examples.sample_shop.pretraining.fit import FIRST, SECOND, Stage, fit, size_at
from examples.sample_shop.pretraining.losses import TEMPERATURE, contrast_words, supervised_contrastive
from examples.sample_shop.pretraining.other_shops import (
    PRODUCTS_PER_SHOP,
    TRAINING_SEEDS,
    VARIANTS,
    digest_of,
    shapes,
    training_image,
    training_products,
)
from examples.sample_shop.pretraining.training_set import TrainingSet, batches
from recsys.encoder.towers.small_tower import DEFAULT_SIZE, SmallTower
from recsys.encoder.towers.weights import SAMPLE_WEIGHTS

DEMO = inspect.signature(run.run).parameters["seed"].default
YEARS_OF_NIGHTS = 10 * PRODUCTS_PER_SHOP  # products that the demo's shop has had after years of nights


def unit(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=1)


# -- what it learns from -----------------------------------------------------------------------------


def test_no_product_of_the_demo_is_among_what_the_tower_was_trained_on() -> None:
    with safe_open(SAMPLE_WEIGHTS, "pt") as weights:
        said = weights.metadata()
    seeds = json.loads(said["seeds"])
    trained_on = shapes(seeds)
    assert digest_of(trained_on) == said["shapes"], "the weights were trained on other products"
    assert said["version of the drawing"] == str(run.VERSION), "the shop is drawn otherwise now: train anew"
    assert len(trained_on) > 200 * len(seeds)
    assert not trained_on & shapes([DEMO], YEARS_OF_NIGHTS)
    assert trained_on & shapes([*held_out.SEEDS, seeds[-1]])  # it would be seen


def test_held_out_shops_share_no_shape_with_the_others() -> None:
    for one, other in combinations(([DEMO], list(held_out.SEEDS), list(TRAINING_SEEDS)), 2):
        assert not shapes(one) & shapes(other)


def test_a_design_is_learnt_from_in_different_colours_and_views() -> None:
    products = list(training_products(TRAINING_SEEDS[0], 24))
    assert len({one.number for one in products}) == len(products)
    for first in range(0, len(products), VARIANTS):
        variants = products[first : first + VARIANTS]
        assert {one.design.key for one in variants} == {variants[0].design.key}
        assert len({one.hue for one in variants}) == VARIANTS
        assert all(one.hue != one.design.accents[one.variant] for one in variants)
    images = [training_image(1, one, view, 48).astype(int) for one in products[:2] for view in (0, 1)]
    assert min(np.abs(a - b).mean() for a, b in combinations(images, 2)) > 3
    assert np.array_equal(images[0], training_image(1, products[0], 0, 48))


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """Noise for images, labels as they are."""
    rng = np.random.default_rng(0)
    designs = np.repeat(np.arange(48), 6)
    labels = {"design": designs, "product": np.repeat(np.arange(144), 2), "category": designs % 5}
    labels |= dict.fromkeys(("type", *training_set.ATTRIBUTES), designs % 3)
    images = rng.integers(0, 256, (len(designs), 40, 40, 3), np.uint8)
    return TrainingSet(images, unit(len(designs), 12).numpy(), labels)


def test_a_batch_has_several_images_of_each_design_and_few_categories(small_set: TrainingSet) -> None:
    for rows in batches(small_set, 5, seed=3):
        assert len(set(rows.tolist())) == len(rows) == 4 * 8 * 4
        designs, counts = np.unique(small_set.labels["design"][rows], return_counts=True)
        assert len(designs) == 32
        assert set(counts) == {4}
        assert len(set(small_set.labels["category"][rows])) == 4


# -- how it learns -----------------------------------------------------------------------------------


def test_the_supervised_contrastive_loss_is_the_papers() -> None:
    vectors, labels = unit(6, 5), [0, 0, 0, 1, 1, 2]  # nothing is like the last
    losses = []
    for i in range(5):
        others = [j for j in range(6) if j != i]
        total = sum(float(torch.exp(vectors[i] @ vectors[j] / TEMPERATURE)) for j in others)
        positives = [j for j in others if labels[j] == labels[i]]
        terms = [np.log(float(torch.exp(vectors[i] @ vectors[p] / TEMPERATURE)) / total) for p in positives]
        losses.append(-np.mean(terms))
    found = supervised_contrastive(vectors, torch.tensor(labels))
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_loss_of_words_is_clips_where_every_product_has_one_image() -> None:
    images, texts = unit(5, 8), unit(10, 8)[5:]
    logits = 7.0 * images @ texts.T
    wanted = (functional.cross_entropy(s, torch.arange(5)) for s in (logits, logits.T))
    found = contrast_words(images, texts, torch.arange(5), torch.tensor(7.0).log())
    torch.testing.assert_close(found, sum(wanted) / 2)


def test_small_views_come_first() -> None:
    sizes = [size_at(FIRST, step) for step in range(FIRST.steps)]
    assert sizes == sorted(sizes)
    assert [sizes.count(size) for size, _ in FIRST.sizes] == [round(FIRST.steps * s) for _, s in FIRST.sizes]
    assert {size_at(SECOND, step) for step in range(SECOND.steps)} == {DEFAULT_SIZE}


def test_the_same_seed_gives_the_same_weights(small_set: TrainingSet) -> None:
    short = SECOND._replace(steps=2, sizes=((32, 1.0),))
    first, again, other = (fitted(small_set, short, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def fitted(data: TrainingSet, stage: Stage, seed: int) -> torch.Tensor:
    torch.manual_seed(0)
    tower = SmallTower(image_size=32, features=data.texts.shape[1])
    before = torch.cat([p.detach().flatten() for p in tower.parameters()])
    fit(data, stage, tower, seed=seed, validate=repr)
    after = torch.cat([p.detach().flatten() for p in tower.parameters()])
    assert (before != after).float().mean() > 0.9
    return after


# -- what came of it ---------------------------------------------------------------------------------


def test_the_tower_knows_products_that_it_has_not_seen() -> None:
    shop = held_out.draw_shop(3001, num_products=60)
    torch.manual_seed(0)
    random = held_out.scores_of(SmallTower(image_size=DEFAULT_SIZE, features=384).eval(), [shop])
    trained = held_out.scores_of(SmallTower.sample().eval(), [shop])
    assert all(trained[name] > random[name] + 0.3 for name in random), (trained, random)


def test_the_weights_are_small_and_have_a_card_with_their_scores() -> None:
    assert SAMPLE_WEIGHTS.stat().st_size < 6e6
    card = SAMPLE_WEIGHTS.with_suffix(".md").read_text()
    with safe_open(SAMPLE_WEIGHTS, "pt") as weights:
        seeds = json.loads(weights.metadata()["seeds"])
    assert f"seeds {seeds[0]} to {seeds[-1]}" in card
    assert "| after the third stage |" in card
    assert "Apache-2.0" in card
