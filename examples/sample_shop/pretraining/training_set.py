"""Images, texts and labels of the training products, drawn once; and random batches of them.

N = training images, B = images of a batch, F = features of the text tower, S = side of a view in pixels
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from examples.sample_shop.feed import row
from examples.sample_shop.pretraining.other_shops import TRAINING_SEEDS, training_image, training_products
from examples.sample_shop.products import Product
from recsys.config.encoder import EncoderConfig
from recsys.config.training import AugmentConfig
from recsys.encoder.template import ContentReader
from recsys.encoder.towers import sentence_tower
from recsys.progress import track
from recsys.training.augment import augment

VIEWS = 2  # of each product
SIDE, _DRAWN_SIDE = 144, 176  # of an image, pixels: as it is kept, and as it is drawn before that
ATTRIBUTES = ("kind", "pattern", "finish", "hue", "accent")
CATEGORIES, DESIGNS, IMAGES = 4, 8, 4  # of a batch; designs of each category, images of each design
_NOISE = 0.06  # standard deviation at most, where pixels are -1 to 1
_READ_AT_ONCE = 64


class TrainingSet(NamedTuple):
    """What is learnt from; the images of one product follow each other."""

    images: NDArray[np.uint8]  # [N, SIDE, SIDE, 3], RGB, memory-mapped
    texts: NDArray[np.float32]  # [N, F], unit norm
    labels: dict[str, NDArray[np.int64]]  # name -> [N]: design, product, category, type and ATTRIBUTES


def draw(folder: Path, seeds: range = TRAINING_SEEDS) -> TrainingSet:
    """Draw the images and encode the texts of the shops of ``seeds``; what ``folder`` has stays."""
    products = [(seed, one) for seed in seeds for one in training_products(seed)]
    rows = [row(seed, one) for seed, one in products]
    images, texts = folder / "images.npy", folder / "texts.npy"
    if not images.exists():
        _draw_images(images, products)
    if not texts.exists():
        # A person who searches types about as much as a title: of every third product nothing else is read.
        alone = [one.variant == 0 for _, one in products]
        read = [r["title"] if title else text_of(r) for r, title in zip(rows, alone, strict=True)]
        np.save(texts, encode_texts(read))
    named = [_labels(seed, one, r["product_type"]) for (seed, one), r in zip(products, rows, strict=True)]
    labels = {
        name: np.repeat(np.unique([one[name] for one in named], return_inverse=True)[1], VIEWS)
        for name in named[0]
    }
    return TrainingSet(np.load(images, mmap_mode="r"), np.repeat(np.load(texts), VIEWS, axis=0), labels)


def _draw_images(path: Path, products: list[tuple[int, Product]]) -> None:
    shape = (len(products) * VIEWS, SIDE, SIDE, 3)
    partial = path.with_suffix(".part")
    images = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
    for i, (seed, one) in enumerate(track(products, label="drawing images", total=len(products))):
        for view in range(VIEWS):
            drawn = training_image(seed, one, view, _DRAWN_SIDE)
            images[i * VIEWS + view] = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    images.flush()
    partial.rename(path)


def _labels(seed: int, product: Product, product_type: str) -> dict[str, str]:
    design = product.design
    return {
        "design": f"{seed} {design.key}",
        "product": f"{seed} {product.id}",
        "category": design.category,
        "type": product_type,
        "kind": f"{design.category} {design.kind}",
        "pattern": design.pattern,
        "finish": design.finish,
        "hue": product.hue,
        "accent": design.accents[product.variant],
    }


def text_of(row: dict[str, str]) -> str:
    """Return what the text tower reads of a row of the feed."""
    return ContentReader(EncoderConfig()).read({**row, "images": ()}).text or ""


def encode_texts(texts: list[str]) -> NDArray[np.float32]:
    """Return what the frozen text tower says of the texts, unit vectors ``[N, F]``."""
    tower = sentence_tower.build(EncoderConfig().text, str).eval()
    vectors = np.empty((len(texts), tower.dim), np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of one length need no padding
    parts = [order[start : start + _READ_AT_ONCE] for start in range(0, len(order), _READ_AT_ONCE)]
    with torch.inference_mode():
        for part in track(parts, label="reading texts", total=len(parts)):
            found = tower(tower.tokenize([texts[i] for i in part]))
            vectors[part] = functional.normalize(found, dim=1).numpy()
    return vectors


def batches(data: TrainingSet, steps: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows ``[B]`` of each batch: designs of a few categories, as those are hard to tell apart."""
    rng = np.random.default_rng(seed)
    designs, first = np.unique(data.labels["design"], return_index=True)
    members = [np.flatnonzero(data.labels["design"] == design) for design in designs]
    categories = data.labels["category"][first]
    of_category = [np.flatnonzero(categories == category) for category in np.unique(categories)]
    for _ in range(steps):
        chosen = rng.choice(len(of_category), CATEGORIES, replace=False)
        drawn = [design for c in chosen for design in rng.choice(of_category[c], DESIGNS, replace=False)]
        yield np.concatenate([rng.choice(members[design], IMAGES, replace=False) for design in drawn])


def views_of(images: NDArray[np.uint8], size: int, config: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Return random views ``[B, 3, S, S]`` of images, with a camera's noise, from -1 to 1."""
    views = np.stack([augment(image, size, config, rng) for image in images])
    pixels = torch.from_numpy(views).permute(0, 3, 1, 2).float() / 127.5 - 1
    noise = rng.standard_normal(pixels.shape, np.float32) * rng.uniform(0, _NOISE, (len(images), 1, 1, 1))
    return pixels + torch.from_numpy(noise.astype(np.float32))
