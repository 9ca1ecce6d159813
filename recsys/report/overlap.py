"""How nearest neighbours change when another encoder takes over: overlap@10, and what changes most.

overlap@10 is how many of a product's 10 nearest neighbours are the same under both encoders. Variants of one
product count as one neighbour, and a product's own are left out. Exact, among the products that both sets of
vectors hold; memory is one batch, the queries and a few numbers per product.

    N = products compared, G = their item groups, Q = queries, K = neighbours of a query
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.metrics.clusters import mean_share
from recsys.metrics.exact import Term, score_chunks, top_k
from recsys.metrics.neighbourhoods import is_shared
from recsys.report.vectors import first_by_hash
from recsys.workspace.columns import attribute_of, read_column
from recsys.workspace.embeddings import EmbeddingSet
from recsys.workspace.snapshot import Snapshot

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
K = 10
MAX_QUERIES = 2000
_NUM_CHANGED, _NUM_SHOWN = 20, 6
_BATCH_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The products compared, under one encoder; rows of one item group are next to each other."""

    embeddings: EmbeddingSet
    positions: Ints
    """``[N]``: where each row's product is in the set."""
    starts: Ints
    """``[G]``: the first row of each item group."""
    image_weight: float

    def nearest(self, queries: Ints) -> Ints:
        """Return the K nearest item groups of each row of ``queries`` ``[Q]``, best first, ``[Q, K]``.

        A group is as near as its nearest variant. -1 where there are fewer groups.
        """
        own, asked = self.group_of(queries), self.embeddings.select(self.positions[queries]).vectors
        found = np.full((len(queries), K), -1, np.int64)
        best = np.full(found.shape, -np.inf, np.float32)
        ends, first = self._ends(), 0
        while first < len(self.starts):
            start = self.starts[first]
            last = max(first + 1, int(np.searchsorted(ends, start + _BATCH_SIZE, side="right")))
            batch = self.embeddings.select(self.positions[start : ends[last - 1]]).vectors
            image = Term(asked.image, batch.image, self.image_weight)
            text = Term(asked.text, batch.text, 1 - self.image_weight)
            terms = [term for term in (image, text) if term.weight > 0]
            for rows, products in score_chunks(terms, np.full(len(queries), K)):
                scores = np.maximum.reduceat(products, self.starts[first:last] - start, axis=1)
                groups = np.broadcast_to(np.arange(first, last), scores.shape)
                scores[groups == own[rows, None]] = -np.inf
                scores = np.concatenate([best[rows], scores], axis=1)
                groups = np.concatenate([found[rows], groups], axis=1)
                top = top_k(scores, K)
                best[rows] = np.where(top < 0, -np.inf, np.take_along_axis(scores, top, axis=1))
                found[rows] = np.where(top < 0, -1, np.take_along_axis(groups, top, axis=1))
            first = last
        return found

    def shown(self, query: int, groups: Ints, kept: Bools) -> list[dict[str, Any]]:
        """Return, of each of ``groups``, the variant nearest to row ``query``: ``id``, ``score``, ``kept``.

        ``kept`` says of each group whether the other encoder has it too.
        """
        asked = self.embeddings.select(self.positions[[query]]).vectors
        ends, found = self._ends(), []
        for group, is_kept in zip(groups, kept, strict=True):
            variants = self.embeddings.select(self.positions[self.starts[group] : ends[group]])
            image, text = variants.vectors.image @ asked.image[0], variants.vectors.text @ asked.text[0]
            scores = self.image_weight * image + (1 - self.image_weight) * text
            i = int(scores.argmax())
            found.append({"id": variants.ids[i], "score": float(scores[i]), "kept": bool(is_kept)})
        return found

    def group_of(self, rows: Ints) -> Ints:
        """Return the item group of each of ``rows``, in 0 to G - 1."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def _ends(self) -> Ints:
        return np.append(self.starts[1:], len(self.positions))


def compare(
    snapshot: Snapshot, before: EmbeddingSet, after: EmbeddingSet, *, image_weight: float, breakdown_by: str
) -> dict[str, Any] | None:
    """Return how neighbours change from ``before`` to ``after``, the set of ``snapshot``.

    ``None`` where the two have too few products in common. The result has ``k``, ``num_products`` (N),
    ``num_queries`` (Q, at most :data:`MAX_QUERIES`: those of the first hashes), the mean overlap as a share
    of k (``value``, and the ends ``low`` and ``high`` of its 95% interval), ``distribution`` (queries that
    keep 0 to k), ``categories`` by the column or attribute ``breakdown_by`` (``name``, ``num_queries``,
    ``value``, ``low``, ``high``; most queries first) and ``changed``: the products that keep the fewest, one
    of an item group, each ``id``, ``num_kept``, ``before`` and ``after``: its nearest, with ``kept`` where
    both encoders have it among the k.
    """
    attribute = attribute_of(breakdown_by)
    products = snapshot.table(["item_group_id", breakdown_by if attribute is None else "attributes"])
    old, new = common_products(before, after)
    groups = _item_groups(products.column("item_group_id").take(pa.array(new)))
    order = np.argsort(groups, kind="stable")
    starts = np.unique(groups[order], return_index=True)[1]
    if len(starts) < K + 2:
        return None
    old, new = old[order], new[order]
    sides = {
        name: Gallery(embeddings=embeddings, positions=positions, starts=starts, image_weight=image_weight)
        for name, embeddings, positions in (("before", before, old), ("after", after, new))
    }
    every = after.ids()
    ids = [every[p] for p in new]
    queries = np.array(first_by_hash(ids, MAX_QUERIES))
    nearest = {name: side.nearest(queries) for name, side in sides.items()}
    kept = {
        "before": is_shared(nearest["before"], nearest["after"]),
        "after": is_shared(nearest["after"], nearest["before"]),
    }
    num_kept = kept["before"].sum(axis=1)
    own = sides["after"].group_of(queries)
    labels = read_column(products, breakdown_by, setting="evaluation.tasks")
    return {
        "k": K,
        "num_products": len(ids),
        "num_queries": len(queries),
        **mean_share(num_kept / K, own),
        "distribution": np.bincount(num_kept, minlength=K + 1).tolist(),
        "categories": _by_category(num_kept, own, [labels[p] for p in new[queries]]),
        "changed": [
            {
                "id": ids[queries[q]],
                "num_kept": int(num_kept[q]),
                **{
                    name: side.shown(queries[q], nearest[name][q, :_NUM_SHOWN], kept[name][q, :_NUM_SHOWN])
                    for name, side in sides.items()
                },
            }
            for q in _most_changed(num_kept, own)
        ],
    }


def common_products(before: EmbeddingSet, after: EmbeddingSet) -> tuple[Ints, Ints]:
    """Return the positions, in each of the sets, of the products that both hold with equal content, ``[N]``.

    Where most contents differ, the encoders read other columns, and a product's content is not looked at.
    """
    known = pa.array(before.ids(), pa.string())
    at = pc.index_in(pa.array(after.ids(), pa.string()), value_set=known)
    old = at.drop_null().to_numpy().astype(np.int64)
    new = np.flatnonzero(at.is_valid().to_numpy(zero_copy_only=False))
    equal = pc.equal(before.keys().take(pa.array(old)), after.keys().take(pa.array(new))).to_numpy()
    return (old[equal], new[equal]) if 2 * equal.sum() >= len(equal) else (old, new)


def _item_groups(column: pa.ChunkedArray) -> Ints:
    """Return the first row of each row's item group, ``[N]``; a product without one is a group of its own."""
    codes = column.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return np.where(codes < 0, np.arange(len(codes)), first[inverse])


def _by_category(num_kept: Ints, groups: Ints, labels: list[str | None]) -> list[dict[str, Any]]:
    rows: dict[str, list[int]] = {}
    for q, label in enumerate(labels):
        if label is not None:
            rows.setdefault(label, []).append(q)
    return [
        {
            "name": name,
            "num_queries": len(rows[name]),
            **mean_share(num_kept[rows[name]] / K, groups[rows[name]]),
        }
        for name in sorted(rows, key=lambda name: (-len(rows[name]), name))
    ]


def _most_changed(num_kept: Ints, groups: Ints) -> Ints:
    """Return the queries that keep the fewest, one of an item group; the first of those that keep as many."""
    order = np.argsort(num_kept, kind="stable")
    order = order[np.sort(np.unique(groups[order], return_index=True)[1])]
    return order[num_kept[order] < K][:_NUM_CHANGED]
