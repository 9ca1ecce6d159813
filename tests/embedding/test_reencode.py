"""An audit that knows the truth: what no comparison with the embedding set can see is refused."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import index, nightly
from recsys.config import Config
from recsys.embedding import run as embedding
from recsys.embedding.reencode import reencode
from recsys.encoder import inference
from recsys.encoder.model import ProductEncoder
from recsys.errors import ArtifactError, AuditError, DamagedError
from recsys.index import run as publishing
from recsys.workspace import Workspace
from recsys.workspace.embeddings import (
    SET_FILE,
    SET_KIND,
    SHARD_FILE,
    SHARD_KIND,
    EmbeddingSet,
    Shard,
    ShardWriter,
    Vectors,
)
from recsys.workspace.features import FEATURES_FILE, KEYS_FILE, KIND
from recsys.workspace.snapshot import Snapshot
from tests.embedding.catalogs import product, store_images, store_snapshot
from tests.search.shops import make_encoder, settings

COUNT = 40
SNAPSHOT, ENCODER = "snapshots/night-1", "encoders/e0"


def rows(**changes: str) -> list[dict[str, Any]]:
    """Products of their own images; one has no title, one no image, one two images, one nothing."""
    made = [product(f"p{i:02d}", title="thing " * (1 + i), images=[i]) for i in range(COUNT)]
    made[5]["title"] = None
    made[6]["images"] = []
    made[7]["images"] += made[8]["images"]
    made[9] |= {"title": None, "images": []}
    return [{**row, "title": changes.get(row["id"], row["title"])} for row in made]


@pytest.fixture
def config(text_model: Path) -> Config:
    return settings(text_model)


@pytest.fixture
def shop(config: Config, workspace: Workspace) -> Workspace:
    store_images(workspace, range(COUNT))
    store_snapshot(workspace, rows(), ["images/images"], "night-1")
    for seed in (0, 1):
        make_encoder(config, workspace, seed)
    return workspace


def rewrite(workspace: Workspace, shard: str, change: Callable[[Vectors], Vectors], **inputs: str) -> None:
    """Replace a shard by one with other vectors, and other inputs, that is whole by every checksum."""
    manifest = workspace.get(shard)
    found = Shard(workspace.path(manifest) / SHARD_FILE)
    keys = list(map(bytes, found.keys()))
    vectors = found.take(np.arange(len(found)))
    workspace.delete(manifest)
    with workspace.create(SHARD_KIND, manifest.id, inputs=manifest.inputs | inputs) as draft:
        writer = ShardWriter(draft.path / SHARD_FILE, found.dim)
        writer.write(keys, change(vectors))
        writer.close()
        draft.info = manifest.info


def rename(workspace: Workspace, embedding_set: str, encoder: str) -> str:
    """Write an embedding set anew whose manifest, and whose shards', name another encoder."""
    manifest = workspace.get(embedding_set)
    rows = (workspace.path(manifest) / SET_FILE).read_bytes()
    for shard in manifest.info["shards"]:
        rewrite(workspace, shard, lambda vectors: vectors, encoder=encoder)
    with workspace.create(SET_KIND, "renamed", inputs=manifest.inputs | {"encoder": encoder}) as draft:
        (draft.path / SET_FILE).write_bytes(rows)
        draft.info = manifest.info
    return draft.committed().ref


def test_products_are_encoded_anew_as_they_were_embedded(config: Config, shop: Workspace) -> None:
    embedded = embedding.run(config, shop, SNAPSHOT, ENCODER)
    stored = EmbeddingSet(shop, embedded.ref).select(np.arange(COUNT)).vectors
    positions = np.array([0, 3, 5, 6, 7, 9, 30, 31, 32, 39])
    for ours, theirs in zip(
        reencode(config, shop, SNAPSHOT, ENCODER, "fp32", positions), stored, strict=True
    ):
        np.testing.assert_allclose(ours, theirs[positions], atol=1e-5)
    half = reencode(config, shop, SNAPSHOT, ENCODER, "bf16", positions)
    apart = np.linalg.norm(half.image - stored.image[positions], axis=1)
    assert 1e-4 < apart.max() < 0.05  # bfloat16, and still the same


def test_what_is_right_is_published_and_each_night_looks_at_other_products(
    config: Config, shop: Workspace
) -> None:
    config = config.model_copy(update={"index": config.index.model_copy(update={"reencode_sample": 10})})
    embedded = embedding.run(config, shop, SNAPSHOT, ENCODER)
    audits = [nightly.publish(config, shop, SNAPSHOT, embedded.ref).info["audit"]]
    shop.write_pointer("catalog", {"snapshot": "snapshots/night-2"})
    store_snapshot(shop, rows(p01="one", p02="one and two and three"), ["images/images"], "night-2")
    embedded = embedding.run(config, shop, "snapshots/night-2", ENCODER)
    audits.append(nightly.publish(config, shop, "snapshots/night-2", embedded.ref).info["audit"])
    assert [audit["checks"]["encoded anew"] for audit in audits] == ["ok", "ok"]
    assert [audit["reencoded"] for audit in audits] == [10, 2]  # of a change: what it wrote
    assert audits[0]["seed"] != audits[1]["seed"]
    assert audits[0]["checks"]["golden queries"] == "ok"


def neighbours_images(vectors: Vectors) -> Vectors:
    return vectors._replace(image=np.roll(vectors.image, 1, axis=0))


def last_text_wrong(vectors: Vectors) -> Vectors:
    text = vectors.text.copy()
    text[-1] = text[0]
    return vectors._replace(text=text)


@pytest.mark.parametrize("fault", [neighbours_images, last_text_wrong])
def test_wrong_vectors_in_the_cache_are_refused(
    config: Config, shop: Workspace, fault: Callable[[Vectors], Vectors]
) -> None:
    embedded = embedding.run(config, shop, SNAPSHOT, ENCODER)
    [shard] = embedded.info["shards"]
    rewrite(shop, shard, fault)
    with pytest.raises(
        AuditError, match=rf"(?s)encoded anew: .* {ENCODER} .*{shard}\n.*golden.*Delete the named"
    ):
        nightly.publish(config, shop, SNAPSHOT, embedded.ref)
    assert index.live_encoder(config, shop) is None
    shop.delete_ref(shard)
    embedded = embedding.run(config, shop, SNAPSHOT, ENCODER)
    assert nightly.publish(config, shop, SNAPSHOT, embedded.ref).info["action"] == "build"


def test_one_shard_of_another_encoder_is_refused(config: Config, shop: Workspace) -> None:
    config = config.model_copy(update={"embedding": config.embedding.model_copy(update={"shard_size": 20})})
    embedded = embedding.run(config, shop, SNAPSHOT, ENCODER)
    other = ProductEncoder.load(shop.path(shop.get("encoders/e1")))
    snapshot = Snapshot.open(shop, SNAPSHOT)
    wrong = inference.embed_all(other, snapshot.table().to_pylist(), snapshot.images())
    rewrite(
        shop, embedded.info["shards"][0], lambda vectors: Vectors(*(v[: len(vectors.image)] for v in wrong))
    )
    with pytest.raises(AuditError, match=rf"encoded anew: .* in {embedded.info['shards'][0]}\n"):
        nightly.publish(config, shop, SNAPSHOT, embedded.ref)
    rewrite(shop, embedded.info["shards"][0], lambda vectors: vectors, encoder="encoders/e1")
    with pytest.raises(
        ArtifactError, match=rf"16 dimensions of encoders/e1, but {embedded.ref} is of {ENCODER}"
    ):
        nightly.publish(config, shop, SNAPSHOT, embedded.ref)
    assert index.live_encoder(config, shop) is None


def test_a_set_that_names_another_encoder_is_refused(config: Config, shop: Workspace) -> None:
    embedded = embedding.run(config, shop, SNAPSHOT, ENCODER)
    renamed = rename(shop, embedded.ref, "encoders/e1")
    with pytest.raises(AuditError, match=r"encoded anew: .* not what encoders/e1 makes"):
        nightly.publish(config, shop, SNAPSHOT, renamed)
    assert index.live_encoder(config, shop) is None


def test_features_that_are_wrong_are_not_believed(
    config: Config, shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = config.encoder.text.model_copy(update={"frozen": True})
    config = config.model_copy(update={"encoder": config.encoder.model_copy(update={"text": text})})
    make_encoder(config, shop, 2)
    embedding.run(config, shop, SNAPSHOT, "encoders/e2")  # now the store knows the texts
    [features] = shop.list(KIND)
    values = np.load(shop.path(features) / FEATURES_FILE)
    keys = (shop.path(features) / KEYS_FILE).read_bytes()
    shop.delete(features)
    with shop.create(KIND, features.id) as draft:  # whole, by its checksums
        (draft.path / KEYS_FILE).write_bytes(keys)
        np.save(draft.path / FEATURES_FILE, np.roll(values, 1, axis=0))
    make_encoder(config, shop, 3)  # with the same tower
    embedded = embedding.run(config, shop, SNAPSHOT, "encoders/e3")
    with pytest.raises(AuditError, match="not what encoders/e3 makes"):
        nightly.publish(config, shop, SNAPSHOT, embedded.ref)


def test_a_wrong_change_leaves_readers_with_what_they_had(config: Config, shop: Workspace) -> None:
    embedded = embedding.run(config, shop, SNAPSHOT, ENCODER)
    shop.write_pointer("catalog", {"snapshot": SNAPSHOT})
    nightly.publish(config, shop, SNAPSHOT, embedded.ref)
    store_snapshot(shop, rows(p01="one", p02="one and two and three"), ["images/images"], "night-2")
    shop.write_pointer("catalog", {"snapshot": "snapshots/night-2"})
    changed = embedding.run(config, shop, "snapshots/night-2", ENCODER)
    [fresh] = set(changed.info["shards"]) - set(embedded.info["shards"])
    rewrite(shop, fresh, lambda vectors: vectors._replace(text=vectors.text[::-1]))
    with pytest.raises(AuditError, match="encoded anew: 2 of 2 are not what"):
        nightly.publish(config, shop, "snapshots/night-2", changed.ref)
    assert index.status(config, shop)["snapshot"] == SNAPSHOT


def test_a_live_index_that_is_wrong_is_repaired_and_an_alarm(config: Config, shop: Workspace) -> None:
    nightly.audit_and_repair(config, shop)  # nothing was published: nothing to audit
    embedded = embedding.run(config, shop, SNAPSHOT, ENCODER)
    live = nightly.publish(config, shop, SNAPSHOT, embedded.ref).info["collection"]
    with closing(index.open_index(config, shop)) as opened:
        metadata = opened.open().metadata
        with opened.change(live, pending="") as writer:
            [stored, other] = writer.retrieve(["p01", "p02"], with_vectors=True)
            writer.upsert([stored._replace(vector=other.vector)])
            writer.commit(metadata)
    with pytest.raises(AuditError, match=r"(?s)p01 \(image .*recsys audit --repair"):
        nightly.audit(config, shop, repair=False)
    shop.delete_ref(embedded.info["shards"][0])  # a damaged shard that was removed
    with pytest.raises(DamagedError, match=rf"(?s){live} failed its audit.*p01.*Readers have products__"):
        nightly.audit_and_repair(config, shop)
    assert index.status(config, shop)["collection"] != live
    nightly.audit_and_repair(config, shop)  # the cleared task
    shop.delete_ref(ENCODER)
    with pytest.raises(
        ArtifactError, match=r"(?s)is live and cannot be audited: .* go back: recsys rollback"
    ):
        nightly.audit_and_repair(config, shop)


@pytest.mark.parametrize("fault", [neighbours_images])
def test_without_it_they_were_published(
    config: Config, shop: Workspace, fault: Callable[[Vectors], Vectors]
) -> None:
    """The fault that the audit exists for passes every other check."""
    embedded = embedding.run(config, shop, SNAPSHOT, ENCODER)
    rewrite(shop, embedded.info["shards"][0], fault)
    info = publishing.run(config, shop, SNAPSHOT, embedded.ref).info
    assert set(info["audit"]["checks"].values()) == {"ok"}
