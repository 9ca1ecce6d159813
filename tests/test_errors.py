"""The error tree."""

import pickle

import pytest

from recsys.errors import LeaseLostError, NotFoundError, RecsysError, TransientError


@pytest.mark.parametrize("kind", [RecsysError, NotFoundError, TransientError, LeaseLostError])
def test_an_error_passes_between_processes_whole(kind: type[RecsysError]) -> None:
    error = pickle.loads(pickle.dumps(kind("It is gone.", fix="Make it anew.")))
    assert type(error) is kind
    assert str(error) == "It is gone.\n  to fix: Make it anew."
    assert error.retryable == kind.retryable
