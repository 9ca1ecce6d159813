"""Reproducible chance: every draw is a function of its key, on any machine and any library version.

    dice = Dice(seed, "group", 12)      # the same draws whatever else was drawn before
    dice.uniform(0.8, 1.2); dice.choice(("red", "blue"))

Only ``random.Random.random`` is used, the one method whose sequence Python promises to keep.

Does not know: products or images.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A stream of draws that belongs to one key."""

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
        self._next = random.Random(int.from_bytes(digest[:16], "big")).random

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a float in [low, high)."""
        return low + (high - low) * self._next()

    def integer(self, low: int, high: int) -> int:
        """Return an integer in [low, high], both ends included."""
        return low + int(self._next() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Return ``True`` with this probability."""
        return self._next() < probability

    def choice(self, options: Sequence[T]) -> T:
        """Return one of ``options``, each as likely as the others."""
        return options[int(self._next() * len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """Return one of ``(option, weight)`` in proportion to its weight."""
        point = self._next() * sum(weight for _, weight in options)
        for option, weight in options:
            point -= weight
            if point < 0:
                return option
        return options[-1][0]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """Return ``count`` different ones of ``options`` (all of them where there are fewer)."""
        pool = list(options)
        return [pool.pop(int(self._next() * len(pool))) for _ in range(min(count, len(pool)))]
