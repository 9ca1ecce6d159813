"""Shops that nothing is learnt from, drawn as the demo's shop is, and the scores on them.

P = products of a shop, I = its images, F = features, S = side of the tower's input in pixels
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from examples.sample_shop.feed import row
from examples.sample_shop.photo import num_photos, photograph
from examples.sample_shop.pretraining.training_set import encode_texts, text_of
from examples.sample_shop.products import product
from recsys.encoder.towers.small_tower import DEFAULT_SIZE, SmallTower
from recsys.metrics.retrieval import map_at_r, recall_at_k

SEEDS = range(2001, 2005)
NUM_PRODUCTS = 156  # about as many as the demo holds out


class Shop(NamedTuple):
    """One shop."""

    pixels: Tensor  # [I, 3, S, S], from -1 to 1
    shown: Tensor  # [P, I], 1 where an image is of the product
    texts: Tensor  # [P, F], unit norm
    designs: NDArray[np.str_]  # [P]
    types: NDArray[np.str_]  # [P]


def draw_shop(seed: int, num_products: int = NUM_PRODUCTS) -> Shop:
    """Draw the first products of a shop."""
    products = [product(seed, number) for number in range(num_products)]
    taken = [(o, i) for o in sorted({one.owner for one in products}) for i in range(num_photos(seed, o))]
    photos = [photograph(seed, product(seed, owner), i, 0, 2 * DEFAULT_SIZE) for owner, i in taken]
    size = (DEFAULT_SIZE, DEFAULT_SIZE)
    images = np.stack([cv2.resize(photo, size, interpolation=cv2.INTER_AREA) for photo in photos])
    rows = [row(seed, one) for one in products]
    return Shop(
        pixels=torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1,
        shown=torch.tensor([[owner == one.owner for owner, _ in taken] for one in products]).float(),
        texts=torch.from_numpy(encode_texts([text_of(one) for one in rows])),
        designs=np.array([one.design.key for one in products]),
        types=np.array([one["product_type"] for one in rows]),
    )


def scores_of(tower: SmallTower, shops: list[Shop]) -> dict[str, float]:
    """Return the mean over the shops of MAP@R of variants and types by image, and of recall@10 by words.

    The tower is asked as it is: the cosine of its features, no projection.
    """
    device = next(tower.parameters()).device
    found = []
    for shop in shops:
        with torch.inference_mode():
            each = functional.normalize(tower(shop.pixels.to(device)).cpu(), dim=1)
        vectors = functional.normalize(shop.shown @ each, dim=1)
        alike, words = (vectors @ vectors.T).numpy(), (shop.texts @ vectors.T).numpy()
        np.fill_diagonal(alike, -np.inf)
        own = np.eye(len(words), dtype=bool)
        found.append(
            {
                "variants by image, MAP@R": _map_at_r(alike, (shop.designs[:, None] == shop.designs) & ~own),
                "category by image, MAP@R": _map_at_r(alike, (shop.types[:, None] == shop.types) & ~own),
                "images by words, recall@10": float(recall_at_k(_ranked(words, own), own.sum(1), 10).mean()),
            }
        )
    return {name: round(float(np.mean([one[name] for one in found])), 3) for name in found[0]}


def _map_at_r(scores: NDArray[np.float32], relevant: NDArray[np.bool_]) -> float:
    counts = relevant.sum(1)
    asked = counts > 0
    return float(map_at_r(_ranked(scores, relevant)[asked], counts[asked]).mean())


def _ranked(scores: NDArray[np.float32], relevant: NDArray[np.bool_]) -> NDArray[np.bool_]:
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.asarray(np.take_along_axis(relevant, order, axis=1))
