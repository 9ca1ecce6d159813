"""Encoders that a benchmark makes, compares, and leaves no trace of."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from recsys.config import Config
from recsys.encoder.model import ProductEncoder
from recsys.evaluation.candidates import BASE, Candidate, untouched_of
from recsys.evaluation.evaluator import Evaluation, Evaluator
from recsys.workspace import Manifest, Workspace

CHOSEN = "chosen"


def save(workspace: Workspace, encoder: ProductEncoder) -> str:
    """Return the ref of a new artifact of ``encoder``; delete it when it was compared."""
    with workspace.create("encoders", f"benchmark-{uuid.uuid4().hex[:8]}") as draft:
        encoder.save(draft.path)
        draft.info["role"] = "benchmark"
    return draft.committed().ref


def compared(night: Manifest) -> list[Candidate]:
    """Return what an evaluation chose, its base, and the untouched backbone."""
    return [
        untouched_of(night.inputs["base"]),
        Candidate(name=BASE, title="Zero-shot base", ref=night.inputs["base"]),
        Candidate(name=CHOSEN, title="Chosen by the gate", ref=night.info["chosen"]),
    ]


@contextmanager
def evaluated(
    settings: Config,
    workspace: Workspace,
    inputs: Mapping[str, str],
    candidates: Sequence[Candidate],
    *roles: str,
) -> Iterator[Evaluation]:
    """Evaluate candidates on queries of ``roles``; their embeddings last as long as the block."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield Evaluator(settings, workspace, inputs, folder, roles=roles).evaluate(candidates)
    finally:
        shutil.rmtree(folder)
