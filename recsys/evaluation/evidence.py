"""What the gate reads of a task: the same queries under every candidate, and what the task counts.

Does not know: what is concluded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One gating task on one split: the main metric of the same queries under every candidate."""

    task: str
    values: Mapping[str, Float64]
    """Candidate → main metric per query ``[Q]``, in 0 to 1."""
    components: Ints
    """Component of each query ``[Q]``, as codes common to all tasks."""
    categories: Sequence[str | None] = ()
    """Category of each query ``[Q]``, or nothing."""
    judged: bool = False
    """Whether it is people's judgements: few at first, and what they gain is reason enough to change."""


def weights(evidence: Sequence[Evidence]) -> Float64:
    """Return what each task counts in the gate score: 1, and of judgements a part while they are fewer.

    A query of judgements counts as much as one of the smallest other task, all of them at most 1. A full
    share for a few of them would drown what the other tasks show, and close the gate.
    """
    least = min((len(e.components) for e in evidence if not e.judged), default=0)
    shares = [min(1.0, len(e.components) / least) if e.judged and least else 1.0 for e in evidence]
    return np.array(shares)
