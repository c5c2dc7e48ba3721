"""The moving average of the weights, against the recursion written out."""

from __future__ import annotations

import pytest
import torch
from fake_task import SETTINGS, Line, Log, batches, trained

from stepscan.errors import StepscanError
from stepscan.options import TrainingOptions
from stepscan.training.average import WeightAverage
from stepscan.training.loop import Task, Trainer


def test_average_is_the_recursion():
    model = Line()
    average, expected = WeightAverage(model, 0.3), model.weight.detach().clone()
    for n in range(1, 6):
        with torch.no_grad():
            model.weight += n
        average.update()
        decay = min(0.3, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    raw = model.weight.detach().clone()
    with average:
        assert torch.allclose(model.weight, expected)
    assert torch.equal(model.weight, raw)


def test_an_average_that_starts_again():
    """From given weights on; how much the next count depends on all updates so far."""
    model = Line()
    average = WeightAverage(model, 0.9)
    for _ in range(3):
        average.update()
    average.restart({"weight": torch.tensor([[5.0, 6.0]]), "bias": torch.tensor([7.0])})
    with torch.no_grad():
        model.weight += 1
    average.update()
    with average:
        assert model.weight.tolist() == [pytest.approx([5 * 5 / 14 + 2 * 9 / 14, 6 * 5 / 14 + 2 * 9 / 14])]
        assert model.bias.tolist() == pytest.approx([7 * 5 / 14 + 1 * 9 / 14])
    WeightAverage(model, 0.0).restart({})  # none: nothing to restart


def test_the_average_is_judged_and_kept():
    judged = []
    model = Line()

    def evaluate():
        judged.append(model.weight.detach().clone())
        return {"score": float(len(judged))}

    trainer = Trainer(Task(model, batches, 3, evaluate, True), TrainingOptions(**SETTINGS, ema_decay=0.9), Log())
    trainer.run()
    assert torch.equal(model.weight, judged[-1])
    assert not torch.equal(judged[-1], trained().task.model.weight)


def test_a_gradient_that_is_not_finite_is_named_and_changes_nothing():
    class Broken(Line):
        def loss(self, inputs, targets, state=None):
            loss = super().loss(inputs, targets, state)
            return loss._replace(total=loss.total + torch.sqrt(self.bias - self.bias.detach()).sum())

    model = Broken()
    with pytest.raises(StepscanError, match=r"the gradient of bias became (inf|nan) at step 1"):
        trained(model)
    assert torch.equal(model.weight, torch.ones(1, 2))


def test_a_weight_that_is_not_finite_is_named():
    class Spoiled(Line):
        def loss(self, inputs, targets, state=None):
            with torch.no_grad():
                self.spoiled.fill_(torch.nan)
            return super().loss(inputs, targets, state)

    model = Spoiled()
    model.register_buffer("spoiled", torch.zeros(2))
    with pytest.raises(StepscanError, match="the weight spoiled became nan"):
        trained(model)
