"""The right answers of a task, from what its configuration names: columns, links, judged pairs.

Does not know: vectors, metrics.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from recsys.config.evaluation import TaskConfig
from recsys.evaluation.products import Positions, Products
from recsys.evaluation.relevance import EqualLabel, Grouped, Listed, Matcher, Relevance, Rung
from recsys.workspace.pairs import JudgedPair, read_pairs


def relevance_of(
    config: TaskConfig,
    products: Products,
    queries: Positions,
    gallery: Positions,
    *,
    groups: Positions | None,
    resolve: Callable[[str], str],
) -> Relevance:
    """Return the right answers of the task ``config`` over the rows of ``queries`` and ``gallery``.

    With ``groups`` (of each gallery row, ascending from 0) over its groups instead; a query's own group is
    then hidden. ``resolve`` makes the path of judged pairs absolute. Raises
    :class:`~recsys.errors.ConfigError` for a column that is not there.
    """

    def equal(names: Sequence[str]) -> EqualLabel:
        labels = products.labels(names)
        return EqualLabel(labels[queries], labels[gallery])

    relevant: list[Matcher] = [equal(config.relevant)] if config.relevant else []
    if config.linked:
        relevant.append(_linked(config.linked, products, queries, gallery))
    wrong: list[Matcher] = []
    if config.pairs:
        judged = list(read_pairs(Path(resolve(config.pairs))))
        relevant.append(_judged([p for p in judged if p.weight > 0], products, queries, gallery))
        if config.counts_not_similar:
            wrong.append(_judged([p for p in judged if p.weight < 0], products, queries, gallery))
    hidden: list[Matcher] = [EqualLabel(queries, gallery)] if config.kind == "item" else []
    if config.exclude_item_group or groups is not None:
        hidden.append(EqualLabel(products.groups[queries], products.groups[gallery]))
    rungs = [Rung(equal(g.relevant), g.grade) for g in config.grades]
    if groups is None:
        return Relevance(relevant, num_gallery=len(gallery), rungs=rungs, hidden=hidden, wrong=wrong)
    return Relevance(
        [Grouped(m, groups) for m in relevant],
        num_gallery=int(groups.max(initial=-1)) + 1,
        rungs=[Rung(Grouped(r.matcher, groups), r.grade) for r in rungs],
        hidden=[Grouped(m, groups) for m in hidden],
        wrong=[Grouped(m, groups) for m in wrong],
    )


def _linked(names: Sequence[str], products: Products, queries: Positions, gallery: Positions) -> Listed:
    """Match the gallery products whose id or item group a query's attributes list."""
    groups = products.values("item_group_id")
    known: dict[str, list[int]] = {}
    for row, position in enumerate(gallery):
        for name in {products.ids[position], groups[position]} - {None}:
            known.setdefault(str(name), []).append(row)
    columns = [products.values(name) for name in names]
    found: list[tuple[int, int]] = []
    for q, position in enumerate(queries):
        for column in columns:
            for link in (column[position] or "").split("|"):
                found += [(q, row) for row in known.get(link.strip(), ())]
    return _listed(found, len(queries))


def _judged(
    pairs: Sequence[JudgedPair], products: Products, queries: Positions, gallery: Positions
) -> Listed:
    """Match what a person judged, either way round."""
    query = {products.ids[p]: row for row, p in enumerate(queries)}
    found_at = {products.ids[p]: row for row, p in enumerate(gallery)}
    both = [(p.left_id, p.right_id) for p in pairs] + [(p.right_id, p.left_id) for p in pairs]
    found = [(query[a], found_at[b]) for a, b in both if a in query and b in found_at]
    return _listed(found, len(queries))


def _listed(found: Sequence[tuple[int, int]], num_queries: int) -> Listed:
    both = np.array(found, np.int64).reshape(-1, 2)
    return Listed(both[:, 0], both[:, 1], num_queries)
