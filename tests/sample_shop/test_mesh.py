"""Surfaces are closed, face outwards, and their triangles cover what they should."""

import numpy as np
import pytest

from examples.sample_shop.assortment import ASSORTMENT
from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import (
    Shape,
    Surface,
    curve,
    dense,
    ellipse,
    lathe,
    move,
    pillow,
    ring,
    rod,
    rotation,
    slab,
    turn,
)
from examples.sample_shop.shapes import SHAPES
from examples.sample_shop.triangles import assemble, visible

_TURNS = np.linspace(0, 2 * np.pi, 49)
SOLIDS = {
    "lathe": (lathe([(0.001, 0), (0.5, 0.01), (0.5, 0.99), (0.001, 1)]), np.pi / 4),
    "slab": (slab(ellipse(1.0, 2.0, 64), 0.5, bevel=0.001), np.pi / 4),
    "pillow": (pillow((1.0, 1.0, 1.0), square=2, bulge=2, steps=40), np.pi / 6),
    "rod": (rod((0, 0, 0), (0, 0, 2), (0.5, 0.5), sides=48), np.pi / 2),
    "ring": (
        ring(np.stack([np.cos(_TURNS), 0 * _TURNS, np.sin(_TURNS)], 1), 0.2, sides=40),
        2 * np.pi**2 * 0.04,
    ),
}


def volume(surface: Surface) -> float:
    """Enclosed volume by the divergence theorem: positive only where triangles face outwards."""
    mesh = assemble(Shape([surface]), [surface.slot])
    a, b, c = (mesh.points[mesh.faces[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("name", SOLIDS)
def test_primitives_enclose_their_volume_facing_outwards(name: str) -> None:
    surface, expected = SOLIDS[name]
    assert volume(surface) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("name", SOLIDS)
def test_normals_agree_with_the_triangles(name: str) -> None:
    surface = SOLIDS[name][0]
    mesh = assemble(Shape([surface]), [surface.slot])
    a, b, c = (mesh.points[mesh.faces[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    real = np.linalg.norm(across, axis=1) > 1e-5
    agreement = np.einsum("ij,ij->i", across, mesh.normals[mesh.faces].mean(1))[real]
    assert (agreement > 0).mean() > 0.98
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1, abs=1e-4)


def test_the_camera_sees_the_near_half_of_a_ball() -> None:
    mesh = assemble(Shape([pillow((1, 1, 1), square=2, bulge=2)]), ["main"])
    seen = visible(mesh, mesh.points[:, :2])
    depth = mesh.points[seen].mean(1)[:, 2]
    assert (depth > -0.02).all()
    assert len(seen) == pytest.approx(len(mesh.faces) / 2, rel=0.1)


def test_a_curve_goes_through_its_knots_and_dense_leaves_no_long_piece() -> None:
    knots = np.asarray([(0.0, 0.0), (1.0, 0.5), (0.5, 2.0), (0.0, 3.0)])
    points = curve(knots, 31)
    assert np.abs(points[::10] - knots).max() < 1e-5
    filled = dense(knots, 0.1)
    assert np.linalg.norm(np.diff(filled, axis=0), axis=1).max() <= 0.1 + 1e-6
    assert (filled[0] == knots[0]).all()
    assert (filled[-1] == knots[-1]).all()


@pytest.mark.parametrize("axis", "xyz")
def test_turning_keeps_lengths_and_handedness(axis: str) -> None:
    matrix = rotation(axis, 37)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-6)
    ball = turn(move(pillow((1, 1, 1)), 0.3), axis, 90)
    assert volume(ball) > 0


@pytest.mark.parametrize("category", SHAPES)
def test_every_kind_builds_with_finite_points_and_stands_on_its_plane(category: str) -> None:
    for kind in ASSORTMENT[category].kinds:
        for number in range(4):
            shape = SHAPES[category](Dice("test", category, kind.name, number), kind.name, 1.0)
            points = np.concatenate([s.points.reshape(-1, 3) for s in shape.surfaces])
            assert np.isfinite(points).all(), (kind.name, number)
            height = points[:, 2 if shape.stage == "wall" else 1].min()
            assert -0.12 < height < 0.12, (kind.name, number, height)
            assert 0.5 < np.ptp(points, axis=0).max() < 3, (kind.name, number)


def test_every_kind_has_a_part_in_the_colour_of_the_variant() -> None:
    for category, facts in ASSORTMENT.items():
        for kind in facts.kinds:
            for number in range(6):
                shape = SHAPES[category](Dice("test", category, kind.name, number), kind.name, 1.0)
                assert {"main", "accent"} & {s.slot for s in shape.surfaces}, (category, kind.name, number)
