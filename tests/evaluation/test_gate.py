"""The gate: what it accepts, and everything at which it stays closed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config.evaluation import GateConfig
from recsys.evaluation.candidates import BASE, CHAMPION, TUNED, Candidate
from recsys.evaluation.gate import Check, Decision, GateResult, compare, decide, gate_score, select
from recsys.evaluation.scores import PerQueryScores, TaskResult
from recsys.metrics.bootstrap import Interval
from tests.evaluation import shop
from tests.evaluation.test_tasks import prepared, products

GATE = GateConfig(min_queries=20, min_components=10, min_category_queries=40, resamples=400)


def scores(
    gain: float, *, queries: int = 200, spread: float = 0.1, task: str = "variants", seed: int = 0
) -> PerQueryScores:
    """A champion at about 0.5 and a challenger that gains ``gain`` on average; two queries a component."""
    rng = np.random.default_rng(seed)
    champion = rng.uniform(0.2, 0.8, queries)
    noise = rng.normal(0, spread, queries)
    values = {"champion": champion, "tuned": champion + gain + noise - noise.sum() / max(queries, 1)}
    return PerQueryScores(task=task, values=values, components=np.arange(queries) // 2)


def constant(**values: float | np.ndarray) -> PerQueryScores:
    """Ninety independent queries with the same score each, or with given ones."""
    arrays = {
        name: np.broadcast_to(value, 90) if np.ndim(value) == 0 else value for name, value in values.items()
    }
    return PerQueryScores(task="variants", values=arrays, components=np.arange(90))


def compared(*tasks: PerQueryScores, reason: str | None = None) -> GateResult:
    return compare(
        tasks, reference="champion", challenger="tuned", config=GATE, seed=0, reason_to_change=reason
    )


OLD = "the champion is old."
TIE = scores(0.0, queries=2000, spread=0.02)
SLIGHT_LOSS = scores(-0.002, queries=2000, spread=0.005)  # within the tolerance


@pytest.mark.parametrize(
    ("result", "accepted", "said"),
    [
        (compared(scores(0.05)), True, "gains +0.0500"),
        (compared(scores(-0.05)), False, "lost overall"),
        (compared(scores(-0.05), reason=OLD), False, "lost overall"),
        (compared(TIE), False, "A tie"),
        (compared(TIE, reason=OLD), True, OLD),
        (compared(SLIGHT_LOSS), False, "A tie"),
        (compared(SLIGHT_LOSS, reason=OLD), True, OLD),
    ],
)
def test_a_gain_is_accepted_a_loss_refused_and_a_tie_needs_a_reason(
    result: GateResult, accepted: bool, said: str
) -> None:
    assert result.accepted is accepted
    assert said in result.reasons[0]


def test_few_noisy_queries_do_not_show_that_there_is_no_loss() -> None:
    """The same mean gain, but so noisy that a loss cannot be ruled out."""
    assert compared(scores(0.02, queries=2000, spread=0.1)).accepted
    assert not compared(scores(0.02, queries=30, spread=0.3), reason=OLD).accepted


def test_a_large_category_that_loses_closes_the_gate_and_a_small_one_does_not() -> None:
    rng = np.random.default_rng(0)

    def shop(bags: int) -> PerQueryScores:
        champion = rng.uniform(0.3, 0.7, 1000)
        gain = np.where(np.arange(1000) < bags, -0.2, 0.1) + rng.normal(0, 0.02, 1000)
        return PerQueryScores(
            task="category",
            values={"champion": champion, "tuned": champion + gain},
            components=np.arange(1000),
            categories=["Bags" if i < bags else "Shoes" for i in range(1000)],
        )

    refused = compared(shop(60))
    assert not refused.accepted
    assert any("Bags" in r for r in refused.reasons)
    assert compared(shop(39)).accepted


@pytest.mark.parametrize(
    ("low", "value", "high", "kind", "passed"),
    [
        (-0.004, 0.01, 0.03, "overall", True),
        (-0.006, 0.01, 0.03, "overall", False),
        (-0.3, 0.2, 0.7, "overall", False),
        (-0.06, -0.02, 0.01, "category", True),  # no loss is shown
        (-0.06, -0.02, 0.01, "overall", False),
        (-0.049, -0.02, -0.01, "category", True),  # shown, and within the margin
        (-0.051, -0.02, -0.001, "category", False),  # shown, and perhaps beyond it
        (-0.15, -0.08, -0.01, "task", False),
        (-0.15, -0.08, 0.0, "task", True),
        (float("nan"), 0.1, 0.2, "category", False),
        (float("nan"), float("nan"), float("nan"), "overall", False),
    ],
)
def test_what_an_interval_shows(low: float, value: float, high: float, kind: Any, passed: bool) -> None:
    limit = -0.005 if kind == "overall" else -0.05
    check = Check(name="x", kind=kind, num_queries=9, difference=Interval(value, low, high), limit=limit)
    assert check.passed is passed


def test_one_gating_task_may_not_pay_for_another() -> None:
    found = compared(scores(0.3), scores(-0.1, task="words", seed=1))
    assert not found.accepted
    assert "task words" in found.reasons[0]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (scores(0.1, queries=19), "19 held-out queries"),
        (scores(0.1, queries=0), "0 held-out queries"),
        (replace(constant(champion=0, tuned=1), components=np.zeros(90, int)), "1 independent"),
        (constant(champion=0, tuned=np.r_[np.nan, np.ones(89)]), "not numbers"),
        (constant(champion=0), "no scores for tuned"),
        (constant(tuned=1), "no scores for champion"),
        (constant(champion=0, tuned=np.ones(80)), "no scores for tuned"),
    ],
)
def test_doubt_keeps_the_champion(broken: PerQueryScores, said: str) -> None:
    found = compared(scores(0.2, task="other"), broken, reason=OLD)
    assert not found.accepted
    assert said in found.reasons[0]


def test_without_tasks_the_champion_stays() -> None:
    assert not compared().accepted


@given(gain=st.floats(-0.3, 0.3), seed=st.integers(0, 100), reason=st.booleans())
@settings(max_examples=60, deadline=None)
def test_whoever_is_accepted_has_no_loss_beyond_the_tolerance(gain: float, seed: int, reason: bool) -> None:
    found = compared(scores(gain, seed=seed, spread=0.05), reason="old" if reason else None)
    overall = found.checks[0]
    assert overall.difference.value == pytest.approx(gain, abs=1e-9)
    assert overall.difference.low <= gain <= overall.difference.high
    if found.accepted:
        assert overall.difference.low >= -GATE.tolerance
        assert reason or overall.difference.low > 0


@given(seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_swapping_the_two_never_accepts_both(seed: int) -> None:
    one = scores(0.01, seed=seed, spread=0.1)
    other = replace(one, values={"champion": one.values["tuned"], "tuned": one.values["champion"]})
    assert not (compared(one).accepted and compared(other).accepted)


def test_equal_encoders_are_hardly_ever_taken_for_a_gain() -> None:
    """At 95 % the lower end exceeds 0 by chance in about 2.5 % of nights."""
    accepted = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        base = rng.random(100)
        values = {"champion": base, "tuned": base + rng.normal(0, 0.02, 100)}
        accepted += compared(PerQueryScores(task="t", values=values, components=np.arange(100))).accepted
    assert accepted <= 14


def test_the_best_mean_over_tasks_is_selected_and_the_first_of_equals() -> None:
    names = ["base", "wise", "tuned"]
    assert select([constant(base=0.3, tuned=0.5, wise=0.6)] * 2, names)[0] == "wise"
    assert select([constant(base=0.5, tuned=0.5, wise=0.5)] * 2, names)[0] == "base"
    chosen, known = select([constant(base=0.3, tuned=float("nan"), wise=0.2)] * 2, names)
    assert chosen == "base"
    assert known["tuned"] is None
    assert select([], names) == (None, dict.fromkeys(names))


def test_the_gate_score_weighs_tasks_alike_whatever_their_size() -> None:
    tasks = [
        PerQueryScores(task="a", values={"x": np.ones(10)}, components=np.arange(10)),
        PerQueryScores(task="b", values={"x": np.zeros(1000)}, components=np.arange(1000)),
    ]
    assert gate_score(tasks, "x") == 0.5
    assert gate_score(tasks, "y") is None


def test_the_selected_candidate_looks_better_only_on_the_queries_that_selected_it() -> None:
    """Twenty candidates as good as the champion: their best looks better only where it was picked."""
    there, elsewhere = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        names = [f"c{i}" for i in range(20)]

        def split(rng: np.random.Generator = rng, names: list[str] = names) -> PerQueryScores:
            base = rng.random(150)
            values = {n: base + rng.normal(0, 0.3, 150) for n in names}
            return PerQueryScores(task="t", values={"champion": base, **values}, components=np.arange(150))

        validation, holdout = split(), split()
        best, _ = select([validation], names)
        assert best is not None
        for sample, gains in ((validation, there), (holdout, elsewhere)):
            gains.append(float((sample.values[best] - sample.values["champion"]).mean()))
    assert np.mean(there) > 0.03
    assert abs(np.mean(elsewhere)) < 0.01


NAMES = (CHAMPION, BASE, "wise-0.5", TUNED)


def result(name: str = "variants", queries: int = 60, noise: float = 0.01, **levels: float) -> TaskResult:
    """Every candidate at its level on every query, with a little noise of its own."""
    rows = [{"label": "x", "part": "holdout"} for _ in range(max(queries, 2))]
    task = prepared(products(*rows), {"name": name, "relevant": ["label"], "metrics": ["map@r"]})
    task = replace(task, queries=task.queries[:queries])
    rng = np.random.default_rng(0)
    names = {n.replace("wise_", "wise-0."): level for n, level in levels.items()}
    values = {n: {"map@r": level + rng.normal(0, noise, queries)} for n, level in names.items()}
    return TaskResult(task=task, values=values, components=np.arange(queries), categories=[None] * queries)


def decided(
    names: tuple[str, ...], validation: list[TaskResult], holdout: list[TaskResult], *,
    configured: bool = True, errors: dict[str, str] | None = None, why: dict[str, str | None] | None = None,
) -> Decision:  # fmt: skip
    own = {"tasks": [{"name": r.name, "relevant": ["label"], "gate": True} for r in holdout]}
    config = shop.settings(**(own if configured else {}))
    candidates = [Candidate(name=n, title=n.title(), ref=f"encoders/{n}") for n in names]
    return decide(config, candidates, errors or {}, validation, holdout, why or {})


def test_the_best_on_validation_is_compared_on_the_holdout() -> None:
    """The fine-tuned one is best on the holdout, but the interpolation was selected, and gains."""
    found = decided(
        NAMES,
        [result(champion=0.9, base=0.3, wise_5=0.6, tuned=0.5)],
        [result(champion=0.4, base=0.3, wise_5=0.5, tuned=0.8)],
    )
    assert (found.action, found.chosen, found.challenger) == ("promote", "wise-0.5", "wise-0.5")
    assert found.reference == CHAMPION
    assert found.validation_scores[TUNED] == pytest.approx(0.5, abs=0.01)
    assert CHAMPION not in found.validation_scores


def test_what_was_selected_is_refused_even_where_another_would_have_passed() -> None:
    found = decided(
        NAMES,
        [result(champion=0.4, base=0.3, wise_5=0.6, tuned=0.5)],
        [result(champion=0.4, base=0.3, wise_5=0.35, tuned=0.8)],
    )
    assert (found.action, found.chosen) == ("keep", CHAMPION)


BETTER, WORSE = result(base=0.3, wise_5=0.4, tuned=0.6), result(base=0.3, wise_5=0.2, tuned=0.1)


@pytest.mark.parametrize(
    ("validation", "holdout", "challenger", "chosen"),
    [(BETTER, BETTER, TUNED, TUNED), (WORSE, WORSE, BASE, BASE), (BETTER, WORSE, TUNED, BASE)],
)
def test_a_night_without_champion_is_won_by_the_base_unless_something_beats_it(
    validation: TaskResult, holdout: TaskResult, challenger: str, chosen: str
) -> None:
    found = decided(NAMES[1:], [validation], [holdout])
    assert (found.action, found.reference) == ("promote", BASE)
    assert (found.challenger, found.chosen) == (challenger, chosen)
    assert ("enters service" in found.reasons[-1]) is (chosen == BASE)


def test_an_error_in_any_candidate_keeps_the_champion_and_says_whose() -> None:
    good = [result(champion=0.4, wise_5=0.6, tuned=0.8)]
    found = decided(NAMES, good, good, errors={BASE: "its file is gone"})
    assert (found.action, found.chosen) == ("keep", CHAMPION)
    assert found.reasons == ["Base could not be evaluated: its file is gone"]


def test_without_validation_queries_the_fine_tuned_encoder_challenges() -> None:
    levels = {"champion": 0.4, "base": 0.9, "wise_5": 0.9, "tuned": 0.6}
    found = decided(NAMES, [result(queries=0, **levels)], [result(**levels)])
    assert (found.chosen, found.challenger) == (TUNED, TUNED)
    assert "without a selection" in found.notes[0]


def test_a_tie_needs_the_candidates_own_reason() -> None:
    tie = [result(noise=0.004, champion=0.5, base=0.3, wise_5=0.2, tuned=0.5)]
    assert decided(NAMES, tie, tie).action == "keep"
    assert decided(NAMES, tie, tie, why={BASE: "old", TUNED: None}).action == "keep"
    assert decided(NAMES, tie, tie, why={TUNED: "the champion is old."}).action == "promote"


def test_a_default_task_that_is_too_small_does_not_close_the_gate_for_ever() -> None:
    levels = {"champion": 0.4, "base": 0.3, "wise_5": 0.5, "tuned": 0.8}
    both = [result("category", **levels), result("variants", queries=3, **levels)]
    default = decided(NAMES, both, both, configured=False)
    assert (default.action, default.gating) == ("promote", ["category"])
    assert "3 held-out queries" in default.notes[0]
    configured = decided(NAMES, both, both)
    assert configured.action == "keep"
    assert "too few" in configured.reasons[0]


def test_without_any_candidate_to_select_the_champion_stays() -> None:
    found = decided((CHAMPION, BASE), [], [result(champion=0.4, base=0.6)])
    assert (found.action, found.challenger) == ("keep", None)
    assert "No challenger" in found.reasons[0]
