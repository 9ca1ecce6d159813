"""The split: components, their stability, what the guards hold back."""

import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.config.supervision import SplitConfig
from recsys.training.splits import Facts, assign, components, near_pairs, prescribed
from recsys.workspace.splits import HOLDOUT, TRAIN, UNUSED, VALIDATION

CONFIG = SplitConfig(validation_share=0.2, holdout_share=0.2)
BITS = 0x0F0F_0F0F_0F0F_0F0F
"""A hash with as many ones as noughts."""

Products = dict[str, tuple[str | None, tuple[bytes, ...], tuple[int, ...]]]

images = st.lists(st.sampled_from([bytes([i]) for i in range(12)]), max_size=3).map(tuple)
groups = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "dd", "ee"]))
hashes = st.lists(st.integers(0, 7).map(lambda i: BITS ^ (0b111 << 8 * i)), max_size=2).map(tuple)
products = st.dictionaries(
    st.from_regex(r"[0-9a-z]{1,4}", fullmatch=True), st.tuples(groups, images, hashes), max_size=25
)


def facts(made: Products) -> Facts:
    ids = sorted(made)
    return Facts(
        ids=ids,
        groups=[made[i][0] for i in ids],
        images=[made[i][1] for i in ids],
        phashes=[made[i][2] for i in ids],
    )


def split(
    made: Products, previous: dict[str, str] | None = None, config: SplitConfig = CONFIG
) -> dict[str, str]:
    given = facts(made)
    keys, _, _ = components(given, config)
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
def test_near_pairs_are_those_of_the_slow_way(values: set[int], distance: int, data: st.DataObject) -> None:
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


@given(products)
def test_components_are_the_connected_products(made: Products) -> None:
    given_facts = facts(made)
    keys, exact, counts = components(given_facts, CONFIG)
    links = {
        (a, b)
        for a, b in itertools.combinations(sorted(made), 2)
        if (made[a][0] is not None and made[a][0] == made[b][0]) or set(made[a][1]) & set(made[b][1])
    }
    near = {
        (a, b)
        for a, b in itertools.combinations(sorted(made), 2)
        if any((x ^ y).bit_count() <= CONFIG.phash_distance for x in made[a][2] for y in made[b][2])
    }
    for found, expected in (
        (exact, connected(given_facts.ids, links)),
        (keys, connected(given_facts.ids, links | near)),
    ):
        of = dict(zip(given_facts.ids, found, strict=True))
        assert all((of[a] == of[b]) == (b in expected[a]) for a in of for b in of)
    assert counts["components"] == len(set(keys))


@given(products)
def test_no_component_is_divided(made: Products) -> None:
    given_facts = facts(made)
    keys, _, _ = components(given_facts, CONFIG)
    splits = assign(keys, CONFIG)
    assert len(set(zip(keys, splits, strict=True))) == len(set(keys))


@given(products, products)
def test_products_without_a_link_to_old_ones_move_nobody(old: Products, new: Products) -> None:
    apart = {
        f"{id}-new": (g and f"{g}-new", tuple(b"new" + i for i in pictures), ())
        for id, (g, pictures, _) in new.items()
    }
    before, after = split(old), split(old | apart)
    assert {id: after[id] for id in before} == before


@given(products, products)
def test_with_a_champion_only_joined_components_move_and_only_to_training(
    old: Products, new: Products
) -> None:
    grown = old | {id: made for id, made in new.items() if id not in old}
    before = split(old)
    after = split(grown, previous=before)
    keys, _, _ = components(facts(grown), CONFIG)
    key = dict(zip(sorted(grown), keys, strict=True))
    for id, was in before.items():
        met = {before[other] for other in before if key[other] == key[id]}
        expected = TRAIN if TRAIN in met else VALIDATION if VALIDATION in met else HOLDOUT
        assert after[id] == expected
        if was == TRAIN:
            assert after[id] == TRAIN  # what was learnt from never judges


def test_a_growing_component_keeps_its_side_without_a_champion() -> None:
    made: Products = {str(n): (None, (bytes([n % 250]),), ()) for n in range(1000, 1200)}
    grown = made | {str(n): (None, (bytes([n % 250]),), ()) for n in range(2000, 3000)}
    before, after = split(made), split(grown)
    assert {id: after[id] for id in before} == before  # ids that count up: the oldest names the component


def test_shares_are_kept() -> None:
    splits = list(split({f"P{i}": (None, (), ()) for i in range(20_000)}).values())
    assert abs(splits.count(HOLDOUT) / 20_000 - 0.2) < 0.01
    assert abs(splits.count(VALIDATION) / 20_000 - 0.2) < 0.01


def test_a_larger_holdout_takes_from_the_others_and_gives_nothing_back() -> None:
    made: Products = {f"P{i}": (None, (), ()) for i in range(2000)}
    small, large = (split(made, config=SplitConfig(holdout_share=s)) for s in (0.1, 0.3))
    assert all(large[id] == HOLDOUT for id, s in small.items() if s == HOLDOUT)


def test_flat_common_and_runaway_hashes_join_nobody() -> None:
    flat: Products = {f"P{i}": (None, (bytes([i]),), (0b111,)) for i in range(5)}
    assert len(set(components(facts(flat), CONFIG)[0])) == 5
    common: Products = {f"P{i}": (None, (bytes([i]),), (BITS,)) for i in range(30)}
    assert len(set(components(facts(common), CONFIG)[0])) == 30
    assert len(set(components(facts(common), SplitConfig(phash_max_products=40))[0])) == 1
    chain: Products = {f"P{i:03d}": (None, (), (BITS ^ ((1 << i) - 1),)) for i in range(0, 56, 2)}
    keys, _, counts = components(facts(chain), SplitConfig(max_component=10))
    assert max(keys.count(key) for key in keys) <= 10
    assert counts["refused_joins"] > 0
    assert len(set(components(facts(chain), CONFIG)[0])) == 1


def test_groups_join_whatever_their_number() -> None:
    made: Products = {f"P{i}": ("one", (), ()) for i in range(500)}
    assert len(set(components(facts(made), CONFIG)[0])) == 1


def test_a_column_decides_but_no_held_out_picture_is_learnt_from() -> None:
    config = SplitConfig(column="fold", train=("a",), validation=("b",), holdout=("c",))
    values = ["a", "a", "b", "b", "c", None, "d"]
    keys = ["1", "shared", "shared", "2", "shared", "3", "4"]
    splits, straddling = prescribed(values, keys, config)
    assert splits == [TRAIN, UNUSED, UNUSED, VALIDATION, HOLDOUT, UNUSED, UNUSED]
    assert straddling == 2


def test_validation_is_drawn_whole_by_the_columns_named() -> None:
    config = SplitConfig(column="fold", train=("a",), holdout=("c",), validation_share=0.3)
    classes = [f"class{i % 40}" for i in range(400)]
    splits, _ = prescribed(["a"] * 400, [str(i) for i in range(400)], config, drawn_by=classes)
    sides = {name: {s for c, s in zip(classes, splits, strict=True) if c == name} for name in set(classes)}
    assert all(len(s) == 1 for s in sides.values())
    assert {TRAIN} in sides.values()
    assert {VALIDATION} in sides.values()
