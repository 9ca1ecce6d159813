"""Writes one benchmark's record: figures, command, hardware, commit and date.

    record("decode", {"ratio_1000": 2.7}, command="python -m benchmarks.decode")

Does not know: what is measured.
"""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def record(name: str, figures: dict[str, Any], *, command: str) -> Path:
    """Write ``results/<name>.json`` and print the figures; return the path."""
    entry = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD")
        + ("+changes" if _git("status", "--porcelain", "-uno") else ""),
        "command": command,
        "hardware": _hardware(),
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    print(
        f"written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}",
        file=sys.stderr,
    )
    return path


def summary(samples: list[float]) -> dict[str, float]:
    """Return minimum, median and maximum of repeated measurements."""
    ordered = sorted(samples)
    return {
        "min": ordered[0],
        "median": ordered[len(ordered) // 2],
        "max": ordered[-1],
        "repeats": len(ordered),
    }


def _hardware() -> dict[str, Any]:
    model = "unknown"
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line),
            model,
        )
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version()}


def _git(*arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    )
    return result.stdout.strip()
