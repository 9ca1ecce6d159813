import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.config.embedding import EmbeddingConfig
from recsys.encoder.inference import (
    Stream,
    embed_all,
    embed_products,
    fuse,
    image_features,
    mean_images,
    text_features,
    unit,
)
from recsys.encoder.model import ProductEncoder
from recsys.errors import ArtifactError
from recsys.workspace import Workspace
from recsys.workspace.features import FeatureStore
from tests.embedding.catalogs import make_image, product, sha

IMAGES = {sha(i): make_image(i) for i in range(20)}


class Store:
    """Images in memory; counts who reads what."""

    def __init__(self) -> None:
        self.read: Counter[bytes] = Counter()
        self.threads: set[int] = set()
        self._lock = threading.Lock()

    def jpeg(self, sha256: bytes, /) -> bytes:
        with self._lock:
            self.read[sha256] += 1
            self.threads.add(threading.get_ident())
        if sha256 not in IMAGES:
            raise ArtifactError("no such image", fix="run ingest")
        return IMAGES[sha256]


def rows(count: int = 40) -> list[dict[str, Any]]:
    """Products with none to three images and texts of all lengths; images and texts recur."""
    return [
        product(
            f"p{i:03d}",
            title=None if i % 9 == 4 else "shoe " * (1 + i % 5) + str(i % 13),
            images=[] if i % 7 == 3 else [(i * k) % 20 for k in range(1, 2 + i % 3)],
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def expected(built: ProductEncoder) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each row by itself, with nothing of the stream's machinery."""
    found = []
    for row in rows():
        image = text = None
        with torch.inference_mode():
            hashes = list(dict.fromkeys(row["images"]))
            if hashes:
                pixels = torch.stack([built.preprocess(IMAGES[h]) for h in hashes])
                mean = built.encode_image(pixels).mean(0)
                image = (mean / mean.norm()).numpy()
            words = built.content.read(row).text
            if words is not None or image is None:
                text = built.encode_text(built.tokenize([words or ""]))[0].numpy()
        found.append((image if image is not None else text, text if text is not None else image))
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(
    "options",
    [
        EmbeddingConfig(num_workers=0),
        EmbeddingConfig(num_workers=1, batch_size=1, chunk_size=1),
        EmbeddingConfig(num_workers=3, batch_size=4, chunk_size=7),
        EmbeddingConfig(num_workers=2, batch_size=1000, chunk_size=1000),
        EmbeddingConfig(),
    ],
)
def test_how_a_stream_is_run_changes_no_vector(
    built: ProductEncoder, expected: list[tuple[np.ndarray, np.ndarray]], options: EmbeddingConfig
) -> None:
    threads = torch.get_num_threads()
    found = embed_all(built, iter(rows()), Store(), options)
    np.testing.assert_allclose(found.image, [image for image, _ in expected], atol=2e-5)
    np.testing.assert_allclose(found.text, [text for _, text in expected], atol=2e-5)
    assert found.has_image.tolist() == [bool(row["images"]) for row in rows()]
    assert found.has_text.tolist() == [row["title"] is not None for row in rows()]
    assert torch.get_num_threads() == threads


def test_reading_ahead_as_for_a_gpu_gives_the_same(
    built: ProductEncoder, expected: list[tuple[np.ndarray, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding ahead in threads, one chunk late: on a CPU here, so that it runs everywhere."""
    monkeypatch.setattr(Stream, "_batch_per_core", Stream._read_ahead)
    before = threading.active_count()
    options = EmbeddingConfig(device="cpu", num_workers=2, batch_size=4, chunk_size=7)
    found = embed_all(built, rows(), Store(), options)
    np.testing.assert_allclose(found.image, [image for image, _ in expected], atol=2e-5)
    np.testing.assert_allclose(found.text, [text for _, text in expected], atol=2e-5)
    with pytest.raises(ArtifactError, match="no such image"):
        embed_all(built, [*rows(10), product("z", images=[99])], Store(), EmbeddingConfig(num_workers=2))
    assert threading.active_count() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_a_gpu_gives_nearly_the_same(
    encoder: ProductEncoder, expected: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    found = embed_all(encoder, rows(), Store(), EmbeddingConfig(device="cuda", batch_size=4, chunk_size=7))
    for ours, theirs in ((found.image, [i for i, _ in expected]), (found.text, [t for _, t in expected])):
        cosines = np.einsum("nd,nd->n", ours, np.array(theirs))
        assert cosines.min() > 0.999  # bfloat16


def test_equal_images_and_texts_are_encoded_once(
    built: ProductEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, texts = Store(), Counter[str]()
    tokenize = built.text_tower.tokenize
    monkeypatch.setattr(built.text_tower, "tokenize", lambda some: texts.update(some) or tokenize(some))
    options = EmbeddingConfig(chunk_size=11, batch_size=4, num_workers=2)
    assert sum(len(v.image) for v in embed_products(built, rows(), store, options)) == 40
    assert set(store.read.values()) == {1}  # over all chunks
    assert len(store.threads) == 2
    whole_chunk = embed_all(built, rows(), Store(), EmbeddingConfig())
    assert len(whole_chunk.image) == 40
    assert max(texts.values()) <= 5  # once per chunk of eleven, once in the whole


def test_batches_are_full_whatever_the_images_per_product(
    built: ProductEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    early = built.early_image
    monkeypatch.setattr(built, "early_image", lambda pixels: sizes.append(len(pixels)) or early(pixels))
    embed_all(built, rows(), Store(), EmbeddingConfig(batch_size=8, num_workers=0))
    assert sizes == [8, 8, 4]  # 20 different images


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_a_kept_tower_says_is_computed_once_ever(
    encoder: ProductEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    options = EmbeddingConfig(num_workers=num_workers, chunk_size=7)
    store = FeatureStore(Workspace(tmp_path))
    for digest in (encoder.image_digest(), encoder.text_digest()):
        store.keep(f"{digest}-fp32")
    first = embed_all(encoder, rows(), Store(), options, store=store)
    with torch.no_grad():
        encoder.text_projection.weight.mul_(-1)  # the projection is not the tower
    monkeypatch.setattr(encoder.text_tower, "tokenize", lambda texts: pytest.fail(f"read again: {texts}"))
    images = Store()
    night = FeatureStore(Workspace(tmp_path))  # another process finds them
    again = embed_all(encoder, rows(), images, options, store=night)
    both = first.has_text & first.has_image
    np.testing.assert_allclose(again.text[both], -first.text[both], atol=1e-6)
    np.testing.assert_array_equal(again.image[both], first.image[both])
    assert not images.read
    monkeypatch.undo()
    with torch.no_grad():
        next(encoder.text_tower.parameters()).mul_(1.5)
    other = embed_all(encoder, rows(), Store(), options, store=night)  # another tower finds nothing
    assert not np.allclose(other.text[both], again.text[both], atol=1e-3)


def test_a_tower_that_is_trained_leaves_nothing_in_the_store(encoder: ProductEncoder, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    embed_all(encoder, rows(), Store(), store=FeatureStore(workspace))
    towers = {manifest.id.split("-")[0] for manifest in workspace.list("features")}
    assert towers == {encoder.text_digest()}  # the frozen one's


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_image_the_store_lacks_stops_the_stream(built: ProductEncoder, num_workers: int) -> None:
    broken = [*rows(10), product("z", images=[99])]
    threads = torch.get_num_threads()
    with pytest.raises(ArtifactError, match="no such image"):
        embed_all(built, broken, Store(), EmbeddingConfig(num_workers=num_workers))
    assert torch.get_num_threads() == threads


def test_a_reader_may_stop_early_and_only_a_few_chunks_were_read_ahead(built: ProductEncoder) -> None:
    read, before = [], threading.active_count()
    source = (read.append(row) or row for row in rows(200))
    stream = embed_products(built, source, Store(), EmbeddingConfig(chunk_size=5, num_workers=2))
    assert len(next(stream).image) == 5
    assert len(read) < 100
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_nothing_in_nothing_out(built: ProductEncoder) -> None:
    assert embed_all(built, [], Store()).image.shape == (0, built.dim)
    assert image_features(built, [], Store()).shape == (0, built.image_tower.dim)
    assert text_features(built, []).shape == (0, built.text_tower.dim + built.lexical.dim)


def test_features_and_texts_come_in_the_order_of_the_input_repeats_included(built: ProductEncoder) -> None:
    hashes = [sha(i) for i in (3, 1, 3, 2)]
    features = image_features(built, hashes, Store(), EmbeddingConfig(chunk_size=3))
    with torch.inference_mode():
        early = built.early_image(torch.stack([built.preprocess(IMAGES[h]) for h in hashes]))
        expected = built.image_features(early).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-4)
    texts = ["blue", "a much longer text", "blue", ""]
    found = text_features(built, texts, EmbeddingConfig(chunk_size=3))
    with torch.inference_mode():
        mapped = built.project_text(torch.from_numpy(found)).numpy()
    for vector, text in zip(mapped, texts, strict=True):
        np.testing.assert_allclose(vector, built.embed_query(text=text)[1], atol=1e-5)


# -- several images, a missing modality ----------------------------------------------------------------


def vectors(rng: np.random.Generator, count: int, dim: int = 6) -> np.ndarray:
    return unit(rng.normal(size=(count, dim)).astype(np.float32))


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=8), st.integers(0, 2**32 - 1))
def test_images_of_a_product_are_averaged(lists: list[list[int]], seed: int) -> None:
    images = vectors(np.random.default_rng(seed), 5)
    index = np.array([i for some in lists for i in some], np.int64)
    means = mean_images(images[index], np.array(list(map(len, lists)), np.int64))
    assert means.shape == (len(lists), 6)
    for mean, some in zip(means, lists, strict=True):
        if some:
            expected = images[some].mean(0)
            np.testing.assert_allclose(mean, expected / np.linalg.norm(expected), atol=1e-4)
        else:
            assert (mean == 0).all()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8), st.integers(0, 2**32 - 1))
def test_a_missing_half_is_the_other(flags: list[tuple[bool, bool]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, text = vectors(rng, len(flags)), vectors(rng, len(flags))
    has_image, has_text = (np.array([f[i] for f in flags], np.bool_) for i in (0, 1))
    image[~has_image] = 0
    fused = fuse(image, text, has_image, has_text)
    for n, (image_there, text_there) in enumerate(flags):
        np.testing.assert_array_equal(fused.image[n], image[n] if image_there else text[n])
        np.testing.assert_array_equal(fused.text[n], image[n] if image_there and not text_there else text[n])
    if flags:
        np.testing.assert_allclose(np.linalg.norm(fused.image, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(fused.text, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(fused.has_image, has_image)
    np.testing.assert_array_equal(fused.has_text, has_text)
