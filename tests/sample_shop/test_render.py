"""What the camera sees."""

import subprocess
import sys
from dataclasses import replace

import numpy as np

from examples.sample_shop.materials import Material, linear
from examples.sample_shop.mesh import superellipsoid
from examples.sample_shop.photo import num_photos, photograph
from examples.sample_shop.products import product
from examples.sample_shop.render import Background, Image

RED, BLUE = Material(linear("#d02020")), Material(linear("#2040d0"))
DARK = Background(floor=(0, 0, 0), wall=(0, 0, 0))
BALL = [superellipsoid((1, 1, 1)).move(y=0.5)]


def lit(image: Image) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    return np.asarray(image.max(2) > 24)


def test_variants_share_the_outline_and_other_takes_and_views_are_other_images() -> None:
    one = next(
        p
        for p in (product(0, n) for n in range(600))
        if len(p.design.hues) > 1 and num_photos(0, p.owner) == 3
    )
    other = replace(product(0, one.number + 1), variant=1 - one.variant, owner=one.owner)
    first, variant = (photograph(0, p, 0, 0, 96).astype(int) for p in (one, other))
    assert 0.03 < (np.abs(first - variant).max(2) > 12).mean() < 0.6
    views = [first, *[photograph(0, one, i, take, 96).astype(int) for i, take in ((1, 0), (2, 0), (0, 1))]]
    assert min(np.abs(a - b).mean() for i, a in enumerate(views) for b in views[:i]) > 3


def test_an_image_is_the_same_in_another_process() -> None:
    code = (
        "import sys; from examples.sample_shop import photo, products;"
        "sys.stdout.buffer.write(photo.photograph(0, products.product(0, 41), 0, 0, 96).tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == photograph(0, product(0, 41), 0, 0, 96).tobytes()
