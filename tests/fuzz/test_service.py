"""Whole requests, good and mutated, get answers of which none is a 500."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fuzz import inputs, service


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Any]]:
    with service.targets() as opened:
        yield opened


def test_no_request_is_answered_with_a_500(targets: dict[str, Any]) -> None:
    for name, (request, ask) in targets.items():
        ask(request)
        for seed in range(25):
            ask(inputs.mutate(request, random.Random(f"{name} {seed}")))


def test_what_escaped_once(targets: dict[str, Any]) -> None:
    for path in sorted(inputs.CORPUS.glob("service-*~*")):
        targets[path.name.partition("~")[0]][1](path.read_bytes())
