"""What the published vectors look like tonight, in five figures, beside the night before.

    drift     share of the new products that are unlike the others (:mod:`recsys.training.drift`)
    isolated  share of products whose nearest other is farther than 95% had it on this encoder's first night
    churn     1 - overlap@10 with the night before, of the products of both nights
    hubness   skewness of N_10: in how many lists of the 10 nearest a product is
    antihubs  share of products with N_10 = 0

Variants count as one product: the first of an item group by id stands for it. Of many a sample is looked at,
whose neighbours are searched among itself: the first hashes of both nights, so that it stays the same as far
as the catalog does. Similarity is that of the stored vectors, image and text by half.

    C = chosen of both nights, N = those of tonight, Q = those of both, K = neighbours of each
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.metrics.clusters import mean_share
from recsys.metrics.neighbourhoods import k_nearest, k_occurrences, overlap, skewness
from recsys.report.vectors import Array, first_by_hash
from recsys.training.drift import MIN_PRODUCTS, is_unlike
from recsys.workspace import Workspace
from recsys.workspace.columns import attribute_of, read_column
from recsys.workspace.embeddings import EmbeddingSet, product_vectors
from recsys.workspace.snapshot import Snapshot

K = 10
MAX_PRODUCTS, MAX_NEW = 5_000, 2_000
"""Item groups that are looked at, and new ones that are compared with them."""
ISOLATED = 0.05
"""Share of products that count as isolated on an encoder's first night."""
_HELD_OUT = 5
"""One standing product of so many says how far apart products of this catalog are."""
_MAX_CATEGORIES = 12


class ItemGroups:
    """The item groups of an embedding set, each with its first product."""

    def __init__(self, workspace: Workspace, embeddings: EmbeddingSet) -> None:
        """Raise :class:`ArtifactError` where the set's snapshot is gone."""
        self._embeddings = embeddings
        self._snapshot = Snapshot.open(workspace, embeddings.manifest.inputs["snapshot"])
        groups = self._snapshot.table(["item_group_id"]).column("item_group_id").to_pylist()
        names = [group or id for group, id in zip(groups, embeddings.ids(), strict=True)]
        self.first = {name: position for position, name in reversed([*enumerate(names)])}
        """Item group, or id of a product without one → position of the first product in the set."""

    def vectors(self, names: Sequence[str]) -> Array:
        """Return the product vectors of these groups, ``[len(names), 2D]``."""
        found = self._embeddings.select(np.array([self.first[name] for name in names], np.int64)).vectors
        return product_vectors(found.image, found.text)

    def labels(self, names: Sequence[str], column: str) -> list[str | None]:
        """Return the value of a column or attribute of each of these groups."""
        attribute = attribute_of(column)
        products = self._snapshot.table([column if attribute is None else "attributes"])
        values = read_column(products, column, setting="evaluation.tasks")
        return [values[self.first[name]] for name in names]


def measure(
    now: ItemGroups,
    then: ItemGroups | None,
    *,
    isolation_limit: float | None,
    breakdown_by: str,
) -> dict[str, Any]:
    """Return what :mod:`recsys.workspace.monitoring` calls ``figures``, and all that belongs to them.

    ``then`` is the night before; without it there is neither drift nor churn. ``isolation_limit`` is that of
    earlier nights of this encoder, if there were any. ``breakdown_by`` is the column or attribute of the
    categories. Time and memory follow :data:`MAX_PRODUCTS`, but for reading the names of all.
    """
    before = then.first if then else {}
    every = sorted(now.first.keys() | before.keys())
    chosen = [every[i] for i in first_by_hash(every, MAX_PRODUCTS)]
    sample = [name for name in chosen if name in now.first]
    new = sorted(now.first.keys() - before.keys())
    figures: dict[str, Mapping[str, float | None]] = {}
    found: dict[str, Any] = {
        "num_products": len(sample),
        "num_new": len(new) if then else None,
        "isolation_limit": isolation_limit,
        "figures": figures,
        "categories": {},
    }
    if len(sample) <= K:
        return found
    nearest, scores = k_nearest(now.vectors(sample), K)
    if isolation_limit is None:
        found["isolation_limit"] = isolation_limit = float(np.quantile(scores[:, 0], ISOLATED))
    counts = k_occurrences(nearest)
    figures["isolated"] = _share(scores[:, 0] < isolation_limit)
    figures["hubness"] = {"value": skewness(counts), "low": None, "high": None}
    figures["antihubs"] = _share(counts == 0)
    standing = [name for name in sample if name in before]
    if len(new) >= MIN_PRODUCTS and len(standing) >= _HELD_OUT * MIN_PRODUCTS:
        held_out = standing[::_HELD_OUT]
        others = [name for i, name in enumerate(standing) if i % _HELD_OUT]
        compared = [new[i] for i in first_by_hash(new, MAX_NEW)]
        figures["drift"] = _share(is_unlike(*(now.vectors(names) for names in (compared, others, held_out))))
    if then and standing and sum(name in before for name in chosen) > K:
        churn = _churn(chosen, then, sample, nearest)
        figures["churn"] = _share(churn)
        found["categories"] = _by_category(churn, now.labels(standing, breakdown_by))
    return found


def _churn(
    chosen: Sequence[str], then: ItemGroups, sample: Sequence[str], nearest: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the share of the neighbours that are others than the night before, ``[Q]``.

    ``nearest`` ``[N, K]`` are rows of ``sample`` ``[N]``; Q are the rows of it that ``then`` has too.
    """
    tonight = set(sample)
    is_then = np.array([name in then.first for name in chosen])
    is_now = np.array([name in tonight for name in chosen])
    rows_then, rows_now = np.flatnonzero(is_then), np.flatnonzero(is_now)  # in C
    old, _ = k_nearest(then.vectors([name for name in chosen if name in then.first]), K)
    both = is_then & is_now
    return 1 - overlap(rows_then[old][both[rows_then]], rows_now[nearest][both[rows_now]])


def _by_category(churn: NDArray[np.float64], labels: Sequence[str | None]) -> dict[str, Any]:
    """Return category → ``num_products`` and mean ``churn``, of the largest ones, largest first."""
    values: dict[str, list[float]] = {}
    for share, label in zip(churn.tolist(), labels, strict=True):
        if label is not None:
            values.setdefault(label, []).append(share)
    largest = sorted(values, key=lambda name: (-len(values[name]), name))[:_MAX_CATEGORIES]
    return {n: {"num_products": len(values[n]), "churn": float(np.mean(values[n]))} for n in largest}


def _share(values: NDArray[Any]) -> dict[str, float | None]:
    """Return the mean of ``values`` ``[Q]``, in 0 to 1, each of an item group of its own."""
    return mean_share(np.asarray(values, np.float64), np.arange(len(values)))
