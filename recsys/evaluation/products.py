"""The products of a snapshot as evaluation reads them: columns by name, components, splits, filters.

N = products of the snapshot, ascending by id; positions are 0-based in that order
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.errors import ArtifactError, ConfigError
from recsys.workspace import Workspace
from recsys.workspace.columns import read_column
from recsys.workspace.product import PRODUCTS
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import read_splits

Positions = NDArray[np.int64]


class Products:
    """Columns of a snapshot and its split."""

    def __init__(self, table: pa.Table, splits: pa.Table) -> None:
        """Take a table with :data:`PRODUCTS`' columns and one with those of ``workspace.splits``.

        Raises :class:`ArtifactError` where they are not about the same products.
        """
        self._table, self._splits = table, splits
        self.ids: list[str] = table.column("id").to_pylist()
        if splits.column("id").to_pylist() != self.ids:
            raise ArtifactError(
                f"The split covers {splits.num_rows} products, the snapshot {len(self.ids)} others.",
                fix="Train on this snapshot first; its split is then made from it.",
            )
        self.values = lru_cache(maxsize=64)(self._values)

    @classmethod
    def open(cls, workspace: Workspace, snapshot_ref: str, splits_ref: str) -> "Products":
        """Read the snapshot and its split."""
        table = Snapshot.open(workspace, snapshot_ref).table(
            [name for name in PRODUCTS.names if name not in ("description", "images", "link", "image_link")]
        )
        return cls(table, read_splits(workspace, splits_ref))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Item group of every product ``[N]``, as codes; a product without one is a group of its own."""
        groups = self._table.column("item_group_id").to_pylist()
        return codes([(i,) if g is None else g for g, i in zip(groups, self.ids, strict=True)])

    @cached_property
    def component_keys(self) -> list[str]:
        """Component of every product ``[N]``: variants and duplicates share one."""
        keys: list[str] = self._splits.column("component").to_pylist()
        return keys

    @cached_property
    def components(self) -> NDArray[np.int64]:
        """:attr:`component_keys` as codes."""
        return codes(self.component_keys)

    def in_split(self, *splits: str) -> NDArray[np.bool_]:
        """Return which products are in any of ``splits``, ``[N]``."""
        known = pa.array(splits, pa.string())
        inside: NDArray[np.bool_] = pc.is_in(self._splits.column("split"), value_set=known).to_numpy()
        return inside

    def has(self, name: str) -> bool:
        """Return whether any product has a value in this column or attribute."""
        try:
            return any(v is not None for v in self.values(name))
        except ConfigError:
            return False

    def _values(self, name: str) -> Sequence[str | None]:
        """Return a column's or custom attribute's values ``[N]`` as text, blank ones as ``None``."""
        return read_column(self._table, name, setting="evaluation.tasks")

    def labels(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return one code per product ``[N]``, equal where all named values are; -1 where one is missing."""
        columns = [self.values(name) for name in names]
        return codes([None if None in row else row for row in zip(*columns, strict=True)])

    def matching(self, wanted: Mapping[str, str | Sequence[str]]) -> NDArray[np.bool_]:
        """Return which products match a filter ``[N]``: every column has the value, or one of the values."""
        inside = np.ones(len(self), np.bool_)
        for name, value in wanted.items():
            accepted = {value} if isinstance(value, str) else set(value)
            inside &= np.fromiter((v in accepted for v in self.values(name)), np.bool_, len(self))
        return inside


def sample(ids: Sequence[str], size: int) -> Positions:
    """Return at most ``size`` positions, ascending, by hash of the id: the same products every night."""
    if len(ids) <= size:
        return np.arange(len(ids))
    hashes = [hashlib.blake2b(i.encode(), digest_size=8).digest() for i in ids]
    order = sorted(range(len(ids)), key=hashes.__getitem__)
    return np.array(sorted(order[:size]), np.int64)


def codes(values: Sequence[Any]) -> NDArray[np.int64]:
    """Return one code per value, equal for equal values, -1 for ``None``; order of first appearance."""
    table: dict[Any, int] = {}
    found = [-1 if v is None else table.setdefault(v, len(table)) for v in values]
    return np.array(found, np.int64)
