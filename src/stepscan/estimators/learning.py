"""How an estimator learns: it finds out how long to train on some of the data, then trains on all of it if they are few."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from stepscan.training.defaults import REFITTED, most_updates
from stepscan.training.loop import Task, Trainer
from stepscan.training.progress import Bar, Silence
from stepscan.training.settings import TrainingSettings
from stepscan.training.stages import Stages

if TYPE_CHECKING:
    from stepscan.estimators.base import Estimator


class Data(NamedTuple):
    """What is learned from: each part is what the estimator's `_prepare` takes."""

    train: Any
    held_out: Any
    is_given: bool  # whether the user gave what is held out
    examples: int  # of both
    together: Callable[[], Any]  # both parts as one


class Learning:
    """The stages of one `fit`.

    Args:
        estimator: its `_prepare(train, held_out, settings)` makes model and `Task`.
        settings: of the training.
    """

    def __init__(self, estimator: Estimator, settings: TrainingSettings) -> None:
        self.estimator, self.settings = estimator, settings
        self.stages = Stages(settings, Bar if estimator.verbose else Silence)

    def run(self, data: Data, judged: Callable[[], dict[str, Any]] = dict) -> None:
        """Train until the score stops rising; then, if asked for or if the data are few, once more on all of them.

        Args:
            data: in two parts.
            judged: what else is to be found out of the first model, as plain data.
        """
        result = self.stages.ended()
        task = self.prepare(data.train, data.held_out) if result is None or not self.refits(data) else None
        if result is None:
            assert task is not None
            trainer = self.train(task)
            result = self.stages.end(trainer, plan=trainer.plan, judged=judged())
        self.estimator.history_ = result["history"]
        self.estimator.judged_ = result["judged"]
        if self.refits(data):
            plan = result["plan"]
            self.say(f"training once more, on all {data.examples:,} examples, for {plan['max_updates']:,} updates")
            self.train_on_all(data.together(), plan)

    def refits(self, data: Data) -> bool:
        """Whether to train once more on everything."""
        if self.estimator.refit is not None:
            return self.estimator.refit
        return not data.is_given and data.examples < REFITTED

    def prepare(self, train: Any, held_out: Any) -> Task:
        """Model and task, from the seed's random numbers."""
        torch.manual_seed(self.settings.seed)
        return self.estimator._prepare(train, held_out, self.settings)

    def train(self, task: Task, **changes: Any) -> Trainer:
        """Run the next stage, within the budget."""
        return self.estimator._train(self.stages, task, **self._budget(task), **changes)

    def train_on_all(self, everything: Any, plan: dict[str, Any]) -> None:
        """The last stage: as many updates as were found to be best, without validation."""
        task = self.prepare(everything, None)
        trainer = self.estimator._train(self.stages, task, epochs=None, time_budget=None, **plan)
        self.estimator.history_ = [*self.estimator.history_, *trainer.history]

    def say(self, text: str) -> None:
        """Tell the user, if that is wanted."""
        if self.estimator.verbose:
            Bar().note(text)

    def _budget(self, task: Task) -> dict[str, Any]:
        """Of updates, where the settings name none of passes, updates or time."""
        if self.settings.epochs or self.settings.max_updates or self.settings.time_budget:
            return {}
        updates = -(-task.batches_per_epoch // self.settings.accumulate)
        return {"max_updates": most_updates(self.estimator.task, updates, work(task) * self.settings.accumulate)}


def work(task: Task) -> float:
    """Floating-point operations of a batch, forward and backward: six for each weight of a matrix and item."""
    multiplied = sum(p.numel() for part in task.model.modules() for p in _matrices(part))
    return 6.0 * multiplied * task.items_per_batch


def _matrices(part: nn.Module) -> list[nn.Parameter]:
    """What is multiplied with, not looked up."""
    if "Embedding" in type(part).__name__:
        return []
    return [parameter for parameter in part.parameters(recurse=False) if parameter.dim() == 2]
