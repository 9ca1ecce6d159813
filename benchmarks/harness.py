"""The benchmark harness: a command line, fresh processes, and dated records.

    benchmark("decode", measure, __doc__)                     # python -m benchmarks.decode
    benchmark("embedding", measure, __doc__, products=512)    # python -m benchmarks.embedding --products 128

``measure`` takes the options by keyword and returns its results as JSON values. Each run adds one record,
``results/<name>/<date>-<commit>.json``, and overwrites none: the newest is the last by name, and
:func:`latest` reads it. A record names the commit that was measured, so a tree with changes that are not
committed is refused, before and after measuring; ``--dry-run`` measures such a tree and writes nothing.
"""

import argparse
import json
import multiprocessing
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def benchmark(name: str, measure: Callable[..., dict[str, Any]], about: str | None, **options: Any) -> None:
    """Read the command line, measure, and write the record ``name``.

    Each of ``options`` is a flag of the type of its default; a tuple takes any number of values.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="print the results, write no record")
    for option, default in options.items():
        many = isinstance(default, tuple)
        kind = type(default[0] if many and default else "" if many else default)
        parser.add_argument(
            f"--{option.replace('_', '-')}", type=kind, default=default, nargs="*" if many else None
        )
    arguments = vars(parser.parse_args())
    if arguments.pop("dry_run"):
        print(json.dumps(measure(**arguments), indent=2))
        return
    commit, load = clean_commit(), os.getloadavg()[0]
    results = measure(**arguments)
    print(json.dumps(results, indent=2))
    if clean_commit() != commit:
        sys.exit(f"The commit changed from {commit} while this was measured: measure again.")
    path = write_record(name, results, commit=commit, load_average=load)
    print(f"written: {os.path.relpath(path)}", file=sys.stderr)


def clean_commit() -> str:
    """Return the short hash of the commit that is checked out; exit where the tree differs from it.

    Records are the one exception: several benchmarks run one after the other.
    """
    commit = head()
    changed = _git("status", "--porcelain", "-uall", "--", ":/", f":(exclude){RESULTS.name}")
    if changed:
        sys.exit(
            f"A record names the commit it was measured at, and the tree differs from {commit}:\n{changed}"
            "Commit the changes, or measure without a record: --dry-run."
        )
    return commit


def head() -> str:
    """Return the short hash of the commit that is checked out."""
    return _git("rev-parse", "--short", "HEAD").strip()


def write_record(name: str, results: dict[str, Any], *, commit: str, load_average: float) -> Path:
    """Add a record to ``results/<name>``; return its path."""
    now = datetime.now(UTC)
    record = {
        "name": name,
        "date": now.isoformat(timespec="seconds"),
        "commit": commit,
        "command": shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]]),
        "hardware": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_average_before": round(load_average, 2),
        },
        "results": results,
    }
    path = RESULTS / name / f"{now:%Y-%m-%dT%H%M%S}-{commit}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps(record, indent=2) + "\n")
    return path


def latest(name: str) -> dict[str, Any] | None:
    """Return the newest record of a benchmark, ``None`` where there is none."""
    paths = sorted((RESULTS / name).glob("*.json"))
    return json.loads(paths[-1].read_text(encoding="utf-8")) if paths else None


def summary(samples: list[float]) -> dict[str, float]:
    """Return minimum, median and maximum of repeated measurements."""
    ordered = sorted(samples)
    return {
        "min": ordered[0],
        "median": ordered[len(ordered) // 2],
        "max": ordered[-1],
        "repeats": len(ordered),
    }


def fresh_process() -> ProcessPoolExecutor:
    """Return one process that did nothing else, for functions of the top of a module.

    A result raises ``BrokenProcessPool`` where that process died.
    """
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``function`` returns in a :func:`fresh_process`."""
    with fresh_process() as process:
        return process.submit(function, *arguments).result()


def process_status_mb(key: str) -> float:
    """Return an entry of this process's ``/proc/self/status`` (``VmHWM``: peak memory) in MB of 1e6 bytes."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key))
    return int(line.split()[1]) * 1024 / 1e6


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    )
    if done.returncode:
        sys.exit(f"A record names a commit, and git says: {done.stderr.strip()}. Use --dry-run.")
    return done.stdout
