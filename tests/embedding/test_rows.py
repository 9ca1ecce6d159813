import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config.encoder import EncoderConfig
from recsys.embedding.rows import content_keys, rows_at
from recsys.encoder.template import ContentReader
from recsys.workspace import Workspace
from recsys.workspace.snapshot import Snapshot
from tests.embedding.catalogs import product, store_snapshot


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Forty products in row groups of seven."""
    workspace = Workspace(tmp_path_factory.mktemp("rows"))
    rows = [product(f"p{i:02d}", title=f"title {i % 30}") for i in range(40)]
    return Snapshot.open(workspace, store_snapshot(workspace, rows, []))


@given(positions=st.sets(st.integers(0, 39)), batch_size=st.integers(1, 9))
@settings(deadline=None)
def test_rows_at_positions_wherever_groups_and_batches_end(
    snapshot: Snapshot, positions: set[int], batch_size: int
) -> None:
    wanted = np.array(sorted(positions), np.int64)
    found = rows_at(snapshot, wanted, ["id", "title"], batch_size=batch_size)
    assert list(found) == [{"id": f"p{i:02d}", "title": f"title {i % 30}"} for i in wanted]


def test_keys_follow_the_content_and_nothing_else(snapshot: Snapshot) -> None:
    keys = content_keys(snapshot, ContentReader(EncoderConfig()))
    assert keys.shape == (40,)
    assert len(np.unique(keys)) == 30
    assert keys[3] == keys[33]
    other = content_keys(snapshot, ContentReader(EncoderConfig(text_parts=("{brand}",))))
    assert len(np.unique(other)) == 1  # nothing of these products is read
