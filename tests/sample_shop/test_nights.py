from hypothesis import given, settings
from hypothesis import strategies as st

from examples.sample_shop.nights import SHARE, state


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(1, 2000), st.integers(2, 12))
def test_a_night_changes_about_one_product_in_a_hundred(seed: int, count: int, night: int) -> None:
    before, after = state(seed, count, night - 1), state(seed, count, night)
    there, then = set(after.numbers()), set(before.numbers())
    changed = {n for n in there & then if after.changed_on.get(n, 1) == night}
    touched = len(changed) + len(there - then) + len(then - there)
    assert touched == sum(after.tonight.values()) == max(1, round(SHARE * len(then)))
    assert there - then == set(range(before.count, after.count))


def test_a_night_of_six_hundred_has_a_change_of_every_kind() -> None:
    assert state(0, 600, 2).tonight == {"new": 1, "gone": 1, "image": 1, "wording": 1, "offer": 2}


def test_the_first_night_has_changed_nothing() -> None:
    first = state(5, 40, 1)
    assert first.numbers() == list(range(40))
    assert (first.changed_on, first.tonight, first.gone) == ({}, {}, set())
