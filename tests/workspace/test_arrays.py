"""Arrays as files."""

import resource
from pathlib import Path

import numpy as np
import pytest

from recsys.workspace.arrays import create_array, write_array


def test_an_array_has_its_space_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    array = create_array(path, np.float32, (1000, 300))
    assert path.stat().st_blocks * 512 >= 1000 * 300 * 4
    array[7] = 3
    array.flush()
    assert np.load(path)[6:9, 0].tolist() == [0, 3, 0]


def test_an_error_of_the_last_write_is_heard(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (130, hard))  # the header is 128 bytes
    try:
        with pytest.raises(OSError, match="too large"):
            write_array(tmp_path / "array.npy", np.zeros(3, np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
