"""What is similar to what: label levels, judged pairs and linked ids, as arrays over the snapshot's rows.

Every source becomes one of two things, and objectives and the sampler know only those:

    a label level   a code per product; equal codes are positives, different ones negatives
    judged pairs    (left, right, signed weight); positive or negative for these two products alone

A new source is one function that returns either, called in :func:`build`.

    N = products of the snapshot, M = judged pairs

Does not know: images, encoders, losses.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.config import TrainingConfig
from recsys.config.supervision import LinksConfig
from recsys.config.training import ObjectiveConfig
from recsys.workspace.columns import read_column
from recsys.workspace.pairs import JudgedPair, read_pairs
from recsys.workspace.splits import HOLDOUT, TRAIN, UNUSED, VALIDATION

logger = logging.getLogger(__name__)

Int = NDArray[np.int64]

_TIMES = 16
"""Judged products take the place of this many times as many others in the batches, as long as they are few:
with 4 items per class that is about four visits of each per epoch."""
_PAIRS_WEIGHT = 5.0
"""Of the term that judgements bring: its squares of cosines are small beside the others' logarithms."""
LINKS = "links"
"""Name under which judged and linked pairs are used like a label level."""


class LabelledPairs(NamedTuple):
    """Judged pairs of training products; each unordered pair once."""

    left: Int  # [M] rows of the snapshot
    right: Int  # [M]
    weight: NDArray[np.float32]  # [M]; above 0: similar, below 0: not similar


@dataclass(frozen=True)
class Supervision:
    """Everything that says what is similar, by row of the snapshot."""

    labels: dict[str, Int]
    """Level → code per product ``[N]``, -1 where the product has none."""
    pairs: LabelledPairs
    counts: dict[str, Any]
    """What was found and what was left out, for the record."""
    links_share: float = 1.0
    """Factor of ``sampler.links_weight``: below 1 where there are only a few judgements."""


def label_codes(columns: Sequence[Sequence[str | None]]) -> Int:
    """Return one code per product for the combination of its values ``[N]``; -1 where any is missing.

    Codes count up in the order of the sorted combinations, so they do not depend on the rows' order.
    """
    rows = list(zip(*columns, strict=True))
    known = sorted({row for row in rows if None not in row})
    code = {row: i for i, row in enumerate(known)}
    return np.array([code.get(row, -1) for row in rows], np.int64)


def build(
    products: pa.Table,
    splits: Sequence[str],
    config: TrainingConfig,
    resolve: Callable[[str], str],
    judgements: Sequence[JudgedPair] = (),
) -> Supervision:
    """Collect every source that ``config`` names, and the night's ``judgements``.

    ``products`` is the snapshot's table ``[N]``, ``splits`` the split of each row; pairs that touch
    anything but training products are left out and counted. ``resolve`` makes paths absolute.
    """
    ids = products.column("id").to_pylist()
    groups = products.column("item_group_id").to_pylist()
    labels = {
        "product": np.arange(len(ids)),
        "group": label_codes(
            [[group if group is not None else f"\0{id}" for id, group in zip(ids, groups, strict=True)]]
        ),
    }
    for name, level in config.labels.items():
        if level.columns:
            setting = f"training.labels.{name}.columns"
            labels[name] = label_codes([read_column(products, c, setting=setting) for c in level.columns])
    row = {id: i for i, id in enumerate(ids)}
    judged = [
        pair._replace(weight=pair.weight * source.weight)
        for source in config.pairs
        for pair in read_pairs(Path(resolve(source.path)))
    ]
    found: list[tuple[int, int, float]] = []
    unknown = 0
    for pair in (*judged, *judgements):
        if pair.left_id in row and pair.right_id in row:
            found.append((row[pair.left_id], row[pair.right_id], pair.weight))
        else:
            unknown += 1
    for links in config.links:
        found.extend(_links(products, links, row, groups))
    trained = np.array([split == TRAIN for split in splits], bool)
    pairs, outside = _net(found, trained)
    counts = {
        "labels": {name: _label_counts(codes, trained) for name, codes in labels.items()},
        "pairs": {
            "positive": int((pairs.weight > 0).sum()),
            "negative": int((pairs.weight < 0).sum()),
            "of_unknown_products": unknown,
            "outside_training": outside,
        },
    }
    share = 1.0
    if judgements:
        counts["judgements"] = count_judgements(judgements, ids, splits)
        if not (config.pairs or config.links):
            share = _share(pairs, int(trained.sum()))
    return Supervision(labels, pairs, counts, share)


def with_judgements(config: TrainingConfig) -> TrainingConfig:
    """Return ``config`` with a term that learns from judged pairs, and the others not working against it.

    The default objectives have no such term, and their labels call most products that a person is asked
    about similar: they share a category. Terms that read judged pairs by themselves stay as they are.
    """
    terms = [
        term.model_copy(update={"params": {"judged": True} | term.params})
        if term.kind == "metric" and term.label != LINKS
        else term
        for term in config.objectives
    ]
    if not any(term.kind == "pairs" or term.label == LINKS for term in config.objectives):
        terms.append(ObjectiveConfig(kind="pairs", weight=_PAIRS_WEIGHT))
    return config.model_copy(update={"objectives": tuple(terms)})


def count_judgements(
    judgements: Sequence[JudgedPair], ids: Sequence[str], splits: Sequence[str]
) -> dict[str, int]:
    """Return how many judgements are learnt from, and where the others went.

    ``selecting`` touch a validation product, ``judging`` a held-out one, ``left_out`` one that is unused.
    """
    of = dict(zip(ids, splits, strict=True))
    counts = dict.fromkeys(
        ("learnt", "similar", "not_similar", "selecting", "judging", "left_out", "gone"), 0
    )
    for pair in judgements:
        ends = {of.get(pair.left_id), of.get(pair.right_id)}
        if None in ends:
            counts["gone"] += 1
        elif HOLDOUT in ends:
            counts["judging"] += 1
        elif UNUSED in ends:
            counts["left_out"] += 1
        elif VALIDATION in ends:
            counts["selecting"] += 1
        else:
            counts["learnt"] += 1
            counts["similar" if pair.weight > 0 else "not_similar"] += 1
    return counts


def _share(pairs: LabelledPairs, num_trained: int) -> float:
    """Return the share of ``sampler.links_weight`` that so few pairs deserve."""
    judged = len(np.union1d(pairs.left, pairs.right))
    return min(1.0, _TIMES * judged / max(num_trained, 1))


def _label_counts(codes: Int, trained: NDArray[np.bool_]) -> dict[str, int]:
    sizes = np.unique(codes[trained & (codes >= 0)], return_counts=True)[1]
    return {
        "products": int(sizes.sum()),
        "classes": len(sizes),
        "classes_with_positives": int((sizes > 1).sum()),
    }


def _links(
    products: pa.Table, links: LinksConfig, row: Mapping[str, int], groups: Sequence[str | None]
) -> Iterable[tuple[int, int, float]]:
    named: dict[str, list[int]] = {}
    if "item_group_id" in links.match:
        for i, group in enumerate(groups):
            if group is not None:
                named.setdefault(group, []).append(i)
    if "id" in links.match:
        named |= {id: [i] for id, i in row.items()}
    for i, value in enumerate(read_column(products, links.column, setting="training.links.column")):
        for target in (value or "").split(links.separator):
            for j in named.get(target.strip(), ()):
                yield i, j, links.weight


def _net(found: Iterable[tuple[int, int, float]], trained: NDArray[np.bool_]) -> tuple[LabelledPairs, int]:
    """Add up what was said of each unordered pair; what cancels out is dropped."""
    total: dict[tuple[int, int], float] = {}
    outside = 0
    for left, right, weight in found:
        if left == right:
            continue
        if not (trained[left] and trained[right]):
            outside += 1
            continue
        key = (min(left, right), max(left, right))
        total[key] = total.get(key, 0.0) + weight
    kept = sorted((key, weight) for key, weight in total.items() if weight)
    ends = np.array([key for key, _ in kept], np.int64).reshape(-1, 2)
    return LabelledPairs(ends[:, 0], ends[:, 1], np.array([w for _, w in kept], np.float32)), outside
