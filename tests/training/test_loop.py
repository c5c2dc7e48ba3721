from __future__ import annotations

import math

import pytest
import torch
from fake_task import SETTINGS, Line, Log, batches, trained

from stepscan.cells.lstm import LSTM
from stepscan.errors import StepscanError
from stepscan.options import TrainingOptions
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.sequences import Sequences
from stepscan.training.loop import Task, Trainer


def test_best_weights_are_put_back():
    """A score that gets worse after the second evaluation: the weights of then are those that remain."""
    seen = []
    scores = iter([1.0, 3.0, 2.0, 2.5])
    model = Line()

    def evaluate():
        seen.append(model.weight.clone())
        return {"score": next(scores)}

    trainer = Trainer(Task(model, batches, 3, evaluate, True), TrainingOptions(**{**SETTINGS, "epochs": 4}), Log())
    history = trainer.run()
    assert [row["best"] for row in history] == [True, True, False, False]
    assert torch.equal(model.weight, seen[1])
    assert not torch.equal(seen[1], seen[3])
    assert not model.training


@pytest.mark.parametrize(
    ("scores", "greater", "patience", "rows", "best"),
    [
        ([1.0, 2.0, 1.5, 1.0, 3.0], True, 2, 4, 2),
        ([1.0, 2.0, 1.5, 1.0, 3.0], False, 2, 3, 1),
        ([3.0, 2.0, 1.0, 0.5, 0.1], False, 1, 5, 5),
        ([3.0, 2.0, 1.0, 0.5, 0.1], True, 1, 2, 1),
        ([1.0, 1.0, 1.0, 1.0, 1.0], True, 3, 4, 4),
        ([0.0, 0.0, 0.0, 0.0, 0.0], False, 3, 4, 4),
        ([0.5, 0.6, 0.6, 0.6, 0.6], True, 3, 5, 5),
        ([0.0, 0.0, 0.0, 0.0, 0.1], True, 1, 5, 5),
        ([0.9, 0.9, 0.9, 0.8, 0.9], True, 1, 4, 3),
    ],
)
def test_patience(scores, greater, patience, rows, best):
    """Of equal scores the later weights are kept, but they do not buy more time, unless nothing was learned yet: a
    score that never changed and could be better."""
    trainer = trained(scores=scores, greater=greater, patience=patience, epochs=5)
    assert len(trainer.history) == rows
    assert [row["epoch"] for row in trainer.history if row["best"]][-1] == best


def test_rows():
    trainer = trained(scores=[1.0, 2.0, 3.0])
    assert trainer.reporter.rows == trainer.history
    assert trainer.reporter.closed == 1
    for number, row in enumerate(trainer.history, start=1):
        assert (row["epoch"], row["step"], row["valid_score"], row["valid_other"]) == (number, 3 * number, number, 1.5)
        assert row["padding"] == pytest.approx(0.2)
        assert row["tokens_per_second"] / row["sequences_per_second"] == pytest.approx(12 / 5)
        assert row["seconds"] >= 0
    assert trainer.history[-1]["learning_rate"] == pytest.approx(0.1 * (1 + math.cos(math.pi * 7 / 8)) / 2)


def test_train_loss_is_the_mean_over_the_items():
    """With a tiny learning rate the weights stay, and so the loss of an epoch can be computed by hand."""
    trainer = trained(learning_rate=1e-9, epochs=1)
    assert trainer.history[0]["train_loss"] == pytest.approx((4 + 4 + 4 + 4 + 4) / 5)


def test_modes():
    """Training mode for the loss; evaluation mode, and no gradients, for the score."""
    model, seen = Line(), []

    def evaluate():
        seen.append((model.training, torch.is_inference_mode_enabled()))
        return {"score": 1.0}

    Trainer(Task(model, batches, 3, evaluate, True), TrainingOptions(**SETTINGS), Log()).run()
    assert seen == [(False, True)] * 3
    assert model.modes == [True] * 9


@pytest.mark.parametrize("max_grad_norm", [0.5, 2.0])
def test_gradients_are_clipped_together(max_grad_norm):
    model = Line(factor=1000.0)
    trained(model, max_grad_norm=max_grad_norm, learning_rate=1e-6)
    gradients = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert gradients.norm().item() == pytest.approx(max_grad_norm, rel=1e-4)


def test_small_gradients_are_left_alone():
    model = Line(factor=1e-3)
    trained(model, max_grad_norm=1.0, learning_rate=1e-9, epochs=1)
    # The last batch is x = [1, 0], where y = 2: the gradient of 0.001 y² is 0.004 for w₁ and b, and 0 for w₂.
    assert model.weight.grad.tolist() == [pytest.approx([0.004, 0.0])]
    assert model.bias.grad.tolist() == pytest.approx([0.004])


def test_weight_decay_is_for_matrices(rates):
    """Without a gradient, AdamW shrinks a weight by lr · decay a step; biases stay."""
    model = trained(Line(factor=0.0), weight_decay=0.5).task.model
    assert model.weight.tolist()[0] == pytest.approx([math.prod(1 - rate * 0.5 for rate in rates)] * 2)
    assert model.bias.tolist() == [1.0]


def test_frozen_weights_stay():
    model = Line()
    model.weight.requires_grad_(False)
    trained(model)
    assert model.weight.tolist() == [[1.0, 1.0]]
    assert model.bias.item() != 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number(value):
    model, log = Line(), Log()
    bad = [*batches(0)[:2], batches(0)[2]._replace(inputs=torch.full((1, 2), value))]
    task = Task(model, lambda epoch: bad, 3, lambda: {"score": 1.0}, True)
    with pytest.raises(StepscanError, match=r"the loss became (nan|inf) at step 3; nothing was saved"):
        Trainer(task, TrainingOptions(**SETTINGS), log).run()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert log.closed == 1


def test_a_score_that_is_no_number():
    with pytest.raises(StepscanError, match="the validation score became nan"):
        trained(scores=[1.0, math.nan])


class Carrying(Line):
    """The state is how many windows went before, with a history of gradients."""

    def loss(self, inputs, targets, state=None):
        result = super().loss(inputs, targets, state)
        return result._replace(state=self.bias * 0 + (0 if state is None else state) + 1)

    def detach_state(self, state):
        return state.detach() + 10


def test_the_state_is_carried_through_an_epoch():
    model = trained(Carrying(), epochs=2).task.model
    assert [None if state is None else state.item() for state in model.states] == [None, 11, 22, None, 11, 22]
    assert not any(state.requires_grad for state in model.states if state is not None)


def test_a_generator_carries_values_without_their_history():
    torch.manual_seed(0)
    model = Generator(Embedding(5, 3), LSTM(3, 4))
    ids = torch.tensor([[1, 2, 3]])
    _, _, state = model.loss(Sequences(ids, [3]), Sequences(ids, [3]))
    carried = model.detach_state(state)
    assert all(leaf.requires_grad for leaf in state)
    assert not any(leaf.requires_grad for leaf in carried)
    assert all(torch.equal(new, old) for new, old in zip(carried, state, strict=True))


def test_a_window_after_a_window_is_one_long_window():
    """Reading on from the carried state gives the same losses as reading it all at once."""
    torch.manual_seed(0)
    model = Generator(Embedding(5, 3), LSTM(3, 4))
    ids = torch.tensor([[1, 2, 3, 4, 1, 2]])
    whole = model.loss(Sequences(ids[:, :5], [5]), Sequences(ids[:, 1:], [5]))
    first = model.loss(Sequences(ids[:, :2], [2]), Sequences(ids[:, 1:3], [2]))
    second = model.loss(Sequences(ids[:, 2:5], [3]), Sequences(ids[:, 3:], [3]), model.detach_state(first.state))
    assert (first.total + second.total).item() == pytest.approx(whole.total.item(), rel=1e-5)
