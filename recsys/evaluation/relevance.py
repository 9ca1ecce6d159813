"""The ground truth of a task: which gallery products are relevant to which queries, and how much.

    Q = queries, G = results: gallery products or, where variants are collapsed, item groups
    B = queries of a chunk

Pairs of queries and products are never all held at once: a :data:`Matcher` makes them for some queries.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys.config.evaluation import TaskConfig
from recsys.evaluation.products import Positions, Products
from recsys.metrics.exact import Ints
from recsys.workspace.pairs import JudgedPair, read_pairs

Bools = NDArray[np.bool_]
Grades = NDArray[np.int8]
Matcher = Callable[[Ints], Bools]
"""Query rows ``[B]`` → which gallery products match ``[B, gallery]``."""

_CELLS_AT_ONCE = 16 << 20


class RelevanceChunk(NamedTuple):
    """What is known of some queries and every result."""

    hidden: Bools
    """``[B, G]``: must not be among the query's results."""
    relevant: Bools
    """``[B, G]``; nothing hidden."""
    grades: Grades
    """``[B, G]``: relevance grade, 0 for none, -1 for a product judged not similar."""


class Relevance:
    """What is relevant to every query of a task."""

    def __init__(
        self,
        relevant: Sequence[Matcher],
        *,
        shape: tuple[int, int],
        hidden: Sequence[Matcher] = (),
        not_similar: Sequence[Matcher] = (),
        grades: Sequence[tuple[int, Matcher]] = (),
        group_starts: Ints | None = None,
    ) -> None:
        """Take the matchers of ``shape`` = (queries, gallery products).

        A pair is relevant where any of ``relevant`` matches and nothing hides it. Its grade is the highest
        of ``grades`` that matches, and at least 1 if it is relevant. With ``group_starts`` (the gallery is
        ordered by group; where each begins) results are groups: one matches where any of its products does.
        """
        self._relevant, self._hidden, self._not_similar = list(relevant), list(hidden), list(not_similar)
        self._grades, self._group_starts = list(grades), group_starts
        self._rows, self._num_gallery = np.arange(shape[0]), shape[1]

    def keep(self, rows: Ints) -> None:
        """Leave out all queries but ``rows``, which are numbered from 0 from now on."""
        self._rows = self._rows[rows]

    def chunk(self, rows: Ints) -> RelevanceChunk:
        """Return what is known of the queries ``rows`` ``[B]``."""
        hidden = self._any(self._hidden, rows)
        relevant = self._any(self._relevant, rows) > hidden  # and not hidden, in one pass
        plain = not (self._grades or self._not_similar)
        grades = relevant.view(np.int8) if plain else relevant.astype(np.int8)
        for grade, matcher in self._grades:
            np.maximum(grades, grade, out=grades, where=self._any([matcher], rows) > hidden)
        if self._not_similar:
            grades[self._any(self._not_similar, rows) & ~hidden & ~relevant] = -1
        return RelevanceChunk(hidden, relevant, grades)

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return, per query ``[Q]``, how many results are relevant, and how many were judged not similar."""
        num_relevant, num_not_similar = np.zeros((2, len(self._rows)), np.int64)
        size = max(1, _CELLS_AT_ONCE // max(self._num_gallery, 1))
        for start in range(0, len(self._rows), size):
            rows = np.arange(start, min(start + size, len(self._rows)))
            _, relevant, grades = self.chunk(rows)
            num_relevant[rows] = _count(relevant)
            num_not_similar[rows] = _count(grades < 0) if self._not_similar else 0
        return num_relevant, num_not_similar

    def _any(self, matchers: Sequence[Matcher], rows: Ints) -> Bools:
        """Return where any matcher matches, ``[B, G]``."""
        parts = [matcher(self._rows[rows]) for matcher in matchers]
        found = reduce(np.logical_or, parts) if parts else np.zeros((len(rows), self._num_gallery), np.bool_)
        if self._group_starts is None:
            return found
        grouped: Bools = np.logical_or.reduceat(found, self._group_starts, axis=1)
        return grouped


def ideal_grades(grades: Grades, depth: int) -> Grades:
    """Return the ``depth`` highest of each row's ``grades`` ``[B, G]``, descending and padded with 0."""
    ideal = np.zeros((len(grades), depth), np.int8)
    for grade in range(1, int(grades.max(initial=0)) + 1):
        ideal[np.arange(depth) < _count(grades >= grade)[:, None]] = grade
    return ideal


def _count(flags: Bools) -> NDArray[np.int64]:
    """Return how many are true in each row: faster than along the axis at once."""
    return np.array([np.count_nonzero(row) for row in flags], np.int64)


def ground_truth(
    config: TaskConfig,
    products: Products,
    queries: Positions,
    gallery: Positions,
    *,
    group_starts: Positions | None,
    resolve: Callable[[str], str],
) -> Relevance:
    """Return what the task ``config`` says is relevant to ``queries`` among ``gallery``.

    With ``group_starts`` (where each item group begins in the gallery) among its groups instead; a query's
    own group is then hidden. ``resolve`` makes the path of judged pairs absolute. Raises
    :class:`~recsys.errors.ConfigError` for a column that does not exist.
    """
    shape = len(queries), len(gallery)

    def equal(columns: Sequence[str]) -> Matcher:
        labels = products.labels(columns)
        return equal_labels(labels[queries], labels[gallery])

    relevant = [equal(config.relevant)] if config.relevant else []
    not_similar = []
    if config.linked:
        relevant.append(listed_pairs(_linked(config.linked, products, queries, gallery), shape))
    if config.pairs:
        judged = list(read_pairs(Path(resolve(config.pairs))))
        similar = [p for p in judged if p.weight > 0]
        relevant.append(listed_pairs(_judged(similar, products, queries, gallery), shape))
        if config.counts_not_similar:
            different = [p for p in judged if p.weight < 0]
            not_similar.append(listed_pairs(_judged(different, products, queries, gallery), shape))
    hidden = [equal_labels(queries, gallery)] if config.kind == "item" else []
    if config.exclude_item_group or group_starts is not None:
        hidden.append(equal_labels(products.groups[queries], products.groups[gallery]))
    return Relevance(
        relevant, shape=shape, hidden=hidden, not_similar=not_similar,
        grades=[(g.grade, equal(g.relevant)) for g in config.grades], group_starts=group_starts,
    )  # fmt: skip


def equal_labels(queries: Ints, gallery: Ints) -> Matcher:
    """Match a query with the gallery products of the same label; -1 is no label."""
    wanted, labels = np.where(queries < 0, -2, queries).astype(np.int32), gallery.astype(np.int32)
    return lambda rows: wanted[rows, None] == labels


def listed_pairs(pairs: Sequence[tuple[int, int]], shape: tuple[int, int]) -> Matcher:
    """Match the (query row, gallery row) pairs of a list."""
    row, position = np.array(pairs, np.int64).reshape(-1, 2).T
    table = csr_array((np.ones(len(row), np.bool_), (row, position)), shape=shape)
    return lambda rows: np.asarray(table[rows].toarray())


def _linked(
    names: Sequence[str], products: Products, queries: Positions, gallery: Positions
) -> list[tuple[int, int]]:
    """Return the gallery products whose id or item group a query's attributes list."""
    groups = products.values("item_group_id")
    known: dict[str | None, list[int]] = {}
    for row, position in enumerate(gallery):
        for name in {products.ids[position], groups[position]} - {None}:
            known.setdefault(name, []).append(row)
    columns = [products.values(name) for name in names]
    return [
        (q, row)
        for q, position in enumerate(queries)
        for column in columns
        for link in (column[position] or "").split("|")
        for row in known.get(link.strip(), ())
    ]


def _judged(
    pairs: Sequence[JudgedPair], products: Products, queries: Positions, gallery: Positions
) -> list[tuple[int, int]]:
    """Return the judged pairs of a query and a gallery product, either way round."""
    query = {products.ids[p]: row for row, p in enumerate(queries)}
    found_at = {products.ids[p]: row for row, p in enumerate(gallery)}
    both = [(p.left_id, p.right_id) for p in pairs] + [(p.right_id, p.left_id) for p in pairs]
    return [(query[a], found_at[b]) for a, b in both if a in query and b in found_at]
