"""Mutated feeds, images and request bodies, and faults at every operation of a stage, for some minutes.

Faults are of files (killed, no space, I/O error, half of a write, lost rename), and of the calls of two
machines to an object store and a Qdrant server (lost, late, twice, paused while the other goes on). Where
``RECSYS_TEST_QDRANT_BINARY`` names Qdrant's program, that is also killed and started again at their calls.

    python -m benchmarks.soak --minutes 10

Mutated input is read as the product reads it: whatever is raised that does not say what is wrong with it is
an escape, and its input is kept under ``tests/fuzz/corpus`` for the tests. Half of that time mutates at
random, whole requests to the service among the inputs; the other half, where atheris is installed, by what
the inputs reach (``guided``), and goes on where the last run on this machine ended: ``build/fuzz-corpus``
keeps what reached something new. A fault is *spoiled* where the stage, run again, does not leave what an
undisturbed run leaves, or a reader saw something else meanwhile (:mod:`tests.faults`).
"""

import itertools
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.harness import benchmark, fresh_process
from tests.faults import machine, remote, restarts, stages
from tests.faults.campaign import FileCampaign, disturb
from tests.fuzz import guided, inputs, service
from tests.index import qdrant

_REACHED = Path(__file__).parents[1] / "build" / "fuzz-corpus"
_FUZZED, _INTERLEAVED = 0.15, 0.15
"""Shares of the time; the rest is of faults, the same for each stage, whose preparation comes on top. Two
lanes run side by side: one of a stage's faults of files, one of everything else.
"""


def measure(*, minutes: float, seed: int) -> dict[str, Any]:
    """Read mutated inputs, every kind in turn; disturb every stage; interleave operations that crash."""
    warnings.simplefilter("ignore")
    total_s = 60 * minutes
    fuzzed_s, interleaved_s = _FUZZED * total_s, _INTERLEAVED * total_s
    campaigns: dict[str, type[remote.RemoteCampaign]] = {"on two machines": remote.RemoteCampaign}
    if qdrant.BINARY:
        campaigns["over a server restarted"] = restarts.RestartCampaign
    remote_s = (total_s - fuzzed_s - interleaved_s) / len(remote.STAGES) / len(campaigns)
    with fresh_process() as fork, fresh_process() as mixed, fresh_process() as machines:
        found = {
            name: fork.submit(disturb, FileCampaign, name, seed=seed, seconds=total_s / len(stages.STAGES))
            for name in stages.STAGES
        }
        interleaved = mixed.submit(machine.interleave_for, interleaved_s, seed).result()
        fuzzed = fuzz(fuzzed_s, seed)
        for (where, campaign), name in itertools.product(campaigns.items(), remote.STAGES):
            trial = machines.submit(disturb, campaign, name, seed=seed, seconds=remote_s)
            found[f"{name} {where}"] = trial
            trial.result()
        results = {name: trial.result() for name, trial in found.items()}
    return {
        **fuzzed,
        "num_faults": sum(sum(f["faults"].values()) for f in (*results.values(), interleaved)),
        "num_spoiled": sum(len(f["spoiled"]) for f in (*results.values(), interleaved)),
        "faults": results,
        "interleaved": interleaved,
    }


def fuzz(seconds: float, seed: int) -> dict[str, Any]:
    """Read inputs that are mutated at random, then, where atheris is installed, those that it makes."""
    is_guided = find_spec("atheris") is not None
    with service.targets() as requests:
        found = mutate(inputs.targets() | requests, seconds / 2 if is_guided else seconds, seed)
    by_coverage = (
        guided.run(seconds / 2, inputs.CORPUS, seed=seed + 1, corpus=_REACHED) if is_guided else None
    )
    return found | {"guided": by_coverage}


def mutate(targets: dict[str, Any], seconds: float, seed: int) -> dict[str, Any]:
    """Read mutated inputs, every kind in turn, until the time is over."""
    cases: Counter[str] = Counter()
    escapes: dict[str, str] = {}
    deadline = time.monotonic() + seconds
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
