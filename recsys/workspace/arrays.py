"""Arrays as files that a full disk does not cut off unheard."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike, NDArray


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write ``path`` as ``np.save`` does, which does not hear of an error of its last write."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.write_bytes(buffer.getbuffer())


def create_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Create the file of an array and return it memory-mapped.

    Its space is taken now: a full disk is an :class:`OSError` here, where writing into a hole of the file
    would kill the process (SIGBUS).
    """
    array = open_memmap(path, "w+", dtype, shape)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
