"""The image store finds every image, whatever bytes its hash is made of."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import ArtifactError
from recsys.workspace.image_store import ImageShardWriter, ImageStore

HASHES = st.sets(
    st.one_of(
        st.binary(min_size=32, max_size=32), st.binary(min_size=30, max_size=30).map(lambda b: b + b"\0\0")
    ),
    min_size=1,
    max_size=20,
)


@given(HASHES)
@settings(deadline=None)
def test_every_image_is_found_by_its_hash(
    tmp_path_factory: pytest.TempPathFactory, hashes: set[bytes]
) -> None:
    path: Path = tmp_path_factory.mktemp("store") / "images.arrow"
    writer = ImageShardWriter(path, batch_rows=3)
    for i, sha256 in enumerate(hashes):
        writer.add(sha256=sha256, phash=i, width=i, height=1, jpeg=sha256[:4])
    writer.close()
    store = ImageStore([path])
    assert set(store) == hashes
    for i, sha256 in enumerate(hashes):
        assert (store.jpeg(sha256), store.phash(sha256)) == (sha256[:4], i)
    with pytest.raises(ArtifactError):
        store.jpeg(b"\xff" * 31 + b"\xfe")
