"""The order of candidates: rules, collapsing, diversity."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.feedback.rules import Rule
from recsys.search.rank import Ranking, ScoredProduct, mmr, rank


def candidate(id: str, score: float, *, group: str | None = None, vector: Any = None, **payload: Any) -> Any:
    stored = np.array([1, 0, 1, 0], np.float32) / np.sqrt(2) if vector is None else vector
    columns = payload | ({"item_group_id": group} if group else {})
    return ScoredProduct(id, score, score, score, stored, columns)


def rule(id: int, action: Any, value: str, **more: Any) -> Rule:
    return Rule(**{"id": id, "action": action, "target": "product", "target_value": value, **more})


def ids(ranking: Ranking) -> list[str]:
    return [r.product.id for r in ranking.order]


MIXED = [candidate("b", 0.5), candidate("a", 0.5), candidate("c", 0.9)]
FOUR = [candidate(x, 0.9 - i / 10) for i, x in enumerate("abcd")]
GROUPS = [candidate("a", 0.9, group="g"), candidate("b", 0.95, group="h"), candidate("c", 0.8, group="g")]
PAIR = [candidate("a", 0.9, group="g"), candidate("b", 0.85, group="g")]
PINS = [rule(3, "pin", "c", position=1), rule(2, "pin", "d", position=1), rule(9, "pin", "b", position=0)]


@pytest.mark.parametrize(
    ("products", "rules", "collapse", "order"),
    [
        (MIXED, [], False, ["c", "a", "b"]),  # equal scores: by id, however they come
        (MIXED[::-1], [], False, ["c", "a", "b"]),
        (FOUR, PINS, True, ["b", "d", "c", "a"]),  # pins by position, then age
        ([*GROUPS, candidate("d", 0.7)], [], True, ["b", "a+c", "d"]),
        (GROUPS, [], False, ["b", "a", "c"]),
        # A product named like a group is no variant of it.
        ([candidate("g", 0.9), candidate("x", 0.8, group="g")], [], True, ["g", "x"]),
        # A moved variant leads its group.
        (PAIR, [rule(1, "pin", "b")], True, ["b+a"]),
        (PAIR, [rule(1, "boost", "b")], True, ["b+a"]),
        (PAIR, [rule(1, "pin", "b"), rule(2, "pin", "a")], True, ["b", "a"]),  # who pins two wants to see two
    ],
)
def test_the_order_of_products_and_their_variants(
    products: list[Any], rules: list[Rule], collapse: bool, order: list[str]
) -> None:
    ranking = rank(products, rules, collapse_variants=collapse)
    assert ["+".join([r.product.id, *(v.id for v in r.variants)]) for r in ranking.order] == order


def test_rules_add_up_and_leave_the_score() -> None:
    three = [candidate("a", 0.9, brand="Acme"), candidate("b", 0.85), candidate("c", 0.8)]
    rules = [
        rule(1, "boost", "c", strength=0.07),
        rule(2, "bury", "a", strength=0.2),
        rule(3, "boost", "Acme", target="brand", strength=0.1),
    ]
    ranking = rank(three, rules, collapse_variants=True)
    assert ids(ranking) == ["c", "b", "a"]
    assert [r.product.score for r in ranking.order] == [0.8, 0.85, 0.9]
    assert [r.shifted_score for r in ranking.order] == pytest.approx([0.87, 0.85, 0.8])
    assert [(e.rule_id, e.action, e.shift) for e in ranking.order[0].effects] == [(1, "boost", 0.07)]


def test_what_is_blocked_is_not_there_and_is_accounted_for() -> None:
    rules = [rule(7, "block", "b"), rule(8, "pin", "b"), rule(9, "boost", "b")]
    ranking = rank([candidate("a", 0.9), candidate("b", 0.8)], rules, collapse_variants=True)
    assert ids(ranking) == ["a"]
    assert [(c.id, e.rule_id) for c, e in ranking.blocked] == [("b", 7)]


def test_mmr_follows_its_equation() -> None:
    # three alike (cosine 1), one at a right angle; worked out by hand at diversity 0.5
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    relevance = np.array([0.9, 0.8, 0.7, 0.3], np.float32)
    # after 0: 1: .40 - .5, 2: .35 - .5, 3: .15 - 0
    assert mmr(relevance, vectors, diversity=0.5, count=4) == [0, 3, 1, 2]
    assert mmr(relevance, vectors, diversity=0.1, count=4) == [0, 1, 2, 3]
    assert mmr(relevance[:0], vectors[:0], diversity=0.5, count=3) == []


@given(st.integers(0, 1000), st.integers(1, 12), st.floats(0, 1))
def test_mmr_takes_the_best_of_what_is_left_at_each_step(seed: int, count: int, diversity: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = rng.uniform(size=count).astype(np.float32)
    picks = mmr(relevance, vectors, diversity=diversity, count=count)
    assert sorted(picks) == list(range(count))
    for step in range(1, count):
        gains = {
            i: (1 - diversity) * relevance[i] - diversity * max(vectors[i] @ vectors[j] for j in picks[:step])
            for i in picks[step:]
        }
        assert gains[picks[step]] == pytest.approx(max(gains.values()), abs=1e-5)


@given(st.integers(0, 500), st.integers(1, 20), st.integers(0, 10))
def test_a_longer_answer_begins_with_the_shorter(seed: int, shorter: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    pool = []
    for i in range(40):
        vector = rng.normal(size=(2, 3))
        vector /= np.linalg.norm(vector, axis=1, keepdims=True) * np.sqrt(2)
        group = f"g{i % 30}"
        pool.append(
            candidate(f"p{i}", float(rng.uniform()), group=group, vector=vector.ravel().astype(np.float32))
        )
    settings = {"collapse_variants": True, "diversity": 0.4, "diversity_pool": 25}
    one = ids(rank(pool, count=shorter, **settings))[:shorter]
    assert ids(rank(pool, count=shorter + more, **settings))[:shorter] == one


def test_diversity_weighs_looks_and_words_as_the_search_does() -> None:
    def stored(image: list[float], text: list[float]) -> np.ndarray:
        return np.array([*image, *text], np.float32) / np.float32(np.sqrt(2))

    rows = [
        candidate("first", 0.9, vector=stored([1, 0], [1, 0])),
        candidate("same looks", 0.8, vector=stored([1, 0], [0, 1])),
        candidate("same words", 0.8, vector=stored([0, 1], [1, 0])),
    ]
    looks = rank(rows, collapse_variants=False, diversity=0.5, image_weight=1.0)
    words = rank(rows, collapse_variants=False, diversity=0.5, image_weight=0.0)
    assert ids(looks) == ["first", "same words", "same looks"]
    assert ids(words) == ["first", "same looks", "same words"]
