"""The split: components, their stability, what the guards hold back."""

import itertools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import Config
from recsys.config.supervision import SplitConfig
from recsys.training.near_duplicates import LoadThumbnail, difference, near_pairs, thumbnail
from recsys.training.splits import ProductLinks, assign, find_components, make_splits, separate
from recsys.workspace import Workspace
from recsys.workspace.splits import HOLDOUT, TEST, TRAIN, UNUSED, VALIDATION, read_splits
from tests.training import nights
from tests.training.shop import store

CONFIG = SplitConfig(validation_share=0.2, holdout_share=0.2, test_share=0.2, phash_max_products=100)
BITS = 0x0F0F_0F0F_0F0F_0F0F
"""A hash with as many ones as zeros."""

Image = tuple[int, int]
"""Which image, and its perceptual hash."""
Products = dict[str, tuple[str | None, tuple[Image, ...]]]

image_hashes = st.integers(0, 30).map(
    lambda i: (i, BITS ^ ((1 << 3 * (i % 8)) - 1))
)  # neighbours: three bits
groups = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "dd", "ee"]))
products = st.dictionaries(
    st.from_regex(r"[0-9a-z]{1,4}", fullmatch=True),
    st.tuples(groups, st.lists(image_hashes, max_size=3).map(tuple)),
    max_size=25,
)


def links_of(made: Products, load_thumbnail: LoadThumbnail | None = None) -> ProductLinks:
    ids = sorted(made)
    return ProductLinks(
        ids=ids,
        groups=[made[i][0] for i in ids],
        images=[[str(number).encode() for number, _ in made[i][1]] for i in ids],
        phashes=[[phash for _, phash in made[i][1]] for i in ids],
        load_thumbnail=load_thumbnail,
    )


def alone(*numbers: int) -> tuple[Image, ...]:
    """Images that look like no other."""
    return tuple((n, int(np.random.default_rng(n).integers(2**63))) for n in numbers)


def split(
    made: Products, previous: dict[str, str] | None = None, config: SplitConfig = CONFIG
) -> dict[str, str]:
    given = links_of(made)
    keys, _ = find_components(given, config)
    return dict(zip(given.ids, assign(keys, config, ids=given.ids, previous=previous), strict=True))


def connected(ids: Sequence[str], linked: set[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Components by repeated merging, the slow way."""
    parts = {i: frozenset([i]) for i in ids}
    for left, right in linked:
        if parts[left] is not parts[right]:
            merged = parts[left] | parts[right]
            parts |= dict.fromkeys(merged, merged)
    return parts


@given(st.sets(st.integers(0, 2**64 - 1), max_size=30), st.integers(1, 8), st.data())
def test_near_pairs_are_all_pairs_within_the_distance(
    values: set[int], distance: int, data: st.DataObject
) -> None:
    flips = (
        data.draw(
            st.lists(
                st.tuples(st.sampled_from(sorted(values)), st.sets(st.integers(0, 63), max_size=10)),
                max_size=20,
            )
        )
        if values
        else []
    )
    for value, bits in flips:
        values |= {value ^ sum(1 << b for b in bits)}
    expected = {
        (a, b) for a, b in itertools.combinations(sorted(values), 2) if (a ^ b).bit_count() <= distance
    }
    found = near_pairs(np.array(sorted(values), np.uint64), distance)
    assert set(found) == expected
    assert len(found) == len(expected)
    apart = [(a ^ b).bit_count() for a, b in found]
    assert apart == sorted(apart)


@settings(deadline=None)
@given(products)
def test_components_are_the_connected_products(made: Products) -> None:
    given = links_of(made)
    keys, counts = find_components(given, CONFIG)
    exact, _ = find_components(given, SplitConfig(phash_distance=-1))
    pairs = list(itertools.combinations(sorted(made), 2))
    links = {
        (a, b)
        for a, b in pairs
        if (made[a][0] is not None and made[a][0] == made[b][0]) or set(made[a][1]) & set(made[b][1])
    }
    near = {
        (a, b)
        for a, b in pairs
        if any((x ^ y).bit_count() <= 4 for _, x in made[a][1] for _, y in made[b][1])
    }
    for found, expected in (
        (exact, connected(given.ids, links)),
        (keys, connected(given.ids, links | near)),
    ):
        of = dict(zip(given.ids, found, strict=True))
        assert all((of[a] == of[b]) == (b in expected[a]) for a in of for b in of)
    assert counts["components"] == len(set(keys))


@settings(deadline=None)
@given(products, products)
def test_new_products_without_links_move_nobody(old: Products, new: Products) -> None:
    apart: Products = {
        f"{id}-new": (g and f"{g}-new", alone(*(1000 + n for n, _ in p))) for id, (g, p) in new.items()
    }
    before, after = split(old), split(old | apart)
    assert {id: after[id] for id in before} == before


@settings(deadline=None)
@given(products, products)
def test_with_a_champion_only_joined_components_move_and_only_to_training(
    old: Products, new: Products
) -> None:
    grown = old | {id: made for id, made in new.items() if id not in old}
    before = split(old)
    after = split(grown, previous=before)
    keys, _ = find_components(links_of(grown), CONFIG)
    key = dict(zip(sorted(grown), keys, strict=True))
    for id, was in before.items():
        met = {before[other] for other in before if key[other] == key[id]}
        expected = next(role for role in (TRAIN, VALIDATION, HOLDOUT, TEST) if role in met)
        assert after[id] == expected
        if was == TRAIN:
            assert after[id] == TRAIN  # what was learnt from never judges


def test_a_growing_component_keeps_its_split_without_a_champion() -> None:
    made: Products = {str(n): (None, alone(n % 250)) for n in range(1000, 1200)}
    grown = made | {str(n): (None, alone(n % 250)) for n in range(2000, 3000)}
    before, after = split(made), split(grown)
    assert {id: after[id] for id in before} == before  # ids that count up: the oldest names the component


def test_shares_are_kept() -> None:
    splits = list(split({f"P{i}": (None, ()) for i in range(20_000)}).values())
    for role in (HOLDOUT, VALIDATION, TEST):
        assert abs(splits.count(role) / 20_000 - 0.2) < 0.01


def test_folds_turn_every_product_but_those_of_the_final_test_through_the_holdout() -> None:
    made: Products = {f"P{i}": (None, ()) for i in range(3000)}
    folds = [split(made, config=SplitConfig(fold=k, holdout_share=0.09)) for k in range(10)]
    test = {id for id, role in folds[0].items() if role == TEST}
    assert all({id for id, role in fold.items() if role == TEST} == test for fold in folds)
    held_out = [sum(fold[id] == HOLDOUT for fold in folds) for id in made if id not in test]
    assert set(held_out) == {1}


def test_a_larger_holdout_takes_from_the_others_and_gives_nothing_back() -> None:
    made: Products = {f"P{i}": (None, ()) for i in range(2000)}
    small, large = (split(made, config=SplitConfig(holdout_share=s)) for s in (0.1, 0.3))
    assert all(large[id] == HOLDOUT for id, s in small.items() if s == HOLDOUT)


def count(made: Products, config: SplitConfig = CONFIG) -> int:
    return len(set(find_components(links_of(made), config)[0]))


def test_plain_and_common_hashes_join_nobody_and_chains_are_cut() -> None:
    flat: Products = {f"P{i}": (None, ((i, 0b111),)) for i in range(5)}
    assert count(flat) == 5
    common: Products = {f"P{i}": (None, ((i, BITS),)) for i in range(30)}
    assert count(common, SplitConfig()) == 30
    assert count(common, SplitConfig(phash_max_products=40)) == 1
    chain: Products = {f"P{i:03d}": (None, ((i, BITS ^ ((1 << i) - 1)),)) for i in range(0, 56, 2)}
    keys, counts = find_components(links_of(chain), SplitConfig(max_component=10))
    assert max(keys.count(key) for key in keys) <= 10
    assert counts["refused_joins"] > 0
    assert count(chain) == 1


def test_what_the_hash_suggests_is_confirmed_on_thumbnails() -> None:
    rng = np.random.default_rng(0)
    shoe, boot = (rng.integers(0, 256, (32, 32, 3)).astype(np.float32) for _ in range(2))
    thumbnails = {b"0": shoe, b"1": shoe + 1, b"2": boot, b"3": boot - 1, b"4": shoe}
    made: Products = {f"P{i}": (None, ((i, BITS ^ (i % 2)),)) for i in range(5)}
    keys, counts = find_components(links_of(made, thumbnails.__getitem__), CONFIG)
    assert keys[0] == keys[1] == keys[4]
    assert keys[2] == keys[3]
    assert len(set(keys)) == 2
    assert counts["near_equal_images"] >= 3


@pytest.mark.parametrize("seed", range(5))
def test_a_resaved_image_is_a_near_duplicate_and_another_product_is_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    things = []
    for _ in range(2):  # a small coloured thing on white, in the same place
        pixels = np.full((240, 200, 3), 255, np.uint8)
        pixels[90:150, 60:140] = np.repeat(np.repeat(rng.integers(0, 200, (6, 8, 3)), 10, 0), 10, 1)
        things.append(cv2.GaussianBlur(pixels, (0, 0), 2))
    small = cv2.resize(things[0], (100, 120), interpolation=cv2.INTER_AREA)
    one, again, other = (thumbnail(simplejpeg.encode_jpeg(p, 80)) for p in (things[0], small, things[1]))
    limit = SplitConfig().phash_difference
    assert difference(one, again) < limit
    assert difference(one, other) > 1.5 * limit
    assert difference(one, one) == 0


def test_groups_join_whatever_their_number() -> None:
    made: Products = {f"P{i}": ("one", ()) for i in range(500)}
    assert len(set(find_components(links_of(made), CONFIG)[0])) == 1


def test_a_column_decides_and_near_duplicates_of_stricter_roles_are_left_out() -> None:
    own: dict[str, tuple[str, ...]] = {"train": ("a",), "validation": ("b",), "test": ("c",)}
    config = SplitConfig(column="fold", holdout_share=0, **own)
    keys = ["1", "shared", "shared", "2", "shared", "3", "4"]
    given = assign(keys, config, values=["a", "a", "b", "b", "c", None, "d"])
    assert given == [TRAIN, TRAIN, VALIDATION, VALIDATION, TEST, UNUSED, UNUSED]
    assert separate(given, keys) == ([TRAIN, UNUSED, UNUSED, VALIDATION, TEST, UNUSED, UNUSED], 2)


def test_roles_without_a_value_take_their_share_of_the_training_products() -> None:
    config = SplitConfig(column="fold", train=("a",), test=("c",))
    roles = assign([str(i) for i in range(4000)], config, values=["a"] * 3000 + ["c"] * 1000)
    assert roles[3000:] == [TEST] * 1000
    assert TEST not in roles[:3000]
    assert abs(roles.count(HOLDOUT) / 3000 - 0.1) < 0.02
    assert abs(roles.count(VALIDATION) / 3000 - 0.1) < 0.02


def split_stored(
    workspace: Workspace, snapshot: str, champion: str | None = None, **split: Any
) -> tuple[dict[str, str], str]:
    """Split the snapshot; return the role of each product, and the ref of the split."""
    config = Config.model_validate({"training": {"split": split}})
    ref = make_splits(config, workspace, snapshot, champion).ref
    return {row["id"]: row["split"] for row in read_splits(workspace, ref).to_pylist()}, ref


def test_what_an_encoder_long_ago_was_trained_on_never_decides_nor_tests(workspace: Workspace) -> None:
    rows = [row | {"product_type": "abc"[i % 3]} for i, row in enumerate(nights.products(60))]
    column = {"column": "product_type", "train": ["a"], "holdout": ["b"], "test": ["c"]}
    champion, found = None, []
    for name, config in (("first", {}), ("second", column), ("third", column)):
        snapshot = store(workspace, [(row, []) for row in rows], name)
        roles, splits = split_stored(workspace, snapshot, champion, **config)
        found.append(roles)
        with workspace.create("encoders", name, inputs={"splits": splits}) as draft:
            draft.info["role"] = "challenger"
        champion = draft.committed().ref
    first, second, third = found
    trained = [id for id, role in first.items() if role == TRAIN]
    assert all({second[id], third[id]} <= {TRAIN, UNUSED} for id in trained)
    assert UNUSED in {second[id] for id in trained}
    assert third == second
    assert {HOLDOUT, TEST} <= set(third.values())


def test_classes_have_one_role_that_new_products_leave_alone_and_the_fold_turns_but_for_the_final_test(
    workspace: Workspace,
) -> None:
    rows = [row | {"product_type": f"class {i // 3}"} for i, row in enumerate(nights.products(180))]
    grown = [row | {"product_type": f"class {i % 80}"} for i, row in enumerate(nights.products(420)[180:])]
    for number in range(6):
        rows[number]["product_type"] = None  # drawn as the component that it is
    kind = {row["id"]: row["product_type"] or row["id"] for row in [*rows, *grown]}
    tonight = store(workspace, [(row, []) for row in rows], "tonight")
    another = store(workspace, [(row, []) for row in [*rows, *grown]], "another")

    def classes(snapshot: str, fold: int = 0) -> dict[str, str]:
        """Return the role of each class, and see that it is one."""
        shares = dict.fromkeys(("validation_share", "holdout_share"), 0.09) | {"test_share": 0.1}
        roles, _ = split_stored(workspace, snapshot, classes=["product_type"], fold=fold, **shares)
        pairs = {(kind[id], role) for id, role in roles.items()}
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)

    first = classes(tonight)
    assert set(first.values()) == {TRAIN, VALIDATION, HOLDOUT, TEST}
    assert len({first[row["id"]] for row in rows[:6]}) > 1
    later = classes(another)
    assert first.items() <= later.items()
    assert len(later) > len(first)
    folds = [classes(tonight, fold) for fold in range(10)]
    for name, role in first.items():
        turns = [fold[name] for fold in folds]
        assert [turns.count(r) for r in (TEST, HOLDOUT, VALIDATION)] == (
            [10, 0, 0] if role == TEST else [0, 1, 1]
        )
