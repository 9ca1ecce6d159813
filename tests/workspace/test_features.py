import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.workspace import Workspace
from recsys.workspace import features as module
from recsys.workspace.features import KIND, FeatureStore
from tests.workspace.test_checksums import flip


def key(i: int) -> bytes:
    return hashlib.sha256(str(i).encode()).digest()


def value(i: int) -> np.ndarray:
    return np.full(3, i, np.float32)


@given(st.lists(st.lists(st.integers(0, 30)), max_size=6), st.booleans())
def test_it_is_a_mapping_by_tower_that_survives_the_process(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], reopened: bool
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    store = FeatureStore(workspace)
    store.keep("a")
    for batch in batches:
        store.add("a", {key(i): value(i) for i in batch})
        store.flush()
    store = FeatureStore(workspace) if reopened else store
    known = {i for batch in batches for i in batch}
    found = store.find("a", [key(i) for i in range(31)])
    assert found.keys() == {key(i) for i in known}
    for i in known:
        np.testing.assert_array_equal(found[key(i)], value(i))
    assert store.find("b", [key(i) for i in known]) == {}
    assert ("b" in store, "a" in store) == (False, bool(known) or not reopened)


def test_what_is_added_is_written_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 10)
    workspace = Workspace(tmp_path)
    store = FeatureStore(workspace)
    store.keep("a")
    for i in range(25):
        store.add("a", {key(i): value(i)})
    assert [manifest.info["rows"] for manifest in workspace.list(KIND)] == [10, 10]
    store.flush()
    store.flush()
    assert [manifest.info["rows"] for manifest in workspace.list(KIND)] == [10, 10, 5]
    assert len(store.find("a", [key(i) for i in range(25)])) == 25


def test_damaged_features_are_computed_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    store = FeatureStore(workspace)
    store.keep("a")
    store.add("a", {key(1): value(1)})
    store.flush()
    [manifest] = workspace.list(KIND)
    flip(tmp_path / manifest.ref / "features.npy")
    assert FeatureStore(workspace).find("a", [key(1)]) == {}


def test_features_of_a_tower_that_is_not_kept_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="call keep first"):
        FeatureStore(Workspace(tmp_path)).add("a", {key(1): value(1)})
