"""The gate: what it accepts, and everything at which it stays closed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config.evaluation import GateConfig
from recsys.evaluation.gate import Check, Evidence, Verdict, check_challenger, pick, score
from recsys.metrics.bootstrap import Interval

GATE = GateConfig(min_queries=20, min_components=10, min_category_queries=40, resamples=400)


def evidence(
    gain: float, *, queries: int = 200, spread: float = 0.1, task: str = "variants", seed: int = 0,
    categories: list[str | None] | None = None,
) -> Evidence:  # fmt: skip
    """A champion at about 0.5 and a challenger that gains ``gain`` on average; two queries a component."""
    rng = np.random.default_rng(seed)
    champion = rng.uniform(0.2, 0.8, queries)
    noise = rng.normal(0, spread, queries)
    values = {"champion": champion, "tuned": champion + gain + noise - noise.sum() / max(queries, 1)}
    return Evidence(
        task=task,
        values=values,
        components=np.arange(queries) // 2,
        categories=categories or [None] * queries,
    )


def verdict(*parts: Evidence, reason: str | None = None, config: GateConfig = GATE) -> Verdict:
    return check_challenger(
        parts, reference="champion", challenger="tuned", config=config, seed=0, reason_to_change=reason
    )


def test_a_clear_gain_is_accepted_and_said() -> None:
    found = verdict(evidence(0.05))
    assert found.accepted
    assert "gains +0.0500" in found.reasons[0]
    assert all(c.passed for c in found.checks)


def test_a_clear_loss_is_refused() -> None:
    found = verdict(evidence(-0.05))
    assert not found.accepted
    assert "lost overall" in found.reasons[0]


def test_a_tie_needs_a_reason() -> None:
    tie = evidence(0.0, queries=2000, spread=0.02)
    assert not verdict(tie).accepted
    assert "A tie" in verdict(tie).reasons[0]
    changed = verdict(tie, reason="the encoder's settings changed (dim).")
    assert changed.accepted
    assert "settings changed" in changed.reasons[0]


def test_a_loss_within_the_tolerance_is_a_tie_but_never_a_gain() -> None:
    slight = evidence(-0.002, queries=2000, spread=0.005)
    assert not verdict(slight).accepted
    assert verdict(slight, reason="the champion is old.").accepted


def test_a_reason_does_not_excuse_a_loss() -> None:
    assert not verdict(evidence(-0.05), reason="the champion is old.").accepted


def test_little_evidence_is_not_evidence_of_no_loss() -> None:
    """The same mean gain, but so noisy that a loss cannot be ruled out."""
    assert verdict(evidence(0.02, queries=2000, spread=0.1)).accepted
    assert not verdict(evidence(0.02, queries=30, spread=0.3), reason="old").accepted


def test_a_large_category_that_loses_closes_the_gate_and_a_small_one_does_not() -> None:
    rng = np.random.default_rng(0)

    def shop(bags: int) -> Evidence:
        champion = rng.uniform(0.3, 0.7, 1000)
        gain = np.where(np.arange(1000) < bags, -0.2, 0.1) + rng.normal(0, 0.02, 1000)
        return Evidence(
            task="category",
            values={"champion": champion, "tuned": champion + gain},
            components=np.arange(1000),
            categories=["Bags" if i < bags else "Shoes" for i in range(1000)],
        )

    refused = verdict(shop(60))
    assert not refused.accepted
    assert any("Bags" in r for r in refused.reasons)
    assert verdict(shop(39)).accepted


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
    found = verdict(evidence(0.3), evidence(-0.1, task="words", seed=1))
    assert not found.accepted
    assert "task words" in found.reasons[0]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (evidence(0.1, queries=19), "19 held-out queries"),
        (evidence(0.1, queries=0), "0 held-out queries"),
        (
            Evidence(
                task="variants", components=np.zeros(90, int),
                values={"champion": np.zeros(90), "tuned": np.ones(90)},
            ),
            "1 independent",
        ),
        (
            Evidence(
                task="variants", components=np.arange(90),
                values={"champion": np.zeros(90), "tuned": np.r_[np.nan, np.ones(89)]},
            ),
            "not numbers",
        ),
        (
            Evidence(task="variants", components=np.arange(90), values={"champion": np.zeros(90)}),
            "no figures for tuned",
        ),
        (
            Evidence(task="variants", components=np.arange(90), values={"tuned": np.ones(90)}),
            "no figures for champion",
        ),
        (
            Evidence(
                task="variants", components=np.arange(90),
                values={"champion": np.zeros(90), "tuned": np.ones(80)},
            ),
            "no figures for tuned",
        ),
    ],
)  # fmt: skip
def test_doubt_keeps_the_champion(broken: Evidence, said: str) -> None:
    found = verdict(evidence(0.2, task="other"), broken, reason="the champion is old.")
    assert not found.accepted
    assert said in found.reasons[0]


def test_no_evidence_and_no_challenger_keep_the_champion() -> None:
    assert not verdict().accepted
    nobody = check_challenger([evidence(0.2)], reference="champion", challenger=None, config=GATE, seed=0)
    assert not nobody.accepted
    assert "No challenger" in nobody.reasons[0]


@given(gain=st.floats(-0.3, 0.3), seed=st.integers(0, 100), reason=st.booleans())
@settings(max_examples=60, deadline=None)
def test_whoever_is_accepted_has_no_loss_beyond_the_tolerance(gain: float, seed: int, reason: bool) -> None:
    found = verdict(evidence(gain, seed=seed, spread=0.05), reason="old" if reason else None)
    overall = found.checks[0]
    assert overall.difference.value == pytest.approx(gain, abs=1e-9)
    assert overall.difference.low <= gain <= overall.difference.high
    if found.accepted:
        assert overall.difference.low >= -GATE.tolerance
        assert reason or overall.difference.low > 0


@given(seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_swapping_the_two_never_accepts_both(seed: int) -> None:
    one = evidence(0.01, seed=seed, spread=0.1)
    other = Evidence(
        task=one.task, components=one.components,
        values={"champion": one.values["tuned"], "tuned": one.values["champion"]},
    )  # fmt: skip
    assert not (verdict(one).accepted and verdict(other).accepted)


def test_equal_encoders_are_hardly_ever_taken_for_a_gain() -> None:
    """At 95 % the lower end exceeds 0 by chance in about 2.5 % of nights."""
    accepted = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        base = rng.random(100)
        values = {"champion": base, "tuned": base + rng.normal(0, 0.02, 100)}
        accepted += verdict(Evidence(task="t", values=values, components=np.arange(100))).accepted
    assert accepted <= 14


def test_pick_takes_the_best_mean_over_tasks_and_the_first_of_equals() -> None:
    def scores(**values: float) -> list[Evidence]:
        arrays = {name: np.full(5, v) for name, v in values.items()}
        return [
            Evidence(task="a", values=arrays, components=np.arange(5)),
            Evidence(task="b", values=arrays, components=np.arange(5)),
        ]

    names = ["base", "wise-0.5", "tuned"]
    assert pick(scores(base=0.3, tuned=0.5, **{"wise-0.5": 0.6}), names)[0] == "wise-0.5"
    assert pick(scores(base=0.5, tuned=0.5, **{"wise-0.5": 0.5}), names)[0] == "base"
    chosen, known = pick(scores(base=0.3, tuned=float("nan"), **{"wise-0.5": 0.2}), names)
    assert chosen == "base"
    assert known["tuned"] is None
    assert pick([], names) == (None, dict.fromkeys(names))


def test_score_weighs_tasks_alike_whatever_their_size() -> None:
    parts = [
        Evidence(task="a", values={"x": np.ones(10)}, components=np.arange(10)),
        Evidence(task="b", values={"x": np.zeros(1000)}, components=np.arange(1000)),
    ]
    assert score(parts, "x") == 0.5
    assert score(parts, "y") is None


def test_picking_on_the_judging_queries_would_flatter_and_this_does_not() -> None:
    """Twenty candidates as good as the champion: their best looks better only where it was picked."""
    there, elsewhere = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        names = [f"c{i}" for i in range(20)]

        def split(rng: np.random.Generator = rng, names: list[str] = names) -> Evidence:
            base = rng.random(150)
            values = {n: base + rng.normal(0, 0.3, 150) for n in names}
            return Evidence(task="t", values={"champion": base, **values}, components=np.arange(150))

        validation, holdout = split(), split()
        best, _ = pick([validation], names)
        assert best is not None
        for sample, gains in ((validation, there), (holdout, elsewhere)):
            gains.append(float((sample.values[best] - sample.values["champion"]).mean()))
    assert np.mean(there) > 0.03
    assert abs(np.mean(elsewhere)) < 0.01
