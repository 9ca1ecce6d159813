from hypothesis import given
from hypothesis import strategies as st

from examples.sample_shop.dice import Dice

keys = st.lists(st.one_of(st.text(max_size=5), st.integers(0, 10**9)), min_size=1, max_size=4)


@given(keys)
def test_equal_keys_draw_equally_and_other_keys_otherwise(key: list[str | int]) -> None:
    first, again, other = Dice(*key), Dice(*key), Dice(*key, "other")
    draws = [first.uniform() for _ in range(4)]
    assert draws == [again.uniform() for _ in range(4)]
    assert draws != [other.uniform() for _ in range(4)]


def test_known_draws_never_change() -> None:
    dice = Dice(0, "known")
    assert [dice.integer(0, 999) for _ in range(6)] == [849, 214, 470, 334, 487, 407]


@given(st.integers(-50, 50), st.integers(0, 50), st.integers(0, 1000))
def test_integers_stay_within_both_ends(low: int, span: int, key: int) -> None:
    assert low <= Dice(key).integer(low, low + span) <= low + span


@given(st.lists(st.integers(), max_size=20, unique=True), st.integers(0, 25), st.integers(0, 1000))
def test_a_sample_holds_different_options(options: list[int], count: int, key: int) -> None:
    drawn = Dice(key).sample(options, count)
    assert len(drawn) == len(set(drawn)) == min(count, len(options))
    assert set(drawn) <= set(options)


def test_weights_are_proportions() -> None:
    dice = Dice("weights")
    drawn = [dice.weighted((("a", 3), ("b", 1), ("never", 0))) for _ in range(4000)]
    assert 0.70 < drawn.count("a") / len(drawn) < 0.80
    assert "never" not in drawn
