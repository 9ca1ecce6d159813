"""Catalogs in memory that figures are measured of: names, vectors, categories."""

from collections.abc import Iterator, Sequence

import numpy as np

DIM = 24


class Catalog:
    """What :class:`recsys.report.figures.ItemGroups` is, without files."""

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self._vectors = vectors
        self.first = {name: i for i, name in enumerate(vectors)}

    def vectors(self, names: Sequence[str]) -> np.ndarray:
        return np.stack([self._vectors[name] for name in names])

    def labels(self, names: Sequence[str], column: str) -> list[str | None]:
        """The category is the first letter of the name; ``-`` is none."""
        assert column == "product_type"
        return [None if name[0] == "-" else name[0] for name in names]


def unit(points: np.ndarray) -> np.ndarray:
    return (points / np.linalg.norm(points, axis=-1, keepdims=True)).astype(np.float32)


def circle(places: dict[str, float], around: int) -> Catalog:
    """Products on a circle."""
    angles = {name: 2 * np.pi * place / around for name, place in places.items()}
    return Catalog({name: np.array([np.cos(a), np.sin(a)], np.float32) for name, a in angles.items()})


def products(rng: np.random.Generator, count: int, *, shift: float = 0.0) -> list[np.ndarray]:
    """Products of eight kinds around centres that are always the same; ``shift`` moves them away."""
    centres = np.random.default_rng(99).normal(size=(8, DIM))
    away = np.zeros(DIM)
    away[0] = shift
    return list(unit(centres[rng.integers(0, 8, count)] + rng.normal(scale=0.4, size=(count, DIM)) + away))


def nights(seed: int, *, size: int, turnover: int, count: int) -> Iterator[Catalog]:
    """Nights of a stationary catalog: each, as many products go as come, all of the same kinds."""
    rng = np.random.default_rng(seed)
    vectors: dict[str, np.ndarray] = {}
    number = 0
    for night in range(count):
        for gone in rng.choice(sorted(vectors), turnover, replace=False) if night else ():
            del vectors[gone]
        for vector in products(rng, turnover if night else size):
            vectors[f"{'abc'[number % 3]}{number}"] = vector
            number += 1
        yield Catalog(dict(vectors))
