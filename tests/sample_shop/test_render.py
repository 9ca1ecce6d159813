"""What the camera sees."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from examples.sample_shop.materials import Material, linear
from examples.sample_shop.mesh import superellipsoid
from examples.sample_shop.photo import num_photos, photograph
from examples.sample_shop.products import product
from examples.sample_shop.render import Background, Image, Scene, render

RED, BLUE = Material(linear("#d02020")), Material(linear("#2040d0"))
DARK = Background(floor=(0, 0, 0), wall=(0, 0, 0))
BALL = [superellipsoid((1, 1, 1)).move(y=0.5)]


def lit(image: Image) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    return np.asarray(image.max(2) > 24)


@pytest.mark.parametrize(("fill", "shift"), [(0.5, (0.0, 0.0)), (0.7, (0.1, -0.05))])
def test_the_object_fills_the_frame_and_sits_as_the_scene_says(
    fill: float, shift: tuple[float, float]
) -> None:
    image = render(BALL, {"main": RED}, Scene(fill=fill, shift=shift, background=DARK), 128)
    rows, columns = np.nonzero(lit(image))
    assert np.ptp(columns) / 128 == pytest.approx(fill, abs=0.04)
    assert columns.mean() / 128 == pytest.approx(0.5 + shift[0], abs=0.02)
    assert rows.mean() / 128 == pytest.approx(0.5 + shift[1], abs=0.03)


@pytest.mark.parametrize("side", [-1, 1])
def test_light_falls_from_its_side_and_the_shadow_on_the_other(side: int) -> None:
    scene = Scene(light=(side * 0.9, 0.5, 0.3), fill=0.4, background=Background(shadow=0.6))
    image = render(BALL, {"main": RED}, scene, 128).astype(float)[:, ::side]  # light from the right
    assert image[54:74, 64:84, 0].mean() > 1.1 * image[54:74, 44:64, 0].mean()
    assert image[80:90, 92:100, 1].mean() > image[80:90, 28:36, 1].mean() + 20


def test_a_pattern_shows_the_second_colour_and_keeps_the_outline() -> None:
    striped = Material(RED.color, second=BLUE.color, pattern="stripes", period=0.3)
    plain, pattern = (render(BALL, {"main": m}, Scene(background=DARK), 128) for m in (RED, striped))
    assert (lit(plain) == lit(pattern)).mean() > 0.995
    assert 0.3 < (pattern[..., 2] > pattern[..., 0])[lit(pattern)].mean() < 0.7


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
