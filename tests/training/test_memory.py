"""Freed memory is used again instead of being given back."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from recsys.training.memory import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("not glibc")
def work():
    for _ in range(5):
        np.ones((64 << 20) // 8)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False)
    if "not glibc" in done.stderr:
        pytest.skip("the C library is not glibc")
    return int(done.stdout)


def test_large_blocks_are_reused() -> None:
    given_back, kept = faults("default"), faults("keep")
    assert given_back > 100  # 5 blocks of 64 MB, paged in each time; pages may be huge
    assert kept < given_back / 20
