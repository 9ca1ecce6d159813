"""What is no code works from an installed wheel: the store's migrations, the sample tower's weights."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import pathlib, recsys
from recsys.feedback.database import Database
from recsys.feedback.store import FeedbackStore
from recsys.encoder.towers.small_tower import SmallTower
SmallTower.sample(image_size=32)
store = FeedbackStore(Database("sqlite:///search.db"))
store.judge("a", "b", "similar", "Maria")
print(pathlib.Path(recsys.__file__).parent)
"""


def test_the_store_and_the_sample_tower_open_from_a_wheel(tmp_path: Path) -> None:
    source, wheels, place = tmp_path / "source", tmp_path / "wheels", tmp_path / "100%here"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "recsys", source / "recsys", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-c", "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])"]
    subprocess.run([*build, str(wheels)], cwd=source, check=True, capture_output=True, timeout=300)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        wheel.extractall(place)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env={"PYTHONPATH": str(place)},
        check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert Path(done.stdout.strip()) == place / "recsys"
