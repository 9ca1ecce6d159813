"""Learning rate, a budget that becomes steps, and a clock that survives kills."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config.training import OptimizerConfig
from recsys.training import schedule
from recsys.training.schedule import Clock, Progress, StepPlan, lr_factor


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 1))
def test_the_rate_rises_then_falls(a: float, b: float, warmup: float, final: float) -> None:
    config = OptimizerConfig(warmup_share=warmup, final_lr_share=final)
    low, high = sorted((a, b))
    one, two = lr_factor(low, config), lr_factor(high, config)
    assert 0 <= one <= 1
    if high <= warmup:
        assert one <= two + 1e-12
    if low >= warmup:
        assert one >= two - 1e-12
    assert lr_factor(1.0, config) == pytest.approx(final)
    assert lr_factor(warmup, config) == pytest.approx(1.0)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that is set by hand."""
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(schedule, "time", clock)
    return clock


def test_time_before_a_kill_counts(tmp_path: Path, time: SimpleNamespace) -> None:
    first = Clock(tmp_path / "clock.json")
    time.now += 50
    assert first.elapsed() == 50
    time.now += 1.5  # not written: less than two seconds since
    assert first.elapsed() == 51.5
    assert json.loads((tmp_path / "clock.json").read_text())["seconds"] == 50
    time.now = 9000.0  # another machine's clock, after a kill
    second = Clock(tmp_path / "clock.json")
    time.now += 10
    assert second.elapsed() == 60


def test_progress_follows_steps_and_the_clock_only_aborts(tmp_path: Path, time: SimpleNamespace) -> None:
    progress = Progress(100, Clock(tmp_path / "clock.json"), budget_s=60.0)
    time.now += 80
    assert progress.at(10) == 0.1
    assert not progress.is_out_of_time()
    time.now += 10
    assert progress.at(10) == 0.1
    assert progress.is_out_of_time()
    without = Progress(100, Clock(tmp_path / "other.json"), budget_s=None)
    time.now += 1e6
    assert not without.is_out_of_time()


@given(st.floats(1, 1e4), st.integers(1, 500), st.integers(1, 50), st.floats(1e-3, 10), st.floats(0, 60))
def test_a_budget_becomes_steps_that_fit_it(
    budget: float, epoch: int, epochs: int, batch_s: float, validation_s: float
) -> None:
    plan = StepPlan.within(
        budget, epoch_batches=epoch, max_epochs=epochs, batch_s=batch_s, validation_s=validation_s
    )
    assert 1 <= plan.batches <= epochs * epoch
    spent = plan.batches * batch_s + plan.batches / epoch * validation_s
    assert plan.batches == 1 or spent <= budget * (1 + 1e-9)
    if plan.batches < epochs * epoch:
        assert spent + batch_s + validation_s / epoch > budget * (1 - 1e-9)


def test_a_plan_is_made_once(tmp_path: Path) -> None:
    first = StepPlan.kept(tmp_path / "plan.json", lambda: StepPlan(batches=7, batch_s=0.5))
    assert first == StepPlan(batches=7, batch_s=0.5)
    assert StepPlan.kept(tmp_path / "plan.json", lambda: StepPlan(batches=9)) == first
