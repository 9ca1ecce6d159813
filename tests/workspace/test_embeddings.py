import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.workspace.embeddings import Shard, ShardWriter, Vectors, product_vectors, query_vector


def vectors(rng: np.random.Generator, count: int, dim: int = 4) -> Vectors:
    halves = rng.normal(size=(2, count, dim)).astype(np.float32)
    halves /= np.linalg.norm(halves, axis=2, keepdims=True)
    flags = rng.integers(0, 2, (2, count)).astype(np.bool_)
    return Vectors(*halves, *flags)


def keys(rng: np.random.Generator, count: int) -> list[bytes]:
    return [rng.bytes(15) + b"\0" for _ in range(count)]


@given(sizes=st.lists(st.integers(0, 5), max_size=5), data=st.data())
@settings(deadline=None, max_examples=40)
def test_what_is_written_is_read_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    rng = np.random.default_rng(len(sizes))
    path = tmp_path_factory.mktemp("shard") / "vectors.arrow"
    parts, names = [vectors(rng, size) for size in sizes], [keys(rng, size) for size in sizes]
    writer = ShardWriter(path, 4)
    for some, part in zip(names, parts, strict=True):
        writer.write(some, part)
    writer.close()
    total = sum(sizes)
    shard = Shard(path)
    assert (writer.num_rows, len(shard), shard.dim) == (total, total, 4)
    assert [bytes(k) for k in np.array(shard.keys())] == [k for some in names for k in some]
    if not total:
        return
    rows = np.array(data.draw(st.lists(st.integers(0, total - 1), max_size=8)), np.int64)
    found = shard.take(rows)
    for column, part in zip(found, (np.concatenate(c) for c in zip(*parts, strict=True)), strict=True):
        np.testing.assert_array_equal(column, part[rows])


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_query_scores_exactly_the_weighted_cosines(seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    gallery, query = vectors(rng, 7, 16), vectors(rng, 1, 16)
    stored = product_vectors(gallery.image, gallery.text)
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-6)
    scores = stored @ query_vector(query.image[0], query.text[0], weight)
    expected = weight * gallery.image @ query.image[0] + (1 - weight) * gallery.text @ query.text[0]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
