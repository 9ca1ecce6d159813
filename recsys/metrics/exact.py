"""Exact search in chunks: the first k of every query, or the marks along its ranking, in bounded memory.

    Q = queries, G = gallery, D = dimensions, B = queries of one chunk, K = results kept
    S[b, g] = scores of one chunk

A chunk's scores fill at most ``chunk_bytes``, its results at most two million entries. Selecting K of G
costs far less than the product that made the scores: the K-th largest of the maxima of G/32 groups is a
lower bound of the K-th largest score, so one maximum and one comparison leave hardly more than K candidates
per query to sort.

Equal scores are ordered by gallery position, always; a score that is not a number is an error.

Does not know: products, metrics, encoders. numpy only; threads are those of its BLAS.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Ints = NDArray[np.integer[Any]]
Marks = NDArray[np.uint8]

CHUNK_BYTES = 32 << 20
_GROUP = 32
_MIN_ROWS = 16
_TILE = 8192
_SORTED_AT_ONCE = 1 << 20
_RESULTS_AT_ONCE = 2 << 20
"""Results, and so about as many marked pairs, of one chunk: 16 bytes and more each."""


class Term(NamedTuple):
    """One weighted dot product of a similarity."""

    queries: Float32  # [Q, D]
    gallery: Float32  # [G, D]
    weight: float = 1.0


class Similarity:
    """A weighted sum of dot products: one term for one modality, two for a fused comparison."""

    def __init__(self, terms: Sequence[Term]) -> None:
        """Check the shapes; raises ``ValueError`` on a mismatch or a value that is not finite."""
        sizes = {(len(t.queries), len(t.gallery)) for t in terms}
        if len(sizes) != 1 or any(t.queries.shape[1] != t.gallery.shape[1] for t in terms):
            shapes = [(t.queries.shape, t.gallery.shape) for t in terms]
            raise ValueError(f"terms need equal Q, equal G and one D each, found {shapes}")
        for array in (a for t in terms for a in (t.queries, t.gallery)):
            _check_finite(array)
        self._terms = list(terms)
        self.num_queries, self.num_gallery = sizes.pop()
        self.width = self.num_gallery
        """Scores computed per query."""

    def scores(self, rows: Ints, out: Float32) -> None:
        """Write the scores of the queries ``rows`` ``[B]`` into ``out`` ``[B, G]``."""
        first, *rest = self._terms
        np.matmul(_weighted(first, rows), first.gallery.T, out=out)
        for term in rest:
            queries = _weighted(term, rows)
            for start in range(0, len(term.gallery), _TILE):
                part = slice(start, start + _TILE)
                out[:, part] += queries @ term.gallery[part].T


class Collapsed(Similarity):
    """A similarity to groups of gallery vectors: a group scores as its best member. G = groups."""

    def __init__(self, terms: Sequence[Term], starts: Ints) -> None:
        """Take a gallery whose groups are contiguous and begin at ``starts`` ``[G]``, the first at 0."""
        super().__init__(terms)
        self._starts, self.num_gallery = starts, len(starts)

    def scores(self, rows: Ints, out: Float32) -> None:
        """Write the scores of the queries ``rows`` ``[B]`` into ``out`` ``[B, G]``."""
        members = np.empty((len(rows), self.width), np.float32)
        super().scores(rows, members)
        np.maximum.reduceat(members, self._starts, axis=1, out=out)


class Pairs(NamedTuple):
    """Some (query of the chunk, gallery position) pairs, each at most once."""

    row: Ints  # [P], index into the rows asked for
    position: Ints  # [P], gallery position


def top_k(
    similarity: Similarity,
    k: int,
    hidden: Callable[[Ints], Pairs] | None = None,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> tuple[Float32, NDArray[np.int64]]:
    """Return the scores ``[Q, k]`` (descending) and gallery positions ``[Q, k]`` of each query's best.

    ``hidden`` gives, for some query rows, the pairs that must not appear. Where fewer than ``k`` products
    remain, scores are -inf and positions -1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, found {k}")
    scores = np.full((similarity.num_queries, k), -np.inf, np.float32)
    positions = np.full((similarity.num_queries, k), -1, np.int64)
    for rows, s in _chunks(similarity, np.full(similarity.num_queries, k), hidden, chunk_bytes):
        found = select(s, k)
        scores[rows, : found.scores.shape[1]], positions[rows, : found.scores.shape[1]] = found
    return scores, positions


def rank_marks(
    similarity: Similarity,
    depths: Ints,
    marks: Callable[[Ints], tuple[Pairs, Marks]],
    hidden: Callable[[Ints], Pairs] | None = None,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[tuple[Ints, Marks]]:
    """Yield ``(rows, marks_at_rank)`` per chunk: the mark of the result at each rank of each query.

    ``depths`` ``[Q]`` says how many ranks a query needs; queries of 0 are left out. ``marks`` gives, for
    some query rows, the pairs that carry a mark and that mark (1 to 255). ``marks_at_rank`` is
    ``[B, K]`` with K the chunk's largest depth; 0 stands for no mark or no result.
    """
    board: Marks = np.zeros((0, similarity.num_gallery), np.uint8)
    for rows, s in _chunks(similarity, depths, hidden, chunk_bytes):
        if len(board) < len(rows):
            board = np.zeros(s.shape, np.uint8)
        pairs, values = marks(rows)
        board[pairs.row, pairs.position] = values
        positions = select(s, int(depths[rows].max())).positions
        found = np.take_along_axis(board[: len(rows)], np.maximum(positions, 0), axis=1)
        found[positions < 0] = 0
        board[pairs.row, pairs.position] = 0
        yield rows, found


class Selection(NamedTuple):
    """The best of one chunk, in order."""

    scores: Float32  # [B, K], descending; -inf where nothing is left
    positions: NDArray[np.int64]  # [B, K]; -1 where nothing is left


def select(s: Float32, k: int) -> Selection:
    """Return each row's ``min(k, G)`` largest, descending, ties by position; -inf is never selected."""
    k = min(k, s.shape[1])
    step = max(1, _SORTED_AT_ONCE // max(k, 1))
    if len(s) > step:
        parts = [select(s[i : i + step], k) for i in range(0, len(s), step)]
        return Selection(
            np.concatenate([p.scores for p in parts]), np.concatenate([p.positions for p in parts])
        )
    row, position = _candidates(s, k)
    counts = np.bincount(row, minlength=len(s))
    starts = np.cumsum(counts) - counts
    width = max(int(counts.max(initial=0)), k)
    scores = np.full((len(s), width), -np.inf, np.float32)
    positions = np.full((len(s), width), -1, np.int64)
    slot = np.arange(len(row)) - starts[row]
    scores[row, slot], positions[row, slot] = s[row, position], position
    order = _descending(scores)[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    where = np.take_along_axis(positions, order, axis=1)
    where[np.isneginf(best)] = -1
    return Selection(best, where)


def _chunks(
    similarity: Similarity, depths: Ints, hidden: Callable[[Ints], Pairs] | None, chunk_bytes: int
) -> Iterator[tuple[Ints, Float32]]:
    """Yield query rows and their scores; queries of like depth share a chunk. The buffer is reused."""
    order = np.argsort(depths, kind="stable")
    order = order[depths[order] > 0]
    size = max(_MIN_ROWS, chunk_bytes // (4 * max(similarity.width, 1)))
    buffer = np.empty((min(size, len(order)), similarity.num_gallery), np.float32)
    start = 0
    while start < len(order):
        end = min(start + size, len(order))
        deepest = int(depths[order[end - 1]])
        end = min(end, start + max(1, _RESULTS_AT_ONCE // deepest))
        rows = np.sort(order[start:end])
        start = end
        s = buffer[: len(rows)]
        similarity.scores(rows, s)
        if hidden is not None:
            pairs = hidden(rows)
            s[pairs.row, pairs.position] = -np.inf
        yield rows, s


def _candidates(s: Float32, k: int) -> tuple[Ints, Ints]:
    """Return (row, position), ordered, of a superset of each row's ``k`` best: rarely much larger."""
    num_groups = s.shape[1] // _GROUP
    if k * 8 <= num_groups:
        groups = s[:, : num_groups * _GROUP].reshape(len(s), _GROUP, num_groups).max(axis=1)
        bound = np.partition(groups, num_groups - k, axis=1)[:, num_groups - k]
        rows_left: Ints = np.arange(0)
    else:
        bound = np.full(len(s), np.inf, np.float32)
        rows_left = np.arange(len(s))
    mask = s >= np.maximum(bound, np.finfo(np.float32).min)[:, None]  # -inf is hidden: never a candidate
    many = np.count_nonzero(mask, axis=1) > 2 * k + _GROUP
    rows_left = np.union1d(rows_left, np.flatnonzero(many))
    for r in rows_left:
        mask[r] = _exactly(s[r], k)
    row, position = np.divmod(np.flatnonzero(mask), s.shape[1])
    return row, position


def _exactly(row: Float32, k: int) -> NDArray[np.bool_]:
    """Return the mask of exactly the ``k`` best of one row ``[G]`` (fewer where -inf fills it)."""
    bound = np.partition(row, len(row) - k)[len(row) - k]
    mask: NDArray[np.bool_] = row > bound
    if not np.isneginf(bound):
        mask[np.flatnonzero(row == bound)[: k - np.count_nonzero(mask)]] = True
    return mask


def _descending(scores: Float32) -> NDArray[np.int64]:
    """Return the stable order of each row, largest first.

    The fast sort is not stable, so rows in which a finite score repeats are sorted again.
    """
    negative = -scores
    order: NDArray[np.int64] = np.argsort(negative, axis=1)
    ordered = np.take_along_axis(negative, order, axis=1)
    tied = np.any((ordered[:, 1:] == ordered[:, :-1]) & np.isfinite(ordered[:, 1:]), axis=1)
    order[tied] = np.argsort(negative[tied], axis=1, kind="stable")
    return order


def _weighted(term: Term, rows: Ints) -> Float32:
    queries: Float32 = term.queries[rows]
    return queries if term.weight == 1.0 else queries * np.float32(term.weight)


def _check_finite(array: Float32) -> None:
    for start in range(0, len(array), _TILE):
        if not np.isfinite(array[start : start + _TILE]).all():
            raise ValueError(f"vectors {array.shape} hold values that are not finite")
