"""A tiny task for the training loop, every number of which can be computed by hand."""

from __future__ import annotations

import torch
from torch import nn

from stepscan.data.batching import TrainingBatch
from stepscan.options import TrainingOptions
from stepscan.patterns.loss import Loss
from stepscan.training.loop import Task, Trainer
from stepscan.training.progress import NullReporter

SETTINGS = {
    "epochs": 3,
    "batch_size": 1,
    "learning_rate": 0.1,
    "warmup_ratio": 0.2,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "patience": 100,
    "seed": 0,
    "device": "cpu",
}


class Line(nn.Module):
    """y = w x + b with squared error; keeps what the loop gives it."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.weight, self.bias, self.factor = nn.Parameter(torch.ones(1, 2)), nn.Parameter(torch.ones(1)), factor
        self.states: list = []
        self.modes: list[bool] = []

    def loss(self, inputs, targets, state=None):
        self.states.append(state)
        self.modes.append(self.training)
        errors = inputs @ self.weight.T + self.bias - targets
        return Loss(self.factor * (errors**2).sum(), len(inputs))


class Log(NullReporter):
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.done: list[float] = []
        self.rows: list[dict] = []
        self.notes: list[str] = []
        self.closed = 0

    def step(self, done, figures):
        self.done.append(done)

    def evaluated(self, row):
        self.rows.append(row)

    def note(self, text):
        self.notes.append(text)

    def close(self):
        self.closed += 1


def batches(epoch: int) -> list[TrainingBatch]:
    """Three batches an epoch: of 2, 2 and 1 sequences, with 4 tokens in 5 places each."""
    inputs = torch.tensor([[1.0, 0.0], [0.0, 1.0]]) + epoch
    return [TrainingBatch(inputs[:size], torch.zeros(size, 1), size, 4, 5) for size in (2, 2, 1)]


def trained(model=None, scores=None, greater=True, **changes):
    """A trainer that has run; `scores` are those of the evaluations, one after the other."""
    model, scores = model or Line(), iter(scores or [0.0] * 100)
    task = Task(model, batches, 3, lambda: {"score": next(scores), "other": 1.5}, greater)
    trainer = Trainer(task, TrainingOptions(**{**SETTINGS, **changes}), Log())
    trainer.run()
    return trainer
