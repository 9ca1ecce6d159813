"""What is similar to what: label levels, judged pairs and linked ids, as arrays over the snapshot's rows.

Every source becomes one of two things, and objectives and the sampler know only those:

    a label level   a code per product; equal codes are positives, different ones negatives
    judged pairs    (left, right, signed weight); positive or negative for these two products alone

A new source is one function that returns either, called in :func:`build`.

    N = products of the snapshot, M = judged pairs
"""

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
from recsys.workspace.splits import HOLDOUT, TEST, TRAIN, UNUSED, VALIDATION

Int = NDArray[np.int64]

LINKS = "links"
"""The name of judged and linked pairs where a label level is named."""
_OVERSAMPLING = 16
"""A few judged products take the place of this many times as many others in the batches: with 4 items per
class that is about four visits of each per epoch."""
_PAIRS_WEIGHT = 5.0
"""Weight of the term that judgements bring: its squared cosines are small beside the others' logarithms."""


class LabelledPairs(NamedTuple):
    """Judged pairs of training products; each unordered pair once."""

    left: Int  # [M] rows of the snapshot
    right: Int  # [M]
    weight: NDArray[np.float32]  # [M]; above 0: similar, below 0: not similar


@dataclass(frozen=True)
class Supervision:
    """Everything that says what is similar, by row of the snapshot."""

    labels: dict[str, Int]  # level -> code per product [N], -1 where the product has none
    pairs: LabelledPairs
    counts: dict[str, Any]  # what was found and what was left out, for the record
    links_share: float = 1.0  # factor of `sampler.links_weight`, below 1 where judgements are few


def build(
    products: pa.Table,
    splits: Sequence[str],
    config: TrainingConfig,
    resolve: Callable[[str], str],
    judgements: Sequence[JudgedPair] = (),
) -> Supervision:
    """Collect every source that ``config`` names, and the ``judgements`` that people made.

    ``products`` is the snapshot's table ``[N]``, ``splits`` the split of each row. Pairs of other than two
    training products are left out and counted. ``resolve`` makes paths absolute.
    """
    ids = products.column("id").to_pylist()
    groups = products.column("item_group_id").to_pylist()
    own = [group if group is not None else f"\0{id}" for id, group in zip(ids, groups, strict=True)]
    labels = {"product": np.arange(len(ids)), "group": label_codes([own])}
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
    judged += judgements
    known = [p for p in judged if p.left_id in row and p.right_id in row]
    found = [(row[p.left_id], row[p.right_id], p.weight) for p in known]
    for links in config.links:
        found.extend(_linked_pairs(products, links, row, groups))
    trained = np.array([split == TRAIN for split in splits], bool)
    pairs, outside = _sum_pairs(found, trained)
    counts: dict[str, Any] = {
        "labels": {name: _label_counts(codes, trained) for name, codes in labels.items()},
        "pairs": {
            "positive": int((pairs.weight > 0).sum()),
            "negative": int((pairs.weight < 0).sum()),
            "of_unknown_products": len(judged) - len(known),
            "outside_training": outside,
        },
    }
    share = 1.0
    if judgements:
        counts["judgements"] = count_judgements(judgements, ids, splits)
        if not (config.pairs or config.links):
            num_judged = len(np.union1d(pairs.left, pairs.right))
            share = min(1.0, _OVERSAMPLING * num_judged / max(int(trained.sum()), 1))
    return Supervision(labels, pairs, counts, share)


def label_codes(columns: Sequence[Sequence[str | None]]) -> Int:
    """Return one code per product for the combination of its values ``[N]``; -1 where any is missing.

    Codes count up in the order of the sorted combinations, so they do not depend on the rows' order.
    """
    rows = list(zip(*columns, strict=True))
    known = sorted({row for row in rows if None not in row})
    code = {row: i for i, row in enumerate(known)}
    return np.array([code.get(row, -1) for row in rows], np.int64)


def _linked_pairs(
    products: pa.Table, links: LinksConfig, row: Mapping[str, int], groups: Sequence[str | None]
) -> Iterable[tuple[int, int, float]]:
    """Yield the pairs that a column of linked ids makes; an item group stands for all its products."""
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


def _sum_pairs(
    found: Iterable[tuple[int, int, float]], trained: NDArray[np.bool_]
) -> tuple[LabelledPairs, int]:
    """Add up the weights of each unordered pair of training products, and count the pairs of others.

    Weights that cancel out leave no pair.
    """
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


def _label_counts(codes: Int, trained: NDArray[np.bool_]) -> dict[str, int]:
    sizes = np.unique(codes[trained & (codes >= 0)], return_counts=True)[1]
    return {
        "products": int(sizes.sum()),
        "classes": len(sizes),
        "classes_with_positives": int((sizes > 1).sum()),
    }


def count_judgements(
    judgements: Sequence[JudgedPair], ids: Sequence[str], splits: Sequence[str]
) -> dict[str, int]:
    """Return how many judgements are ``trained_on`` (``similar`` or ``not_similar``), and why others are not.

    Each counts once, by the first that holds: one of its products is ``unknown``, in the final ``test``, in
    the ``holdout``, ``unused``, or for ``validation``.
    """
    split_of = dict(zip(ids, splits, strict=True))
    uses = {None: "unknown"} | {role: role for role in (TEST, HOLDOUT, UNUSED, VALIDATION)}
    counts = dict.fromkeys(("trained_on", "similar", "not_similar", *uses.values()), 0)
    for pair in judgements:
        ends = {split_of.get(pair.left_id), split_of.get(pair.right_id)}
        use = next((name for split, name in uses.items() if split in ends), None)
        counts[use or "trained_on"] += 1
        if use is None:
            counts["similar" if pair.weight > 0 else "not_similar"] += 1
    return counts


def with_judgements(config: TrainingConfig) -> TrainingConfig:
    """Return ``config`` with a term that learns from judged pairs, and the others not working against it.

    The recipe's objectives have no such term, and by their labels most products that people judge are
    similar: they share a category. Terms that read judged pairs themselves stay as they are.
    """
    objectives = config.objectives or ()
    terms = [
        term.model_copy(update={"params": {"judged": True} | term.params})
        if term.kind == "metric" and term.label != LINKS
        else term
        for term in objectives
    ]
    if not any(term.kind == "pairs" or term.label == LINKS for term in objectives):
        terms.append(ObjectiveConfig(kind="pairs", weight=_PAIRS_WEIGHT))
    return config.model_copy(update={"objectives": tuple(terms)})
