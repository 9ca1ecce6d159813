"""What a stage makes from artifacts that are there is made again where it is damaged, and the log says so."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys import nightly
from recsys.embedding.run import run as embed
from recsys.workspace.scrub import scrub
from tests.faults import stages
from tests.workspace.test_checksums import flip


def _embed(home: Path) -> None:
    workspace = stages.workspace_of(home)
    inputs = workspace.list("publications")[-1].inputs
    embed(stages._config(home), workspace, inputs["snapshot"], inputs["encoder"])


def _plan_training(home: Path) -> None:
    refs = {"snapshot": "snapshots/night", "champion": None, "judgements": None}
    nightly.plan_training(stages._config(home), stages.workspace_of(home), refs)


AGAIN: dict[str, Callable[[Path], object]] = {
    "splits": stages.STAGES["train"].run,
    "evaluations": stages.STAGES["evaluate"].run,
    "embedding-plans": _embed,
    "embeddings": _embed,
    "embedding-sets": _embed,
    "reports": stages.STAGES["report"].run,
    "judgements": stages.STAGES["feedback"].run,
    "training-plans": _plan_training,
}
"""Kind → the stage that makes it."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night; every test leaves it whole."""
    home = tmp_path_factory.mktemp("night")
    stages.STAGES["report"].prepare(home)
    for stage in AGAIN.values():
        stage(home)
    return home


@pytest.mark.parametrize("in_manifest", [False, True], ids=["file", "manifest"])
@pytest.mark.parametrize("kind", AGAIN)
def test_a_flipped_byte_costs_making_it_again(
    home: Path, kind: str, in_manifest: bool, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = stages.workspace_of(home)
    encoders = workspace.list("encoders")
    needed = (
        ["embeddings"] if kind == "embedding-plans" else []
    )  # with every shard there, no plan is looked for
    made = [manifest for each in (kind, *needed) for manifest in workspace.list(each)]
    for manifest in made:
        for name in ["manifest.json"] if in_manifest or not manifest.files else manifest.files:
            flip(workspace.local / manifest.ref / name)
    AGAIN[kind](home)
    assert made
    for manifest in made:
        assert f"made again: {manifest.ref} is damaged: " in caplog.text
        again = workspace.get(manifest.ref)
        assert again.inputs == manifest.inputs
        if kind in ("splits", "embedding-plans", "embedding-sets"):
            assert again.checksums == manifest.checksums
    assert scrub(workspace).damaged == {}
    assert workspace.list("encoders") == encoders
