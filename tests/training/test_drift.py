"""New products are unlike what was trained on only if they lie further away than held-out ones do."""

import numpy as np

from recsys.training.drift import is_unlike


def cloud(count: int, axis: int, seed: int) -> np.ndarray:
    points = np.eye(32)[axis] + np.random.default_rng(seed).normal(scale=0.1, size=(count, 32))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_products_of_the_same_kind_are_unlike_about_as_often_as_chance_says() -> None:
    found = is_unlike(cloud(2000, 0, 1), cloud(2000, 0, 2), cloud(2000, 0, 3))
    assert 0.02 < found.mean() < 0.08


def test_products_of_another_kind_are_unlike_each_of_them() -> None:
    new = np.concatenate([cloud(700, 1, 1), cloud(700, 0, 4)])
    found = is_unlike(new, cloud(1000, 0, 2), cloud(1000, 0, 3))
    assert found[:700].all()
    assert found[700:].mean() < 0.1


def test_training_that_drew_its_products_together_makes_nothing_new_look_unlike() -> None:
    trained = cloud(1000, 0, 2)
    drawn = trained + 4 * trained.mean(axis=0)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    assert is_unlike(cloud(1000, 0, 1), drawn, cloud(1000, 0, 3)).mean() < 0.1
