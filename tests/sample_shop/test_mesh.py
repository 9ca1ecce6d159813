"""Surfaces are closed and face outwards; every kind of product can be built."""

import numpy as np
import pytest

from examples.sample_shop.mesh import (
    Surface,
    arc,
    assemble,
    lathe,
    rod,
    slab,
    superellipse,
    superellipsoid,
    tube,
)
from examples.sample_shop.products import CATEGORIES, rng
from examples.sample_shop.shapes import SHAPES

SOLIDS = {
    "lathe": (lathe([(0.001, 0), (0.5, 0.01), (0.5, 0.99), (0.001, 1)]), np.pi / 4),
    "slab": (slab(superellipse(1.0, 2.0, 64), 0.5, bevel=0.001), np.pi / 4),
    "superellipsoid": (superellipsoid((1.0, 1.0, 1.0), steps=40), np.pi / 6),
    "rod": (rod((0, 0, 0), (0, 0, 2), (0.5, 0.5), sides=48), np.pi / 2),
    "ring": (tube(arc(1, plane="zx"), 0.2, sides=40, up=(0, 1, 0), closed=True), 2 * np.pi**2 * 0.04),
    "rotated": (superellipsoid((1.0, 1.0, 1.0), steps=40).move(0.3).rotate("y", 70), np.pi / 6),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_a_primitive_encloses_its_volume_with_its_normals_outwards(name: str) -> None:
    surface, volume = SOLIDS[name]
    mesh = assemble([surface], [surface.slot])
    a, b, c = (mesh.points[mesh.faces[:, i]] for i in range(3))
    # By the divergence theorem; positive only where triangles face outwards.
    assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6 == pytest.approx(volume, rel=0.04)
    across = np.cross(b - a, c - a)
    real = np.linalg.norm(across, axis=1) > 1e-5
    agreement = np.einsum("ij,ij->i", across, mesh.normals[mesh.faces].mean(1))[real]
    assert (agreement > 0).mean() > 0.98
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("category", SHAPES)
def test_every_kind_stands_on_its_plane_and_shows_the_colour_of_the_variant(category: str) -> None:
    for kind, facts in CATEGORIES[category]["kinds"].items():
        wall = facts.get("stage", CATEGORIES[category].get("stage")) == "wall"
        for number in range(4):
            surfaces: list[Surface] = SHAPES[category](rng("test", category, kind, number), kind)
            points = np.concatenate([s.points.reshape(-1, 3) for s in surfaces])
            assert np.isfinite(points).all(), (kind, number)
            assert -0.12 < points[:, 2 if wall else 1].min() < 0.12, (kind, number)
            assert 0.5 < np.ptp(points, axis=0).max() < 3, (kind, number)
            assert {"main", "accent"} & {s.slot for s in surfaces}, (kind, number)
