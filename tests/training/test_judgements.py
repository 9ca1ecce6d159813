"""Judgements are learnt from where both products are trained on, and nowhere else."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import Config
from recsys.config.training import TrainingConfig
from recsys.encoder.inference import embed_all
from recsys.encoder.model import ProductEncoder
from recsys.training.objectives.metric import consistent_pairs
from recsys.training.run import make_splits, run
from recsys.training.sampler import Sampler
from recsys.training.splits import separate
from recsys.training.supervision import LINKS, build, with_judgements
from recsys.workspace import Manifest, Workspace
from recsys.workspace.judgements import commit
from recsys.workspace.pairs import JudgedPair
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import HOLDOUT, TRAIN, UNUSED, VALIDATION, read_splits
from tests.training.shop import rows, settings, store

SPLITS = (TRAIN, VALIDATION, HOLDOUT, UNUSED)


def judged(workspace: Workspace, *said: tuple[str, str, str]) -> str:
    """Return the ref of judgements: left, right, label."""
    fixed = {"weight": 1.0, "num_judges": 1, "updated_at": datetime(2026, 7, 1, tzinfo=UTC)}
    pairs = [{"left_id": min(a, b), "right_id": max(a, b), "label": label} | fixed for a, b, label in said]
    return commit(workspace, pairs, {}).ref


class Shop:
    """The tiny shop as a snapshot, with its split."""

    def __init__(self, workspace: Workspace, text_model: Path) -> None:
        self.workspace, self.made = workspace, rows()
        self.config: Config = settings(text_model)
        self.snapshot = store(workspace, self.made)
        self.split = self.splits(make_splits(self.config, workspace, self.snapshot).ref)

    def splits(self, ref: str) -> dict[str, str]:
        table = read_splits(self.workspace, ref).to_pylist()
        return {row["id"]: row["split"] for row in table}

    def of(self, split: str) -> list[str]:
        """One product of each item group in ``split``."""
        first = {row["item_group_id"]: row["id"] for row, _ in reversed(self.made)}
        return sorted(id for id in first.values() if self.split[id] == split)

    def train(self, *said: tuple[str, str, str]) -> Manifest:
        return run(self.config, self.workspace, self.snapshot, None, judged(self.workspace, *said))

    def similarity(self, manifest: Manifest, pairs: Sequence[tuple[str, str]]) -> float:
        """Mean cosine of the product vectors of some pairs."""
        snapshot = Snapshot.open(self.workspace, self.snapshot)
        table = snapshot.table().to_pylist()
        row = {r["id"]: i for i, r in enumerate(table)}
        encoder = ProductEncoder.load(self.workspace.path(manifest))
        vectors = embed_all(encoder, table, snapshot.images())
        both = np.concatenate([vectors.image, vectors.text], axis=1) / np.sqrt(2)
        return float(np.mean([both[row[a]] @ both[row[b]] for a, b in pairs]))


@pytest.fixture
def shop(workspace: Workspace, text_model: Path) -> Shop:
    return Shop(workspace, text_model)


def test_pairs_of_training_products_are_learnt_from_and_others_are_not(shop: Shop) -> None:
    train, validation, holdout = shop.of(TRAIN), shop.of(VALIDATION), shop.of(HOLDOUT)
    manifest = shop.train(
        (train[0], train[1], "similar"),
        (train[0], train[2], "not_similar"),
        (train[3], holdout[0], "similar"),
        (holdout[0], holdout[1], "not_similar"),
        (validation[0], holdout[1], "similar"),
        (train[4], validation[0], "similar"),
        (train[5], "of yesterday", "similar"),
    )
    counts = manifest.info["counts"]["supervision"]
    assert counts["judgements"] == {
        "trained_on": 2, "similar": 1, "not_similar": 1,
        "validation": 1, "holdout": 3, "test": 0, "unused": 0, "unknown": 1,
    }  # fmt: skip
    assert (counts["pairs"]["positive"], counts["pairs"]["negative"]) == (1, 1)
    assert counts["pairs"]["outside_training"] == 4
    assert manifest.inputs["judgements"].startswith("judgements/")
    assert manifest.info["config"]["objectives"][-1]["kind"] == "pairs"


def test_only_pairs_within_training_reach_the_batches(shop: Shop) -> None:
    table = Snapshot.open(shop.workspace, shop.snapshot).table()
    ids = table.column("id").to_pylist()
    names = [shop.split[id] for id in ids]
    some = [JudgedPair(a, b, 1.0) for a, b in itertools.combinations(ids[::7], 2)]
    known = build(table, names, shop.config.training, str, some)
    ends = np.concatenate([known.pairs.left, known.pairs.right])
    assert len(ends)
    assert {names[i] for i in ends} == {TRAIN}
    both = [p for p in some if shop.split[p.left_id] == shop.split[p.right_id] == TRAIN]
    assert len(known.pairs.left) == known.counts["judgements"]["trained_on"] == len(both)


def test_ids_change_with_judgements_and_without_any_stay_as_they_were(shop: Shop) -> None:
    train, holdout = shop.of(TRAIN), shop.of(HOLDOUT)
    without = run(shop.config, shop.workspace, shop.snapshot)
    assert "judgements" not in without.inputs
    assert shop.train() == without
    some = shop.train((train[0], train[1], "similar"))
    others = shop.train((train[0], train[1], "not_similar"))
    assert len({without.id, some.id, others.id}) == 3
    assert shop.train((train[0], train[1], "similar")) == some
    assert some.inputs["splits"] == without.inputs["splits"]
    assert some.inputs["base"] == without.inputs["base"]
    apart = shop.train((train[0], holdout[0], "similar"))
    assert apart.inputs["splits"] == without.inputs["splits"]


def test_a_duplicate_of_a_held_out_product_is_never_looked_at(shop: Shop, images_read: list[bytes]) -> None:
    train, holdout = shop.of(TRAIN), shop.of(HOLDOUT)
    hashes = {row["id"]: {sha for sha, _ in p} for row, p in shop.made}
    group = {row["id"]: row["item_group_id"] for row, _ in shop.made}
    siblings = {id for id in group if group[id] == group[train[0]]}
    assert len(siblings) == 2
    manifest = shop.train((train[0], holdout[0], "duplicate"))
    assert shop.splits(manifest.inputs["splits"]) == shop.split | dict.fromkeys(siblings, UNUSED)
    assert not set(images_read) & set.union(*(hashes[id] for id in siblings))
    assert hashes[train[1]] <= set(images_read)
    assert manifest.info["counts"]["supervision"]["judgements"]["holdout"] == 1
    info = shop.workspace.get(manifest.inputs["splits"]).info
    assert info["counts"]["left_out_as_duplicates"] == 2


@given(
    st.lists(st.tuples(st.sampled_from(SPLITS), st.sampled_from("abcdef")), min_size=2, max_size=12),
    st.data(),
)
def test_separated_duplicates_never_straddle_and_held_out_products_stay(
    products: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Components have one split each, as the split makes them; duplicates are any pairs."""
    of = {key: split for split, key in products}
    splits, keys = [of[key] for _, key in products], [key for _, key in products]
    row = st.integers(0, len(products) - 1)
    duplicates = data.draw(st.lists(st.tuples(row, row), max_size=6))
    found, moved = separate(splits, keys, duplicates)
    for before, after in zip(splits, found, strict=True):
        assert after in (before, UNUSED)
        assert after == before or before in (TRAIN, VALIDATION, HOLDOUT)
    for left, right in duplicates:
        used = {found[left], found[right]} - {UNUSED}
        assert len(used) <= 1
    assert moved == sum(a != b for a, b in zip(splits, found, strict=True))
    touched = {keys[i] for pair in duplicates for i in pair}
    assert all(a == b for a, b, key in zip(splits, found, keys, strict=True) if key not in touched)
    one_each = {key: {s for s, k in zip(found, keys, strict=True) if k == key} for key in keys}
    assert all(len(splits_of) == 1 for splits_of in one_each.values())


def test_duplicates_are_kept_apart_through_others_too() -> None:
    splits = [TRAIN, TRAIN, HOLDOUT, TRAIN, VALIDATION]
    found, moved = separate(splits, list("abcde"), [(0, 1), (1, 2)])
    assert (found, moved) == ([UNUSED, UNUSED, HOLDOUT, TRAIN, VALIDATION], 2)
    assert separate(splits, list("abcde"), [(3, 4)])[0] == [
        TRAIN,
        TRAIN,
        HOLDOUT,
        UNUSED,
        VALIDATION,
    ]
    assert separate(splits, list("abcde"), []) == (splits, 0)


def test_the_encoder_learns_from_judgements(shop: Shop) -> None:
    """Similar are products of different colours, which the category pulls apart."""
    train = shop.of(TRAIN)
    color = {row["id"]: row["product_type"] for row, _ in shop.made}
    across = [(a, b) for a, b in itertools.combinations(train, 2) if color[a] != color[b]][::5][:12]
    quick = {"max_epochs": 3, "epoch_steps": 8, "optimizer": {"head_lr": 3e-3}}
    config = shop.config.training.model_validate(shop.config.training.model_dump() | quick)
    shop.config = shop.config.model_copy(update={"training": config})
    without = shop.similarity(shop.train(), across)
    taught = shop.similarity(shop.train(*((a, b, "similar") for a, b in across)), across)
    assert taught > without + 0.05


def test_objectives_without_a_term_on_pairs_get_one_and_others_stay() -> None:
    terms = [{"kind": "clip"}, {"kind": "metric", "loss": {"name": "SupConLoss"}}]
    found = with_judgements(TrainingConfig.model_validate({"objectives": terms})).terms
    assert [t.kind for t in found] == ["clip", "metric", "pairs"]
    assert found[1].params == {"judged": True}
    own = TrainingConfig.model_validate(
        {
            "objectives": [
                {"kind": "clip"},
                {"kind": "metric", "label": "links", "loss": {"name": "SupConLoss"}},
            ]
        }
    )
    assert with_judgements(own) == own


def test_a_few_judgements_do_not_take_over_the_batches(shop: Shop) -> None:
    table = Snapshot.open(shop.workspace, shop.snapshot).table()
    ids = table.column("id").to_pylist()
    names = [TRAIN] * len(ids)
    config = shop.config.training
    one = build(table, names, config, str, [JudgedPair(ids[0], ids[5], 1.0)])
    many = build(table, names, config, str, [JudgedPair(a, b, 1.0) for a, b in itertools.pairwise(ids)])
    assert one.links_share == pytest.approx(16 * 2 / len(ids))
    assert many.links_share == 1.0
    for known, share in ((one, one.links_share), (many, 1.0)):
        sampler = Sampler(
            known, np.arange(len(ids)), np.ones(len(ids), np.int64), config.sampler, 0, {"category": 1.0}
        )
        assert sampler.pools[LINKS].weight == pytest.approx(config.sampler.links_weight * share)


def test_judgements_prevail_over_labels() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    judged = torch.zeros(4, 4)
    judged[0, 1] = judged[1, 0] = -1.0
    judged[0, 2] = judged[2, 0] = 0.5
    found = consistent_pairs(judged, torch.arange(4), labels, None)
    assert found is not None
    anchors, positives, others, negatives = found
    assert set(zip(anchors.tolist(), positives.tolist(), strict=True)) == {(0, 2), (2, 0), (2, 3), (3, 2)}
    assert set(zip(others.tolist(), negatives.tolist(), strict=True)) == {
        (0, 1), (1, 0), (0, 3), (3, 0), (1, 2), (2, 1), (1, 3), (3, 1),
    }  # fmt: skip
    triplets = tuple(torch.tensor(t) for t in ([0, 2, 3], [1, 3, 2], [2, 0, 1]))
    assert [t.tolist() for t in consistent_pairs(judged, torch.arange(4), labels, triplets) or ()] == [
        [3],
        [2],
        [1],
    ]
    mined = tuple(torch.tensor(t) for t in ([0, 2], [1, 3], [0, 1], [2, 3]))
    assert [t.tolist() for t in consistent_pairs(judged, torch.arange(4), labels, mined) or ()] == [
        [2],
        [3],
        [1],
        [3],
    ]
