import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from examples.sample_shop.backdrop import Backdrop
from examples.sample_shop.design import materials, product
from examples.sample_shop.mesh import Shape, move, pillow, slab
from examples.sample_shop.mesh import ellipse as oval
from examples.sample_shop.render import Image, Scene, render
from examples.sample_shop.studio import num_images, photograph
from examples.sample_shop.surface import PATTERNS, Material, linear, noise

RED, BLUE = Material(linear("#d02020")), Material(linear("#2040d0"))
DARK = Backdrop(floor=(0, 0, 0), wall=(0, 0, 0))
BALL = Shape([move(pillow((1, 1, 1), square=2, bulge=2), y=0.5)])


def lit(image: Image) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    return np.asarray(image.max(2) > 24)


def test_the_object_fills_the_frame_as_asked_and_sits_where_asked() -> None:
    for fill, shift in ((0.5, (0.0, 0.0)), (0.7, (0.1, -0.05))):
        image = render(BALL, {"main": RED}, Scene(fill=fill, shift=shift, backdrop=DARK), 128)
        rows, columns = np.nonzero(lit(image))
        assert np.ptp(columns) / 128 == pytest.approx(fill, abs=0.04)
        assert columns.mean() / 128 == pytest.approx(0.5 + shift[0], abs=0.02)
        assert rows.mean() / 128 == pytest.approx(0.5 + shift[1], abs=0.03)


def test_light_falls_from_its_side() -> None:
    for side in (-1, 1):
        scene = Scene(light=(side * 0.9, 0.3, 0.4), backdrop=DARK)
        image = render(BALL, {"main": RED}, scene, 128)[..., 0].astype(float)
        left, right = image[:, :64].mean(), image[:, 64:].mean()
        assert (right > left * 1.1) == (side == 1)
        assert (left > right * 1.1) == (side == -1)


def test_the_near_surface_hides_the_far_one() -> None:
    disc = slab(oval(1, 1), 0.1)
    shape = Shape([move(disc, y=0.5), replace(move(disc, y=0.5, z=0.5), slot="front")])
    image = render(shape, {"main": RED, "front": BLUE}, Scene(pitch=0, backdrop=DARK), 96)
    assert image[48, 48, 2] > image[48, 48, 0]


def test_a_pattern_shows_the_second_colour_and_keeps_the_outline() -> None:
    striped = Material(RED.color, second=BLUE.color, pattern="stripes", size=0.3)
    scene = Scene(backdrop=DARK)
    plain, pattern = (render(BALL, {"main": m}, scene, 128) for m in (RED, striped))
    assert (lit(plain) == lit(pattern)).mean() > 0.995
    bluish = pattern[..., 2] > pattern[..., 0]
    assert 0.3 < bluish[lit(pattern)].mean() < 0.7


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_shares_that_vary(name: str) -> None:
    u, v = np.meshgrid(*[np.linspace(-8, 8, 200, dtype=np.float32)] * 2)
    share = PATTERNS[name](u, v)
    assert share.shape == u.shape
    assert share.min() >= 0
    assert share.max() <= 1.01
    assert share.std() > 0.02


def test_noise_is_seamless() -> None:
    x = np.linspace(0, 40, 4000, dtype=np.float32)[None]
    values = noise(x, np.zeros_like(x))
    assert np.abs(np.diff(values)).max() < 0.1
    assert 0 <= values.min() < values.max() <= 1


def test_a_shadow_darkens_the_floor_on_the_far_side_of_the_light() -> None:
    scene = Scene(light=(-0.8, 0.6, 0.2), fill=0.4, backdrop=Backdrop(shadow=0.6))
    image = render(BALL, {"main": RED}, scene, 128).astype(float)[..., 1]
    assert image[80:90, 92:100].mean() < image[80:90, 28:36].mean() - 20


def test_variants_share_the_outline_and_differ_in_colour() -> None:
    pair = [product(0, n) for n in range(600) if product(0, n).design.category == "vase"]
    one = next(p for p in pair if p.variant == 0 and len(p.design.hues) > 1)
    other = product(0, one.number + 1)
    assert materials(one)["main"] != materials(other)["main"]
    first, second = (photograph(0, replace(p, owner=one.owner), 0, 0, 96) for p in (one, other))
    different = np.abs(first.astype(int) - second).max(2) > 12
    assert 0.03 < different.mean() < 0.6


def test_takes_and_views_of_a_product_are_different_images() -> None:
    one = product(0, next(n for n in range(100) if num_images(0, n) == 3 and product(0, n).owner == n))
    views = [photograph(0, one, i, take, 96).astype(int) for i, take in ((0, 0), (1, 0), (2, 0), (0, 1))]
    for i in range(4):
        for j in range(i):
            assert np.abs(views[i] - views[j]).mean() > 3


def test_a_image_is_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from examples.sample_shop.studio import photograph;"
        "from examples.sample_shop.design import product;"
        "print(hashlib.sha256(photograph(0, product(0, 41), 0, 0, 96).tobytes()).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
