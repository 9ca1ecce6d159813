"""Mutated feeds, images and request bodies, each read as the product reads it, for some minutes.

    python -m benchmarks.soak --minutes 10

Each case is a good input of a kind and a seed; whatever is raised that does not say what is wrong with it is
an escape, and its input is kept under ``tests/fuzz/corpus`` for the tests.
"""

import random
import sys
import time
import traceback
import warnings
from collections import Counter

from benchmarks.harness import benchmark
from tests.fuzz import inputs


def measure(*, minutes: float, seed: int) -> dict[str, object]:
    """Read mutated inputs, every kind in turn, until the time is over."""
    warnings.simplefilter("ignore")
    targets = inputs.targets()
    cases: Counter[str] = Counter()
    escapes: dict[str, str] = {}
    deadline = time.monotonic() + 60 * minutes
    slowest, slowest_s = "", 0.0
    while time.monotonic() < deadline:
        seed += 1
        for name, (data, read) in targets.items():
            made = inputs.mutate(data, random.Random(f"{name} {seed}"))
            started = time.perf_counter()
            try:
                read(made)
            except Exception:  # noqa: BLE001 (any is what is looked for)
                last = traceback.format_exc().strip().splitlines()[-1]
                if last not in escapes:
                    escapes[last] = f"{name}~{seed}"
                    (inputs.CORPUS / escapes[last]).write_bytes(made)
                    print(f"{name} {seed}: {last}", file=sys.stderr)
            cases[name] += 1
            taken = time.perf_counter() - started
            if taken > slowest_s:
                slowest, slowest_s = f"{name} {seed}", taken
    return {
        "cases": cases.total(),
        "escapes": escapes,
        "slowest_s": round(slowest_s, 3),
        "slowest": slowest,
        "last_seed": seed,
        "by_kind": dict(cases),
    }


if __name__ == "__main__":
    benchmark("soak", measure, __doc__, minutes=10.0, seed=0)
