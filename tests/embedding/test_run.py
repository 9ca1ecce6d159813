"""The stage on small real snapshots with the real MiniLM and the small CNN."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.config import Config
from recsys.config.embedding import EmbeddingConfig
from recsys.config.encoder import EncoderConfig, ImageTowerConfig
from recsys.embedding import run
from recsys.encoder import inference
from recsys.encoder.model import ProductEncoder, build
from recsys.errors import ArtifactError
from recsys.workspace import Workspace
from recsys.workspace.embeddings import SHARD_KIND, EmbeddingSet
from recsys.workspace.snapshot import Snapshot
from tests.embedding.catalogs import product, store_images, store_snapshot

ENCODER = "encoders/e0"
CONFIG = Config(
    encoder=EncoderConfig(dim=384, image=ImageTowerConfig(image_size=32)),
    embedding=EmbeddingConfig(shard_size=8, chunk_size=5, batch_size=4, num_workers=2, device="cpu"),
)


@pytest.fixture(scope="module")
def encoder() -> ProductEncoder:
    return build(CONFIG.encoder, seed=0)


def catalog(**changes: str) -> list[dict[str, Any]]:
    """Twenty products: images shared, missing, several; two of equal content; ``changes``: titles."""
    rows = [
        product(
            f"p{i:02d}", title=None if i == 5 else f"shoe {i}", images=[] if i % 6 == 2 else [i % 7, i % 5]
        )
        for i in range(19)
    ]
    rows.append({**rows[3], "id": "p99"})
    return [{**row, "title": changes.get(row["id"], row["title"])} for row in rows]


@pytest.fixture
def shop(workspace: Workspace, encoder: ProductEncoder) -> Workspace:
    """A workspace with one encoder, the images, and the first night's snapshot."""
    store_images(workspace, range(8))
    store_snapshot(workspace, catalog(), ["images/images"], "night-1")
    with workspace.create("encoders", "e0") as draft:
        encoder.save(draft.path)
    return workspace


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the titles of what is embedded from now on."""
    titles: list[str] = []
    stream = inference.embed_products
    monkeypatch.setattr(
        inference, "embed_products",
        lambda encoder, rows, *a, **named: stream(
            encoder, (titles.append(r["title"]) or r for r in rows), *a, **named
        ),
    )  # fmt: skip
    return titles


def test_the_whole_stage(shop: Workspace, encoder: ProductEncoder) -> None:
    shards = run.plan(CONFIG, shop, "snapshots/night-1", ENCODER)
    assert [shard["stop"] - shard["start"] for shard in shards] == [8, 8, 3]  # equal contents once
    assert len(json.dumps(shards[0])) < 300
    refs = [run.embed_shard(CONFIG, shop, json.loads(json.dumps(shard))) for shard in shards]
    manifest = run.collect(CONFIG, shop, "snapshots/night-1", ENCODER, refs)
    assert manifest.kind == "embedding-sets"
    info = manifest.info
    assert (info["embedded"], info["reused"], info["dim"]) == (20, 0, 384)
    assert info["shards"] == refs
    assert (info["snapshot"], info["encoder"]) == ("snapshots/night-1", ENCODER)
    assert info["duration_s"] >= 0
    found = EmbeddingSet(shop, manifest.ref)
    assert found.ids() == [row["id"] for row in catalog()]
    batch = found.select(np.arange(20))
    expected = inference.embed_all(encoder, catalog(), Snapshot.open(shop, "snapshots/night-1").images())
    for ours, theirs in zip(batch.vectors, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert not batch.vectors.has_text[5]
    assert not batch.vectors.has_image[2]


def test_nothing_to_do_is_an_empty_plan_and_still_a_set(shop: Workspace) -> None:
    first = run.run(CONFIG, shop, "snapshots/night-1", ENCODER)
    assert run.plan(CONFIG, shop, "snapshots/night-1", ENCODER) == []
    cheaper = [{**row, "price": 1.0, "content_hash": b"x" * 16} for row in catalog()[:10]]  # not read
    store_snapshot(shop, cheaper, ["images/images"], "night-2")
    assert run.plan(CONFIG, shop, "snapshots/night-2", ENCODER) == []
    second = run.collect(CONFIG, shop, "snapshots/night-2", ENCODER, [])
    assert (second.info["embedded"], second.info["reused"]) == (0, 10)
    assert run.run(CONFIG, shop, "snapshots/night-1", ENCODER) == first


def test_what_is_embedded_later_is_as_precise_as_what_there_is(shop: Workspace) -> None:
    """A GPU began with bfloat16, say, and a machine without one goes on."""
    half = CONFIG.model_copy(update={"embedding": CONFIG.embedding.model_copy(update={"precision": "bf16"})})
    run.run(half, shop, "snapshots/night-1", ENCODER)
    store_snapshot(shop, [*catalog(), product("p50", title="hat")], ["images/images"], "night-2")
    (shard,) = run.plan(CONFIG, shop, "snapshots/night-2", ENCODER)
    assert shard["precision"] == "bf16"
    made = shop.get(run.embed_shard(CONFIG, shop, shard))
    assert made.info["precision"] == "bf16"
    assert run.plan(CONFIG, shop, "snapshots/night-1", "encoders/e0") == []


def test_only_what_changed_is_embedded(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run.run(CONFIG, shop, "snapshots/night-1", ENCODER)
    changed = [*catalog(p01="boot", p17="sandal"), product("p50", title="hat")]
    store_snapshot(shop, changed, ["images/images"], "night-2")
    embedded = counted(monkeypatch)
    manifest = run.run(CONFIG, shop, "snapshots/night-2", ENCODER)
    assert embedded == ["boot", "sandal", "hat"]
    assert (manifest.info["embedded"], manifest.info["reused"]) == (3, 18)
    old, new = (EmbeddingSet(shop, ref) for ref in (run_set(shop, "night-1"), manifest.ref))
    kept = [new.ids().index("p03"), new.ids().index("p99")]
    np.testing.assert_array_equal(
        new.select(np.array(kept)).vectors.text, old.select(np.array([3, 19])).vectors.text
    )


def run_set(workspace: Workspace, night: str) -> str:
    return run.collect(CONFIG, workspace, f"snapshots/{night}", ENCODER, []).ref


def test_another_encoder_shares_nothing(shop: Workspace, encoder: ProductEncoder) -> None:
    run.run(CONFIG, shop, "snapshots/night-1", ENCODER)
    with shop.create("encoders", "e1") as draft:
        encoder.save(draft.path)
    manifest = run.run(CONFIG, shop, "snapshots/night-1", "encoders/e1")
    assert manifest.info["embedded"] == 20
    assert all(ref.startswith(f"{SHARD_KIND}/e1-") for ref in manifest.info["shards"])


def test_a_missing_shard_is_not_passed_over(shop: Workspace) -> None:
    shards = run.plan(CONFIG, shop, "snapshots/night-1", ENCODER)
    refs = [run.embed_shard(CONFIG, shop, shard) for shard in shards[1:]]
    with pytest.raises(ArtifactError, match="gone"):
        run.collect(CONFIG, shop, "snapshots/night-1", ENCODER, [*refs, f"{SHARD_KIND}/{shards[0]['id']}"])
    with pytest.raises(ArtifactError, match=r"9 of 20"):  # eight contents; one of them is two products
        run.collect(CONFIG, shop, "snapshots/night-1", ENCODER, refs)


def test_a_shard_that_fails_leaves_nothing_and_can_be_tried_again(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = run.plan(CONFIG, shop, "snapshots/night-1", ENCODER)[0]
    stream = inference.embed_products

    def broken(*arguments: Any, **named: Any) -> Any:
        yield next(stream(*arguments, **named))
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(inference, "embed_products", broken)
        with pytest.raises(OSError, match="disk full"):
            run.embed_shard(CONFIG, shop, shard)
    assert shop.list(SHARD_KIND) == []
    ref = run.embed_shard(CONFIG, shop, shard)
    assert ref.endswith(shard["id"])
    monkeypatch.setattr(inference, "embed_products", lambda *_, **__: pytest.fail("embedded again"))
    assert run.embed_shard(CONFIG, shop, shard) == ref  # what is finished is returned at once


KILLED = """
import os, signal, sys
from recsys.embedding import run
from recsys.encoder import inference
from tests.embedding.test_run import CONFIG, ENCODER
from recsys.workspace import Workspace
stream, calls = inference.embed_products, []
def killed(*arguments, **named):
    calls.append(1)
    for vectors in stream(*arguments, **named):
        yield vectors
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
inference.embed_products = killed
run.run(CONFIG, Workspace(sys.argv[1]), "snapshots/night-1", ENCODER)
"""


@pytest.mark.slow
def test_a_kill_costs_at_most_the_shard_in_hand(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run([sys.executable, "-c", KILLED, shop.root], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    done = shop.list(SHARD_KIND)
    assert [m.info["counts"]["rows"] for m in done] == [8]
    embedded = counted(monkeypatch)
    manifest = run.run(CONFIG, shop, "snapshots/night-1", ENCODER)
    assert len(embedded) == 11  # of 19: what was finished is kept
    assert shop.get(done[0].ref).created_at == done[0].created_at
    assert done[0].ref in manifest.info["shards"]
    assert len(EmbeddingSet(shop, manifest.ref)) == 20
    assert (manifest.info["embedded"], manifest.info["reused"]) == (20, 0)  # both attempts are this night's


def test_shards_of_one_plan_may_run_in_any_order_on_any_worker(shop: Workspace) -> None:
    shards = run.plan(CONFIG, shop, "snapshots/night-1", ENCODER)
    late = run.embed_shard(CONFIG, shop, shards[2])
    again = run.plan(CONFIG, shop, "snapshots/night-1", ENCODER)  # the scheduler cleared the task
    assert [s["stop"] - s["start"] for s in again] == [8, 8]
    refs = [run.embed_shard(CONFIG, shop, shard) for shard in shards[:2]]
    assert [run.embed_shard(CONFIG, shop, shard) for shard in again] == refs  # same contents, same names
    assert run.collect(CONFIG, shop, "snapshots/night-1", ENCODER, [*refs, late]).info["embedded"] == 20


def test_an_empty_snapshot_is_an_empty_set(shop: Workspace) -> None:
    store_snapshot(shop, [], [], "night-0")
    manifest = run.run(CONFIG, shop, "snapshots/night-0", ENCODER)
    assert len(EmbeddingSet(shop, manifest.ref)) == 0


LIGHT = """
import sys
from recsys.config import Config
from recsys.embedding import run
from recsys.workspace import Workspace
workspace = Workspace(sys.argv[1])
assert len(run.plan(Config(), workspace, "snapshots/night-3", "encoders/e0")) == 1
assert run.collect(Config(), workspace, "snapshots/night-2", "encoders/e0", []).info["reused"] == 19
assert "torch" not in sys.modules
"""


def test_planning_and_collecting_need_no_torch(shop: Workspace) -> None:
    run.run(CONFIG, shop, "snapshots/night-1", ENCODER)
    store_snapshot(shop, catalog()[:19], ["images/images"], "night-2")
    store_snapshot(shop, catalog(p00="new"), ["images/images"], "night-3")
    subprocess.run([sys.executable, "-c", LIGHT, shop.root], check=True)
