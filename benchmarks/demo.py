"""Ten nights of the sample shop, as `make demo` runs them: how long each takes, and what then serves.

    python -m benchmarks.demo [--nights 10]

In a fresh clone of the commit, whose workspace is empty: what is timed is `infra/airflow/demo.sh`, which is
`make demo` without the installation. The second night is as it comes, and has too little to learn from; from
the third on training is forced, so that the gate decides every night. Scores are of the final test, after the
first night and after the last.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.catalogs import read_catalog
from benchmarks.harness import benchmark
from recsys import config
from recsys.workspace import open_workspace

_ROOT = Path(__file__).parents[1]


def run_night(clone: Path, *, forced: bool) -> dict[str, Any]:
    """Run one night; return its seconds, and what the gate said where it was asked."""
    workspace = open_workspace(config.load(clone / "conf/demo.toml"))
    before = {m.ref for m in workspace.list("evaluations")}
    environment = {**os.environ, "PYTHONPATH": str(clone), "FORCE": "1" if forced else ""}
    done = subprocess.run(
        ["bash", "infra/airflow/demo.sh"], cwd=clone, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (seconds,) = re.findall(r"make demo took (\d+) s", done.stdout)
    night: dict[str, Any] = {"seconds": int(seconds), "forced": forced}
    for found in workspace.list("evaluations"):
        if found.ref not in before:
            night |= {key: found.info[key] for key in ("decision", "chosen", "reasons")}
    return night


def measure(nights: int) -> dict[str, Any]:
    """Return every night, and the scores after the first and the last."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(_ROOT), str(clone)], check=True)
        (clone / ".venv").symlink_to(_ROOT / ".venv")
        found = [run_night(clone, forced=False)]
        first = read_catalog(clone / "conf/demo.toml")
        found += [run_night(clone, forced=night > 1) for night in range(1, nights)]
        return {"nights": found, "first": first, "last": read_catalog(clone / "conf/demo.toml")}


if __name__ == "__main__":
    benchmark("demo", measure, __doc__, nights=10)
