"""Inputs that atheris (libFuzzer) makes by coverage: what reaches new code of ours is mutated further.

    python -m tests.fuzz.guided tests.fuzz.inputs 60 ESCAPES CORPUS 1

reads the targets of a module, all in one process, for so many seconds from that seed; an input's first byte
says which target reads the rest. What reached something new is kept in the folder CORPUS. An input that
escapes is kept in ESCAPES as ``<target>~<hash>``, one for each last line of a traceback; one that ends the
process is there under libFuzzer's name for it, and :func:`run` gives it ours.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_OPTIONS = ("-rss_limit_mb=4096", "-timeout=60", "-max_len=20000", "-print_final_stats=1")
_FATAL = ("crash", "oom", "timeout")


def run(
    seconds: float,
    escapes: Path,
    *,
    seed: int = 1,
    module: str = "tests.fuzz.inputs",
    corpus: Path | None = None,
) -> dict[str, Any]:
    """Fuzz in a process of its own; return how many inputs were read, the features of our code that they
    reached, and why ↦ the name of each input that escaped, which the folder ``escapes`` keeps.

    A folder ``corpus`` is made where it does not exist; what it holds is read first, and it grows. Raises
    :class:`AssertionError` where the fuzzer itself does not run.
    """
    with tempfile.TemporaryDirectory() as temporary:
        kept = corpus or Path(temporary)
        kept.mkdir(parents=True, exist_ok=True)
        arguments = [module, str(max(1, round(seconds))), str(escapes), str(kept), str(seed)]
        command = [sys.executable, "-m", __name__, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    cases = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert cases, done.stderr[-3000:]
    found = {last: name for name, last in re.findall(r"^escape (\S+) (.*)$", done.stderr, re.MULTILINE)}
    names = list(import_module(module).targets())
    for path in (p for kind in _FATAL for p in escapes.glob(f"{kind}-*")):
        data = path.read_bytes()
        found[path.name] = _keep(escapes, names[data[0] % len(names)], data[1:])
        path.unlink()
    features = re.findall(r"\bft: (\d+)", done.stderr)
    return {"cases": int(cases[1]), "features": int(features[-1]) if features else 0, "escapes": found}


def fuzz(module: str, seconds: str, escapes: Path, corpus: Path, seed: str) -> None:
    """Fuzz in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["recsys"]):
        targets: dict[str, tuple[bytes, Callable[[bytes], None]]] = import_module(module).targets()
    names, seen = list(targets), set()

    def read(data: bytes) -> None:
        name = names[data[0] % len(names)] if data else names[0]
        try:
            targets[name][1](data[1:])
        except Exception:  # noqa: BLE001 (any is what is looked for)
            last = traceback.format_exc().strip().splitlines()[-1]
            if last not in seen:
                seen.add(last)
                sys.stderr.write(f"\nescape {_keep(escapes, name, data[1:])} {last}\n")

    for number, (good, _) in enumerate(targets.values()):
        (corpus / f"good-{number}").write_bytes(bytes([number]) + good)
    limits = [f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={escapes}/"]
    atheris.Setup(["guided", *_OPTIONS, *limits, str(corpus)], read)
    atheris.Fuzz()


def _keep(escapes: Path, name: str, data: bytes) -> str:
    kept = f"{name}~{hashlib.sha256(data).hexdigest()[:12]}"
    (escapes / kept).write_bytes(data)
    return kept


if __name__ == "__main__":
    fuzz(*sys.argv[1:3], *map(Path, sys.argv[3:5]), sys.argv[5])
