"""Which gallery products are right answers to which queries: by equal labels, by listed ids, by judged pairs.

    Q = queries, G = gallery; codes are integers, -1 where a product has no value

A :class:`Relevance` joins a binary rule (for every metric but nDCG), graded rungs (for nDCG) and what is
hidden from a query: itself and, where asked, its variants. It hands out *marks*, one byte per pair
(``2 * grade + relevant``), which :func:`recsys.metrics.exact.rank_marks` carries along the ranking.

The right answers of a task, from what its configuration names: columns, links, judged pairs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.metrics.exact import Ints, Marks, Pairs

MAX_GRADE = 127
_AT_ONCE = 1 << 20


class Matcher(Protocol):
    """Anything that pairs queries with gallery products."""

    def pairs(self, rows: Ints) -> Pairs:
        """Return the pairs of the queries ``rows``, ascending; ``Pairs.row`` indexes ``rows``."""
        ...


class EqualLabel:
    """A gallery product matches where its label is the query's."""

    def __init__(self, queries: Ints, gallery: Ints) -> None:
        """Take label codes ``[Q]`` and ``[G]``; -1 matches nothing."""
        self._order = np.argsort(gallery, kind="stable")
        ordered = gallery[self._order]
        self._start = np.searchsorted(ordered, queries, side="left")
        self._count = np.searchsorted(ordered, queries, side="right") - self._start
        self._count[queries < 0] = 0

    def pairs(self, rows: Ints) -> Pairs:
        """Return the pairs of the queries ``rows``."""
        row, at = _expand(self._start[rows], self._count[rows])
        return Pairs(row, self._order[at])


class Listed:
    """A gallery product matches where it is listed for the query."""

    def __init__(self, query: Ints, position: Ints, num_queries: int) -> None:
        """Take pairs ``[P]``: query row and gallery position; repeats are dropped."""
        both = np.unique(np.stack([query, position], axis=1).reshape(-1, 2), axis=0)
        self._position = both[:, 1]
        self._count = np.bincount(both[:, 0].astype(np.int64), minlength=num_queries)
        self._start = np.cumsum(self._count) - self._count

    def pairs(self, rows: Ints) -> Pairs:
        """Return the pairs of the queries ``rows``."""
        row, at = _expand(self._start[rows], self._count[rows])
        return Pairs(row, self._position[at])


class Grouped:
    """Another matcher, seen by groups of gallery products: a group matches where any member does."""

    def __init__(self, matcher: Matcher, group: Ints) -> None:
        """Take the group of every gallery product ``[G]``, ascending from 0."""
        self._matcher, self._group, self._num_groups = matcher, group, int(group.max(initial=-1)) + 1

    def pairs(self, rows: Ints) -> Pairs:
        """Return the pairs of the queries ``rows``; positions are of groups."""
        found = self._matcher.pairs(rows)
        return _join(self._num_groups, [Pairs(found.row, self._group[found.position])])


class Rung(NamedTuple):
    """One rung of graded relevance."""

    matcher: Matcher
    grade: int


class Relevance:
    """The right answers of every query of a task."""

    def __init__(
        self,
        relevant: Sequence[Matcher],
        *,
        num_gallery: int,
        rungs: Sequence[Rung] = (),
        hidden: Sequence[Matcher] = (),
        wrong: Sequence[Matcher] = (),
    ) -> None:
        """Join the rules: a pair is relevant where any of ``relevant`` matches and nothing hides it.

        With no ``rungs`` every right answer has grade 1; with some, the highest that a pair meets (a right
        answer at least 1). What ``wrong`` matches was judged not to be an answer: it has a grade and is not
        relevant, which goes without ``rungs`` only. That, or grades beyond 127, raise ``ValueError``.
        """
        if rungs and wrong:
            raise ValueError("wrong answers are marked by a grade, and rungs are grades of their own")
        if any(not 1 <= r.grade <= MAX_GRADE for r in rungs):
            raise ValueError(f"grades go from 1 to {MAX_GRADE}, found {[r.grade for r in rungs]}")
        self._relevant, self._rungs, self._hidden = list(relevant), list(rungs), list(hidden)
        self._wrong = list(wrong)
        self._num_gallery = num_gallery

    def hidden(self, rows: Ints) -> Pairs:
        """Return the pairs that must not appear in the results of ``rows``."""
        return _join(self._num_gallery, [m.pairs(rows) for m in self._hidden])

    def marks(self, rows: Ints) -> tuple[Pairs, Marks]:
        """Return every pair of ``rows`` that is relevant or graded, and its mark."""
        found = [(m.pairs(rows), 2 + 1) for m in self._relevant]
        found += [(r.matcher.pairs(rows), 2 * r.grade) for r in self._rungs]
        found += [(m.pairs(rows), 2) for m in self._wrong]
        keys = [_key(p, self._num_gallery) for p, _ in found]
        values = [np.full(len(k), mark, np.uint8) for k, (_, mark) in zip(keys, found, strict=True)]
        key, value = (keys[0], values[0]) if len(keys) == 1 else _merge(keys, values)
        hidden = _key(self.hidden(rows), self._num_gallery)
        at = np.searchsorted(key, hidden)
        at = at[at < len(key)][key[at[at < len(key)]] == hidden[at < len(key)]]
        kept = np.ones(len(key), np.bool_)
        kept[at] = False
        return _pairs(key[kept], self._num_gallery), value[kept]

    def totals(self, rows: Ints, depth: int) -> tuple[NDArray[np.int64], Marks]:
        """Return R ``[B]`` of the queries ``rows`` and their ideal grades ``[B, depth]``, descending."""
        pairs, marks = self.marks(rows)
        num_relevant = np.bincount(pairs.row[(marks & 1) == 1], minlength=len(rows))
        order = np.lexsort((-(marks >> 1).astype(np.int16), pairs.row))
        row, grade = pairs.row[order], (marks >> 1)[order]
        counts = np.bincount(row, minlength=len(rows))
        rank = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
        ideal = np.zeros((len(rows), depth), np.uint8)
        ideal[row[rank < depth], rank[rank < depth]] = grade[rank < depth]
        return num_relevant, ideal

    def num_wrong(self, rows: Ints) -> NDArray[np.int64]:
        """Return how many gallery products were judged wrong for each of the queries ``rows``, ``[B]``."""
        if not self._wrong:
            return np.zeros(len(rows), np.int64)
        pairs, marks = self.marks(rows)
        return np.bincount(pairs.row[(marks & 1) == 0], minlength=len(rows))


def totals(
    relevance: Relevance, num_queries: int, num_gallery: int, depth: int
) -> tuple[NDArray[np.int64], Marks]:
    """Return R and ideal grades of all queries, in blocks, so that the pairs of a block fit in memory."""
    size = max(1, _AT_ONCE // max(num_gallery, 1))
    blocks = [np.arange(i, min(i + size, num_queries)) for i in range(0, num_queries, size)]
    parts = [relevance.totals(rows, depth) for rows in blocks]
    if not parts:
        return np.zeros(0, np.int64), np.zeros((0, depth), np.uint8)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def split_marks(marks: Marks) -> tuple[NDArray[np.bool_], Marks]:
    """Return (relevant, grade), each shaped like ``marks``."""
    relevant: NDArray[np.bool_] = (marks & np.uint8(1)) == 1
    grade: Marks = marks >> np.uint8(1)
    return relevant, grade


def codes(values: Sequence[Any]) -> NDArray[np.int64]:
    """Return one code per value, equal for equal values, -1 for ``None``; order of first appearance."""
    table: dict[Any, int] = {}
    found = [-1 if v is None else table.setdefault(v, len(table)) for v in values]
    return np.array(found, np.int64).reshape(len(values))


def _expand(start: Ints, count: Ints) -> tuple[Ints, Ints]:
    """Return, for ranges ``start .. start + count``, the range's index and each member, flat."""
    row = np.repeat(np.arange(len(start)), count)
    at = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)
    return row, at


def _join(num_gallery: int, parts: Sequence[Pairs]) -> Pairs:
    keys = [_key(p, num_gallery) for p in parts]
    return _pairs(np.unique(np.concatenate(keys)) if keys else np.empty(0, np.int64), num_gallery)


def _merge(keys: list[NDArray[np.int64]], values: list[Marks]) -> tuple[NDArray[np.int64], Marks]:
    """Return the union of keys, ascending, each with its highest grade and whether it is relevant."""
    key, value = np.concatenate(keys), np.concatenate(values)
    order = np.argsort(key, kind="stable")
    key, value = key[order], value[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    if not len(first):
        return key, value
    relevant, grade = split_marks(value)
    best = 2 * np.maximum.reduceat(grade, first) + np.logical_or.reduceat(relevant, first)
    return key[first], best.astype(np.uint8)


def _key(pairs: Pairs, num_gallery: int) -> NDArray[np.int64]:
    return pairs.row.astype(np.int64) * num_gallery + pairs.position


def _pairs(keys: NDArray[np.int64], num_gallery: int) -> Pairs:
    row, position = np.divmod(keys, max(num_gallery, 1))
    return Pairs(row, position)
