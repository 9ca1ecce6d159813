"""The gate: what it accepts, and everything at which it stays closed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config.evaluation import GateConfig
from recsys.evaluation.candidates import BASE, CHAMPION, TUNED, UNTOUCHED, Candidate
from recsys.evaluation.gate import Decision, GateResult, compare, decide, gate_score, select
from recsys.evaluation.scores import PerQueryScores, TaskResult
from tests.evaluation import shop
from tests.evaluation.test_tasks import prepared, products

GATE = GateConfig(min_queries=20, min_components=10)


def scores(
    gain: float, *, queries: int = 200, spread: float = 0.1, task: str = "variants", seed: int = 0
) -> PerQueryScores:
    """A champion at about 0.5 and a challenger that gains ``gain`` on average; two queries a component."""
    rng = np.random.default_rng(seed)
    champion = rng.uniform(0.2, 0.8, queries)
    noise = rng.normal(0, spread, queries)
    values = {"champion": champion, "tuned": champion + gain + noise - noise.sum() / max(queries, 1)}
    rows = np.arange(queries)
    return PerQueryScores(task=task, values=values, components=rows // 2, products=rows)


def constant(**values: float | np.ndarray) -> PerQueryScores:
    """Ninety independent queries with the same score each, or with given ones."""
    arrays = {
        name: np.broadcast_to(value, 90) if np.ndim(value) == 0 else value for name, value in values.items()
    }
    return PerQueryScores(task="variants", values=arrays, components=np.arange(90), products=np.arange(90))


def compared(*tasks: PerQueryScores, reason: str | None = None, times_asked: int = 0) -> GateResult:
    return compare(
        tasks, reference="champion", challenger="tuned", config=GATE, reason_to_change=reason,
        times_asked=times_asked,
    )  # fmt: skip


OLD = "the champion is old."
TIE = scores(0.0, queries=2000, spread=0.02)
SLIGHT_LOSS = scores(-0.002, queries=2000, spread=0.005)  # within the tolerance


@pytest.mark.parametrize(
    ("result", "accepted", "said"),
    [
        (compared(scores(0.05)), True, "gains +0.0500"),
        (compared(scores(-0.05)), False, "lost in task variants"),
        (compared(scores(-0.05), reason=OLD), False, "lost in task variants"),
        (compared(TIE), False, "No gain is certain"),
        (compared(constant(champion=0.5, tuned=0.5)), False, "No held-out query tells the two apart"),
        (compared(TIE, reason=OLD), True, OLD),
        (compared(SLIGHT_LOSS), False, "No gain is certain"),
        (compared(SLIGHT_LOSS, reason=OLD), True, OLD),
    ],
)
def test_a_gain_is_accepted_a_loss_refused_and_a_tie_needs_a_reason(
    result: GateResult, accepted: bool, said: str
) -> None:
    assert result.accepted is accepted
    assert said in result.reasons[0]


def test_the_same_holdout_asks_for_more_each_time() -> None:
    slight = scores(0.017)
    first, later = compared(slight), compared(slight, times_asked=200)
    assert first.accepted
    assert not later.accepted
    assert later.power is not None
    assert first.power is not None
    assert later.power.detectable > first.power.detectable
    assert (first.power.num_products, first.power.num_components) == (200, 100)
    assert "shows a gain from" in later.reasons[0]


def test_one_task_may_not_pay_for_another_and_noise_widens_the_limit() -> None:
    found = compared(scores(0.3), scores(-0.1, task="words", seed=1))
    assert not found.accepted
    assert "task words against champion" in found.reasons[0]
    noisy = scores(-0.01, task="words", seed=1, queries=60, spread=0.3)
    widened = next(c for c in compared(scores(0.3), noisy).checks if c.name == "words")
    assert widened.passed
    assert widened.limit < -GATE.tolerance


def test_a_challenger_may_be_worse_than_no_other_that_is_named() -> None:
    task = scores(0.05)
    better_base = replace(task, values=task.values | {"base": task.values["tuned"] + 0.02})
    found = compare([better_base], challenger="tuned", reference="champion", others=["base"], config=GATE)
    assert not found.accepted
    assert "against base" in found.reasons[0]


def test_a_task_whose_text_names_its_label_guards_and_does_not_promote() -> None:
    easy = replace(scores(0.3, task="category"), only_guards=True)
    assert not compared(easy).accepted
    assert "label that stands in the product's text" in compared(easy).reasons[0]
    assert not compared(easy, TIE).accepted
    assert compared(easy, scores(0.05)).accepted
    lost = replace(scores(-0.3, task="category"), only_guards=True)
    assert "task category" in compared(lost, scores(0.05)).reasons[0]


def with_categories(task: PerQueryScores, sizes: dict[str, int]) -> PerQueryScores:
    """The first queries are of the first category, and so on; the last category has the rest."""
    names = [name for name, size in sizes.items() for _ in range(size)]
    last = next(reversed(sizes))
    return replace(task, categories=[*names, *[last] * (len(task.products) - len(names))])


def test_small_categories_count_as_one_and_large_ones_alone() -> None:
    small = {f"small {i}": 6 for i in range(10)}
    task = with_categories(scores(0.05), {**small, "large": 40, "largest": 0})
    found = [c for c in compared(task).checks if c.kind == "category"]
    assert {c.name: (c.num_products, c.num_components) for c in found} == {
        "10 small categories together": (60, 30), "large": (40, 20), "largest": (100, 50),
    }  # fmt: skip
    few = with_categories(scores(0.05), {"small": 12, "large": 0})
    assert [c.name for c in compared(few).checks if c.kind == "category"] == ["large"]


def test_small_categories_that_all_lose_a_little_are_seen_together() -> None:
    task = with_categories(scores(0.15, seed=1), {f"small {i}": 6 for i in range(10)} | {"large": 0})
    lost = np.where(np.arange(200) < 60, -0.22, 0.0)
    task = replace(task, values=task.values | {"tuned": task.values["tuned"] + lost})
    found = compared(task)
    assert not found.accepted
    assert "10 small categories together" in found.reasons[0]
    assert not any(c.kind == "fallen" for c in found.checks)


def test_one_odd_product_is_not_a_category_that_fell() -> None:
    task = with_categories(scores(0.15), {"odd": 2, "fallen": 4, "large": 0})
    values = task.values["tuned"].copy()

    def after(rows: slice) -> GateResult:
        values[rows] = 0.0
        return compared(replace(task, values=task.values | {"tuned": values}))

    assert after(slice(0, 2)).accepted  # two variants of one product
    found = after(slice(2, 6))
    assert not found.accepted
    assert "fell to nothing in category fallen" in found.reasons[0]


@pytest.mark.parametrize(("size", "accepted"), [(6, True), (20, False)])
def test_a_certain_loss_in_a_small_category_needs_more_than_a_few_groups(size: int, accepted: bool) -> None:
    task = with_categories(scores(0.15), {"lost": size, "large": 0})
    lost = np.where(np.arange(200) < size, -0.45, 0.0)
    found = compared(replace(task, values=task.values | {"tuned": task.values["tuned"] + lost}))
    assert found.accepted == accepted, found.reasons
    assert accepted or "lost for certain or fell to nothing in category lost" in found.reasons[0]


@pytest.mark.parametrize(
    ("before", "after", "accepted"), [(0.13, 0.0, True), (0.3, 0.0, False), (0.3, 0.04, True)]
)
def test_what_was_next_to_nothing_or_is_not_nothing_has_not_fallen(
    before: float, after: float, accepted: bool
) -> None:
    """Of a category's five products some had more than its mean."""
    task = with_categories(scores(0.3), {"small": 5, "large": 0})
    was, now = task.values["champion"].copy(), task.values["tuned"].copy()
    was[:5], now[:5] = before * np.array([0.2, 1.0, 0.6, 1.0, 0.9]), after * np.array([0, 0, 0, 0, 5.0])
    found = compared(replace(task, values=task.values | {"champion": was, "tuned": now}))
    assert found.accepted == accepted, found.reasons


def test_what_others_gain_does_not_hide_the_loss_of_a_category() -> None:
    def estimate(gain: float) -> float:
        task = with_categories(scores(0.0), {f"large {i}": 40 for i in range(4)} | {"lost": 0})
        change = np.where(np.arange(200) < 160, gain, -0.05)
        task = replace(task, values=task.values | {"tuned": task.values["champion"] + change})
        noise = np.random.default_rng(1).normal(0, 0.1, 200)
        task = replace(task, values=task.values | {"tuned": task.values["tuned"] + noise})
        return next(c.difference.value for c in compared(task).checks if c.name == "lost")

    assert estimate(0.3) < 0


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


@given(seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_swapping_the_two_never_accepts_both(seed: int) -> None:
    one = scores(0.01, seed=seed, spread=0.1)
    other = replace(one, values={"champion": one.values["tuned"], "tuned": one.values["champion"]})
    assert not (compared(one).accepted and compared(other).accepted)


def selected(names: list[str], *tasks: PerQueryScores) -> str | None:
    return select(tasks, names, ["base"], GATE)[0]


def test_the_simplest_within_one_standard_error_of_the_best_is_selected() -> None:
    names, rng = ["base", "wise", "tuned"], np.random.default_rng(0)
    base = rng.uniform(0.2, 0.8, 90)
    noise = rng.normal(0, 0.1, 90)
    clearly = {"base": base, "wise": base + 0.1, "tuned": base + 0.2}
    hardly = {"base": base, "wise": base + 0.1, "tuned": base + 0.102 + noise - noise.mean()}
    assert selected(names, constant(**clearly)) == "tuned"
    assert selected(names, constant(**hardly)) == "wise"
    assert selected(names, constant(base=0.5, tuned=0.5, wise=0.5)) == "base"
    chosen, known = select([constant(base=0.3, tuned=float("nan"), wise=0.4)], names, ["base"], GATE)
    assert chosen == "wise"
    assert known["tuned"] is None
    assert select([], names, ["base"], GATE) == (None, dict.fromkeys(names))


def test_who_loses_in_a_task_on_validation_is_not_selected() -> None:
    words = constant(base=0.5, wise=0.5, tuned=0.4)
    assert selected(["base", "wise", "tuned"], constant(base=0.1, wise=0.4, tuned=0.9), words) == "wise"
    unknown = constant(base=float("nan"), wise=0.9)  # nobody can tell that nothing is lost
    assert selected(["wise"], constant(base=0.1, wise=0.4), unknown) is None


def test_the_gate_score_weighs_tasks_alike_whatever_their_size() -> None:
    tasks = [
        PerQueryScores(task=name, values={"x": values}, components=np.arange(len(values)), products=values)
        for name, values in (("a", np.ones(10)), ("b", np.zeros(1000)))
    ]
    assert gate_score(tasks, "x") == 0.5
    assert gate_score(tasks, "y") is None


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
    held: dict[str, str] | None = None, behind: tuple[str, ...] = (),
) -> Decision:  # fmt: skip
    own = {"tasks": [{"name": r.name, "relevant": ["label"], "gate": True} for r in holdout]}
    config = shop.settings(**(own if configured else {}))
    candidates = [
        Candidate(name=n, title=n.title(), ref=f"encoders/{n}", is_behind=n in behind) for n in names
    ]
    return decide(config, candidates, errors or {}, validation, holdout, why or {}, held=held)


def test_the_best_on_validation_is_compared_on_the_holdout() -> None:
    """The fine-tuned one is best on the holdout, but the interpolation was selected, and gains."""
    found = decided(
        NAMES,
        [result(champion=0.4, base=0.3, wise_5=0.6, tuned=0.5)],
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


def test_nothing_serves_that_loses_to_the_untouched_backbone_which_never_wins() -> None:
    names = (CHAMPION, BASE, UNTOUCHED, "wise-0.5", TUNED)
    levels = {"champion": 0.4, "base": 0.3, "wise_5": 0.5, "tuned": 0.6}
    gains = result("words", untouched=0.6, **levels)
    levels |= {"champion": 0.603, "wise_5": 0.599, "tuned": 0.6}
    near, far = result(untouched=0.6, **levels), result(untouched=0.9, **levels)
    found = decided(names, [near, gains], [near, gains])
    assert (found.chosen, found.challenger) == (TUNED, TUNED)
    assert found.validation_scores.keys() == {BASE, "wise-0.5", TUNED}
    found = decided(names, [near, gains], [far, gains])
    assert (found.chosen, found.challenger) == (CHAMPION, TUNED)
    assert "lost in task variants against untouched" in found.reasons[0]
    assert decided(names, [far, gains], [near, gains]).challenger is None
    assert not found.notes


@pytest.mark.parametrize("category", [None, "large", "small"])
def test_a_loss_to_the_untouched_backbone_counts_where_what_stays_is_better(category: str | None) -> None:
    """A refusal of images that are the base's would leave the base, whose images they are."""
    images = result("images", queries=200, base=0.5, untouched=0.6, noise=0)
    if category:  # the task is level, one category is not
        inside = np.arange(200) < (40 if category == "large" else 9)
        images = replace(images, categories=[category if one else "other" for one in inside])
        images.values[UNTOUCHED]["map@r"] = np.where(inside, 0.6, 0.48)
    images.values[TUNED] = {"map@r": images.values[BASE]["map@r"].copy()}
    texts = result("texts", queries=200, base=0.4, untouched=0.4, tuned=0.7)
    names = (BASE, UNTOUCHED, TUNED)
    found = decided(names, [images, texts], [images, texts])
    assert found.chosen == TUNED
    assert "The zero-shot base is no better there." in found.reasons[-1]
    assert all(check.passed for check in found.result.checks)
    images.values[TUNED]["map@r"][:40] -= 0.004  # within the tolerance against the base
    found = decided(names, [images, texts], [images, texts])
    assert (found.chosen, found.challenger) == (BASE, TUNED if category else BASE)


def test_a_base_that_enters_service_behind_the_untouched_backbone_is_noted() -> None:
    names = (BASE, UNTOUCHED, TUNED)
    far, near = (result(base=0.3, untouched=level, tuned=0.2) for level in (0.9, 0.3))
    found = decided(names, [far], [far])
    assert (found.action, found.chosen) == ("promote", BASE)
    assert found.notes[0].startswith("The zero-shot base lost in task variants against untouched: ")
    assert not decided(names, [near], [near]).notes


def test_a_base_that_training_found_behind_does_not_challenge_and_may_still_serve() -> None:
    names = (BASE, "wise-0.5")
    level = result(base=0.3, wise_5=0.3)
    assert decided(names, [level], [level]).challenger == BASE
    found = decided(names, [level], [result(base=0.3, wise_5=0.28)], behind=(BASE,))
    assert (found.challenger, found.chosen) == ("wise-0.5", BASE)
    assert found.validation_scores[BASE] == pytest.approx(0.3, abs=0.01)
    found = decided(names, [level], [result(base=0.3, wise_5=0.5)], behind=(BASE,))
    assert (found.challenger, found.chosen) == ("wise-0.5", "wise-0.5")


def test_without_a_step_that_unseen_classes_bear_nothing_challenges() -> None:
    level = [result(champion=0.3, untouched=0.3)]
    found = decided((CHAMPION, UNTOUCHED), level, level)
    assert (found.action, found.chosen, found.challenger) == ("keep", CHAMPION, None)
    assert found.reasons[0].startswith("Nothing challenges: ")


def test_a_tie_on_the_holdout_is_enough_where_the_base_that_serves_is_behind() -> None:
    better, tie = result(champion=0.3, base=0.3, wise_5=0.4), result(champion=0.3, base=0.3, wise_5=0.3)
    for reference in (BASE, CHAMPION):
        found = decided((reference, "wise-0.5"), [better], [tie], behind=(reference,))
        assert (found.reference, found.chosen) == (reference, "wise-0.5")
        assert "A tie" in found.reasons[0]
        assert "classes that training left out" in found.reasons[0]
        assert decided((reference, "wise-0.5"), [better], [tie]).chosen == reference
    found = decided(NAMES, [better], [tie], behind=(BASE,))  # and where another serves, it is not
    assert found.chosen == CHAMPION


def test_where_the_base_is_behind_and_all_others_lose_the_one_that_loses_least_challenges() -> None:
    """A few validation queries of one task are no reason to serve what is known to be behind."""
    names = (BASE, "wise-0.5", TUNED)
    validation = [
        result("category", base=0.3, wise_5=0.5, tuned=0.6),
        result("variants", base=0.5, wise_5=0.46, tuned=0.4),
    ]
    holdout = [result(name, base=0.3, wise_5=0.5, tuned=0.6) for name in ("category", "variants")]
    assert decided(names, validation, holdout).challenger == BASE
    found = decided(names, validation, holdout, behind=(BASE,))
    assert (found.challenger, found.chosen) == ("wise-0.5", "wise-0.5")
    assert "loses least" in found.notes[-1]
    assert decided(names, validation, validation, behind=(BASE,)).chosen == BASE
    champion = [replace(r, values=r.values | {CHAMPION: r.values[BASE]}) for r in validation]
    assert decided((CHAMPION, *names), champion, champion, behind=(BASE,)).challenger is None


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
    good = [result(champion=0.4, base=0.3, wise_5=0.6, tuned=0.8)]
    found = decided(NAMES, good, good, errors={BASE: "its file is gone"})
    assert (found.action, found.chosen) == ("keep", CHAMPION)
    assert found.reasons == ["Base could not be evaluated: its file is gone"]


def test_an_encoder_on_hold_does_not_challenge_and_the_decision_says_so() -> None:
    good = [result(champion=0.4, base=0.3, wise_5=0.6, tuned=0.8)]
    held = {f"encoders/{TUNED}": "encoders/tuned is on hold since noon (rolled back)"}
    assert decided(NAMES, good, good).chosen == TUNED
    found = decided(NAMES, good, good, held=held)
    assert (found.action, found.chosen) == ("promote", "wise-0.5")
    assert found.reasons[-1] == "Tuned: encoders/tuned is on hold since noon (rolled back)."
    alone = decided((CHAMPION, TUNED), good, good, held=held)
    assert (alone.action, alone.chosen, alone.challenger) == ("keep", CHAMPION, None)
    assert alone.reasons == found.reasons[-1:]
    serving = decided(NAMES, good, good, held={f"encoders/{CHAMPION}": "on hold"})
    assert (serving.chosen, "on hold" in str(serving.reasons)) == (TUNED, False)


def test_without_validation_queries_the_fine_tuned_encoder_challenges() -> None:
    levels = {"champion": 0.4, "base": 0.3, "wise_5": 0.9, "tuned": 0.6}
    found = decided(NAMES, [result(queries=0, **levels)], [result(**levels)])
    assert (found.chosen, found.challenger) == (TUNED, TUNED)
    assert "without a selection" in found.notes[0]


def test_a_tie_needs_the_candidates_own_reason() -> None:
    tie = [result(noise=0.004, champion=0.5, base=0.3, wise_5=0.2, tuned=0.5)]
    assert decided(NAMES, tie, tie).action == "keep"
    assert decided(NAMES, tie, tie, why={BASE: "old", TUNED: None}).action == "keep"
    assert decided(NAMES, tie, tie, why={TUNED: "the champion is old."}).action == "promote"


@pytest.mark.parametrize("configured", [False, True])
def test_a_task_that_is_too_small_only_guards(configured: bool) -> None:
    levels = {"champion": 0.4, "base": 0.3, "wise_5": 0.5, "tuned": 0.8}
    task = result("category", **levels)
    for small, action in ((levels, "promote"), (levels | {"tuned": 0.1, "wise_5": 0.1}, "keep")):
        both = [task, result("variants", queries=3, **small)]
        found = decided(NAMES, [task], both, configured=configured)
        assert (found.action, found.gating) == (action, ["category", "variants"])
        assert "3 held-out queries" in found.notes[0]
    assert "lost in task variants" in found.reasons[0]


def test_a_task_without_a_query_closes_the_gate_if_somebody_asked_for_it() -> None:
    levels = {"champion": 0.4, "base": 0.3, "wise_5": 0.5, "tuned": 0.8}
    both = [result("category", **levels), result("variants", queries=0, **levels)]
    assert decided(NAMES, both, both, configured=False).action == "promote"
    configured = decided(NAMES, both, both)
    assert configured.action == "keep"
    assert "has 0 held-out queries" in configured.reasons[0]


def test_where_every_candidate_loses_on_validation_the_champion_stays() -> None:
    both = [result(champion=0.6, base=0.4)]
    found = decided((CHAMPION, BASE), both, both)
    assert (found.action, found.challenger) == ("keep", None)
    assert "every candidate loses" in found.reasons[0]


def test_the_anchor_moves_on_only_with_who_lost_nothing_against_it() -> None:
    def against(anchor: float) -> GateResult:
        task = scores(0.05)
        task = replace(task, values=task.values | {"anchor": task.values["tuned"] + anchor})
        return compare([task], challenger="tuned", reference="champion", others=["anchor"], config=GATE)

    assert against(-0.01).accepted
    assert against(-0.01).no_loss_to_anchor
    assert against(0.004).accepted
    assert not against(0.004).no_loss_to_anchor
    assert not against(0.02).accepted
