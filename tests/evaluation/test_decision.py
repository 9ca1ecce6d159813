"""A night's decision from made-up outcomes."""

from typing import Any

import numpy as np
import pytest

from recsys.evaluation.candidates import BASE, CHAMPION, TUNED, Candidate
from recsys.evaluation.evaluator import Outcome
from recsys.evaluation.gate import Decision, decide
from tests.evaluation import shop
from tests.evaluation.test_tasks import made_ready, products

NAMES = (CHAMPION, BASE, "wise-0.5", TUNED)


def candidates(*names: str) -> list[Candidate]:
    return [Candidate(name=n, title=n.title(), ref=f"encoders/{n}") for n in names]


def outcome(name: str = "variants", queries: int = 60, noise: float = 0.01, **levels: float) -> Outcome:
    """Every candidate at its level on every query, give or take a little noise of its own."""
    rows = [{"label": "x", "part": "holdout"} for _ in range(max(queries, 2))]
    fit = made_ready(products(*rows), {"name": name, "relevant": ["label"], "metrics": ["map@r"]})
    rng = np.random.default_rng(0)
    fit = type(fit)(**{**vars(fit), "queries": fit.queries[:queries]})
    names = {n.replace("wise_", "wise-0."): level for n, level in levels.items()}
    values = {n: {"map@r": level + rng.normal(0, noise, queries)} for n, level in names.items()}
    return Outcome(task=fit, values=values, components=np.arange(queries), labels=[None] * queries)


def night(names: tuple[str, ...], validation: list[Outcome], holdout: list[Outcome], **more: Any) -> Decision:
    own = {"tasks": [{"name": o.task.config.name, "relevant": ["label"], "gate": True} for o in holdout]}
    config = shop.settings(**(own if more.pop("configured", True) else {}))
    return decide(
        config, candidates(*names), more.get("errors", {}), validation, holdout, more.get("why", {})
    )


def test_the_best_on_validation_is_judged_on_the_holdout() -> None:
    """The fine-tuned one is best on the holdout, but the interpolation was picked, and gains."""
    found = night(
        NAMES,
        [outcome(champion=0.9, base=0.3, wise_5=0.6, tuned=0.5)],
        [outcome(champion=0.4, base=0.3, wise_5=0.5, tuned=0.8)],
    )
    assert (found.action, found.chosen, found.challenger) == ("promote", "wise-0.5", "wise-0.5")
    assert found.reference == CHAMPION
    assert found.validation_scores[TUNED] == pytest.approx(0.5, abs=0.01)
    assert CHAMPION not in found.validation_scores


def test_what_was_picked_is_refused_even_where_another_would_have_passed() -> None:
    found = night(
        NAMES,
        [outcome(champion=0.4, base=0.3, wise_5=0.6, tuned=0.5)],
        [outcome(champion=0.4, base=0.3, wise_5=0.35, tuned=0.8)],
    )
    assert (found.action, found.chosen) == ("keep", CHAMPION)


def test_a_night_without_champion_is_won_by_the_base_unless_something_beats_it() -> None:
    first = NAMES[1:]
    better = [outcome(base=0.3, wise_5=0.4, tuned=0.6)]
    worse = [outcome(base=0.3, wise_5=0.2, tuned=0.1)]
    won = night(first, better, better)
    assert (won.action, won.chosen, won.reference) == ("promote", TUNED, BASE)
    lost = night(first, worse, worse)
    assert (lost.action, lost.chosen, lost.challenger) == ("promote", BASE, BASE)
    assert "enters service" in lost.reasons[-1]
    fluke = night(first, better, worse)
    assert (fluke.action, fluke.chosen, fluke.challenger) == ("promote", BASE, TUNED)


def test_an_error_in_any_candidate_keeps_the_champion_and_says_whose() -> None:
    good = [outcome(champion=0.4, wise_5=0.6, tuned=0.8)]
    found = night(NAMES, good, good, errors={BASE: "its file is gone"})
    assert (found.action, found.chosen) == ("keep", CHAMPION)
    assert found.reasons == ["Base could not be judged: its file is gone"]


def test_without_validation_queries_the_fine_tuned_encoder_challenges_unpicked() -> None:
    levels = {"champion": 0.4, "base": 0.9, "wise_5": 0.9, "tuned": 0.6}
    found = night(NAMES, [outcome(queries=0, **levels)], [outcome(**levels)])
    assert (found.chosen, found.challenger) == (TUNED, TUNED)
    assert "without a selection" in found.notes[0]


def test_a_tie_needs_the_candidates_own_reason() -> None:
    tie = [outcome(noise=0.004, champion=0.5, base=0.3, wise_5=0.2, tuned=0.5)]
    assert night(NAMES, tie, tie).action == "keep"
    assert night(NAMES, tie, tie, why={BASE: "old", TUNED: None}).action == "keep"
    assert night(NAMES, tie, tie, why={TUNED: "the champion is old."}).action == "promote"


def test_a_default_task_too_small_to_judge_does_not_close_the_gate_for_ever() -> None:
    levels = {"champion": 0.4, "base": 0.3, "wise_5": 0.5, "tuned": 0.8}
    both = [outcome("category", **levels), outcome("variants", queries=3, **levels)]
    asked = night(NAMES, both, both, configured=False)
    assert (asked.action, asked.gating) == ("promote", ["category"])
    assert "3 held-out queries" in asked.notes[0]
    configured = night(NAMES, both, both)
    assert configured.action == "keep"
    assert "too few" in configured.reasons[0]
