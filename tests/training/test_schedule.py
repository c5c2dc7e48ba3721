"""The learning rate over time, and when training ends."""

from __future__ import annotations

import math

import pytest
from fake_task import trained

from stepscan.training import clock


def test_schedule(rates):
    """Nine steps: a rise over the first fifth, then half a cosine from the highest down to nearly 0."""
    trained()
    cosine = [0.1 * (1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)]
    assert rates == pytest.approx([0.05, *cosine])
    assert rates[1] == 0.1
    assert rates[5] == pytest.approx(0.05)


@pytest.mark.parametrize(("warmup", "expected"), [(0.0, 0.1 * (1 + math.cos(0.1 * math.pi)) / 2), (1.0, 0.01)])
def test_schedule_without_a_rise_and_without_a_fall(rates, warmup, expected):
    trained(warmup_ratio=warmup)
    assert rates[0] == pytest.approx(expected)
    assert (rates == sorted(rates)) == (warmup == 1.0)
    assert (rates == sorted(rates, reverse=True)) == (warmup == 0.0)


class Ticking:
    """A clock on which every look costs a tenth of a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.1
        return self.now


def test_time_budget(rates, monkeypatch):
    """It ends the training in the middle of an epoch, with the schedule complete; what was learned is evaluated."""
    monkeypatch.setattr(clock, "time", Ticking())
    trainer = trained(time_budget=20.0, epochs=10**6, patience=10**6)
    assert trainer.reporter.notes == ["the time budget is used up"]
    assert 0.9 < trainer.reporter.done[-1] <= 1.0  # each look at this clock takes half a hundredth of it
    assert trainer.reporter.done == sorted(trainer.reporter.done)
    assert trainer.history[-1]["step"] == len(rates) < 200
    assert trainer.history[-1]["seconds"] == pytest.approx(20.0, abs=2.0)
    highest = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.1, rel=0.01)
    assert rates[: highest + 1] == sorted(rates[: highest + 1])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    assert rates[-1] < 0.001


def test_epochs_may_end_before_the_time_budget(rates, monkeypatch):
    monkeypatch.setattr(clock, "time", Ticking())
    trainer = trained(time_budget=10.0**6)
    assert (len(rates), trainer.reporter.notes) == (9, [])
    assert rates[-1] < 0.02


def test_a_time_budget_is_used_to_its_end(monkeypatch):
    """Whatever the score does; what is learned after it stopped rising is not kept."""
    monkeypatch.setattr(clock, "time", Ticking())
    trainer = trained(scores=[1.0] + [0.0] * 1000, time_budget=400.0, patience=None, epochs=None, decay_ratio=0.25)
    assert trainer.history[-1]["seconds"] == pytest.approx(400.0, abs=2.0)
    assert trainer.history[-1]["updates"] > 500
    assert [row["best"] for row in trainer.history[:2]] == [True, False]
    assert trainer.plan["max_updates"] == 25
