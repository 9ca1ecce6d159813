"""Fixtures of the catalog stage."""

from collections.abc import Iterator

import pytest

from tests.catalog.web import Web


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server a test fills."""
    server = Web()
    yield server
    server.close()
