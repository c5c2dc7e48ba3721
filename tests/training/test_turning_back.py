"""When the score stops rising: back to the best weights, from which the learning rate falls; and how long that was."""

from __future__ import annotations

import math

import pytest
import torch
from fake_task import SETTINGS, Line, Log, batches, trained

from stepscan.options import TrainingOptions
from stepscan.training.loop import Task, Trainer

STALE = {"epochs": 100, "warmup_ratio": 0.0, "decay_ratio": 0.25, "patience": 2}  # of 300 updates


class Seen(Line):
    """Keeps its weights at each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[torch.Tensor] = []

    def loss(self, inputs, targets, state=None):
        self.weights.append(self.weight.detach().clone())
        return super().loss(inputs, targets, state)


def stale(*after, ema_decay=0.0):
    """Evaluations after updates 3, 6, 9 and 12, of which the second is the best; then `after`."""
    model, judged, scores = Seen(), [], iter([1.0, 3.0, 2.0, 2.5, *after])

    def evaluate():
        judged.append(model.weight.clone())
        return {"score": next(scores)}

    settings = TrainingOptions(**{**SETTINGS, **STALE, "ema_decay": ema_decay})
    trainer = Trainer(Task(model, batches, 3, evaluate, True), settings, Log())
    trainer.run()
    return trainer, model, judged


def test_the_shape(rates):
    """Nine updates: a rise over the first fifth, the highest, and half a cosine over the last three tenths."""
    trained(decay_ratio=0.3)
    half = [(1 + math.cos(math.pi * share)) / 2 for share in (0, 1 / 3, 2 / 3)]
    assert rates == pytest.approx([0.1 * share for share in (0.5, 1, 1, 1, 1, 1, *half)])


def test_back_to_the_best(rates):
    """The best are those after 6 updates: a quarter of eight is what the decay takes."""
    trainer, model, judged = stale(4.0)
    assert [row["updates"] for row in trainer.history] == [3, 6, 9, 12, 14]
    assert torch.equal(model.weights[12], judged[1])
    assert not torch.equal(model.weights[11], judged[1])
    assert rates[:12] == pytest.approx([0.1] * 12)
    shares = [(updates / 301 - 12 / 300) * 150 for updates in (13, 14)]
    assert rates[12:] == pytest.approx([0.05 * (1 + math.cos(math.pi * share)) for share in shares])
    assert trainer.plan == {"max_updates": 8, "warmup_ratio": 0.0, "decay_ratio": 0.25}
    assert torch.equal(model.weight, judged[-1])


def test_a_decay_that_does_not_help():
    """Then the best are those from before it, which took a constant rate."""
    trainer, model, judged = stale(2.9)
    assert [row["best"] for row in trainer.history] == [True, True, False, False, False]
    assert torch.equal(model.weight, judged[1])
    assert trainer.plan == {"max_updates": 6, "warmup_ratio": 0.0, "decay_ratio": 0.0}


def test_the_average_goes_back_too():
    """The weights go back to what they were, and the average to what it was: it was the average that was the best."""
    _, model, judged = stale(4.0, ema_decay=0.9)
    straight = Seen()
    settings = TrainingOptions(**{**SETTINGS, **STALE, "patience": 100, "ema_decay": 0.9, "epochs": 3})
    Trainer(Task(straight, batches, 3, lambda: {"score": 1.0}, True), settings, Log()).run()
    assert torch.equal(model.weights[12], straight.weights[6])
    assert not torch.equal(model.weights[12], judged[1])


def test_the_plan_of_a_decay_to_the_budget():
    """Nine updates of which the last are the best; then with the best after six, before the decay."""
    assert trained(decay_ratio=0.3, scores=[1.0, 2.0, 3.0]).plan == {
        "max_updates": 9,
        "warmup_ratio": pytest.approx(0.2),
        "decay_ratio": 0.3,
    }
    assert trained(decay_ratio=0.3, scores=[1.0, 2.0, 1.5]).plan == {
        "max_updates": 6,
        "warmup_ratio": pytest.approx(0.3),
        "decay_ratio": 0.0,
    }


def test_the_plan_of_what_patience_ends_within_its_decay():
    """Of a cosine over 15 updates the best came after 6, and it ended after 12: another takes 6."""
    trainer = trained(scores=[1.0, 2.0, 1.5, 1.0], decay_ratio=1.0, patience=2, epochs=5)
    assert trainer.history[-1]["updates"] == 12
    assert trainer.plan == {"max_updates": 6, "warmup_ratio": pytest.approx(0.5), "decay_ratio": 0.8}


def test_a_plan_takes_the_same_way(rates):
    """A training by the plan of another has, but for rounding, the other's learning rates."""
    plan = trained(decay_ratio=0.3, scores=[1.0, 2.0, 3.0]).plan
    first = list(rates)
    rates.clear()
    trained(**{"epochs": None, **plan})
    assert rates == pytest.approx(first)


def test_updates_are_limited():
    """By the fewer of passes and updates; gradients gathered over two batches make 2 updates of 3 batches."""
    assert trained(max_updates=4).history[-1]["updates"] == 4
    assert trained(max_updates=40).history[-1]["updates"] == 9
    row = trained(gradient_accumulation_steps=2, epochs=2).history[-1]
    assert (row["step"], row["updates"]) == (6, 4)


def test_evaluations_come_ever_more_rarely():
    """Without epochs, after 25 updates at first, and when they have grown by an eighth; with them, at their ends."""
    result = [row["updates"] for row in trained(epochs=None, max_updates=400).history]
    assert result == [25, 50, 75, 100, 125, 150, 175, 200, 225, 254, 286, 322, 363, 400]
    result = [row["updates"] for row in trained(epochs=20).history]
    assert result == [3, 6, 9, 12, 15, 18, 21, 24, 27, 33, 39, 45, 51, 60]


@pytest.mark.parametrize("patience", [None, 1])
def test_what_is_not_judged_trains_to_the_end(patience):
    """A training on all data has no score that could stop rising."""
    settings = TrainingOptions(
        **{**SETTINGS, "epochs": None, "max_updates": 600, "decay_ratio": 0.25, "patience": patience}
    )
    trainer = Trainer(Task(Line(), batches, 3, None, True), settings, Log())
    assert trainer.run()[-1]["updates"] == 600
    assert not trainer.is_stale


def test_without_patience_few_updates_end_nothing():
    """A score that never rises again ends a training after some 400 updates, and not before."""
    scores = [1.0] + [0.0] * 100
    trainer = trained(scores=scores, epochs=None, max_updates=10_000, patience=None, warmup_ratio=0.0, decay_ratio=0.25)
    assert [row["updates"] for row in trainer.history][-2:] == [409, 418]
    assert trainer.plan == {"max_updates": 25, "warmup_ratio": 0.0, "decay_ratio": 0.0}
