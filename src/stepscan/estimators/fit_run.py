"""The stages of a `fit`: training on one part of the data or on folds, then perhaps once more on all data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch

from stepscan.estimators.training_data import TrainingData
from stepscan.estimators.yardsticks import best_scores, report_yardstick
from stepscan.options import TrainingOptions
from stepscan.processes.joining import join
from stepscan.training.defaults import REFITTED, most_updates
from stepscan.training.flops import training_flops
from stepscan.training.loop import Task, Trainer
from stepscan.training.progress import NullReporter, ProgressBar
from stepscan.training.stages import Stages

if TYPE_CHECKING:
    from stepscan.estimators.base import Estimator

_UNLIMITED = 2**31 - 1


class Stage(NamedTuple):
    """One training of a `fit`, before it begins."""

    task: Task
    settings: TrainingOptions  # with the maximum number of updates, where the user's settings do not limit it


class TrainStage(Protocol):
    """Trains a task as the next stage, with some settings changed."""

    def __call__(self, stages: Stages, task: Task, *, restarts: bool = False, **changes: Any) -> Trainer: ...


class FitSteps(NamedTuple):
    """What an estimator does in a `FitRun`."""

    prepare: Callable[[Any, Any, TrainingOptions], Task]  # training data, validation data, settings → model and task
    train: TrainStage
    held_out_results: Callable[[Any], Any]  # validation data → plain data about the model of a part
    # all data, those results (of folds at each evaluation, of one part once), whether a training on all data follows →
    # index of the best evaluation
    select_best: Callable[[TrainingData, Sequence[Sequence[Any]], bool], int]


class FitRun:
    """Runs the stages of one `fit`.

    One training per part finds how long to train: until the score stops improving or, with folds, up to the evaluation
    that is best for all folds together. Then, if `refit` is set or the data are few, the model that is kept is trained
    on all data for as long.

    Args:
        estimator: gets `history_` and reads `yardstick_`.
        steps: methods of the estimator.
        settings: of the training.
    """

    def __init__(self, estimator: Estimator, steps: FitSteps, settings: TrainingOptions) -> None:
        self.estimator, self.steps, self.settings = estimator, steps, settings
        self.stages = Stages(settings, ProgressBar if estimator.verbose else NullReporter)

    def run(self, data: TrainingData) -> None:
        """Train, and leave the estimator with a model and its training curve."""
        results = [self._search(number, data) for number in range(len(data.parts))]
        self.estimator.history_ = [row for result in results for row in result["history"]]
        evaluations = min(len(result["judged"]) for result in results)  # that all folds have
        held_out_results = [result["judged"][:evaluations] for result in results]
        best = self.steps.select_best(data, held_out_results, self._refits(data))
        best = join(self.settings).broadcast(best)
        scores = best_scores(self.estimator.history_)
        report_yardstick(self.estimator.yardstick_, scores, verbose=self.estimator.verbose)
        if self._refits(data):
            self._train_on_all(data, results[-1]["plans"][best])

    def prepare(self, data: TrainingData) -> Stage:
        """Leave the estimator with a model as it is before training, and nothing of an earlier training; returns the
        first stage."""
        self.estimator.history_, self.estimator.wide_, self.estimator.outside_penalty_ = [], None, 0.0
        task = self._prepare(*data.parts[0])
        self.estimator.model_.eval()
        return Stage(task, dataclasses.replace(self.settings, **self._budget(data, task)))

    def _search(self, number: int, data: TrainingData) -> dict[str, Any]:
        """Train on one part, and return for how long is best."""
        folds = len(data.parts)
        result = self.stages.ended()
        if result is not None:
            self.estimator.yardstick_ = result["yardstick"]
            return result
        train, held_out = data.parts[number]
        if folds > 1:
            self._note(f"fold {number + 1} of {folds}: {len(held_out):,} of {data.size:,} examples are held out")
        task = self._prepare(train, held_out)
        if folds == 1:
            trainer = self.steps.train(self.stages, task, **self._budget(data, task))
            results = [self.steps.held_out_results(held_out)]
            return self._end(trainer, history=trainer.history, plans=[trainer.plan], judged=results)
        results = []
        evaluate_model = task.evaluate
        assert evaluate_model is not None

        def evaluate() -> dict[str, float]:
            results.append(self.steps.held_out_results(held_out))
            return evaluate_model()

        task.evaluate, task.evaluation_cost = evaluate, 1
        changes = {**self._budget(data, task), "patience": _UNLIMITED, "decay_ratio": 0.0}
        trainer = self.steps.train(self.stages, task, restarts=True, **changes)
        history = [{**row, "fold": number + 1} for row in trainer.history]
        plans = [{"max_updates": row["updates"]} for row in history]
        return self._end(trainer, history=history, plans=plans, judged=results)

    def _end(self, trainer: Trainer, **result: Any) -> dict[str, Any]:
        """End a stage with a result that a resumed training cannot compute again."""
        return self.stages.end(trainer, **result, yardstick=self.estimator.yardstick_)

    def _train_on_all(self, data: TrainingData, plan: dict[str, Any]) -> None:
        self._note(f"training once more, on all of the data ({data.size:,}), for {plan['max_updates']:,} updates")
        task = self._prepare(data.together(), None)
        changes = {**self._budget(data), "epochs": None, **plan}
        trainer = self.steps.train(self.stages, task, **changes)
        self.estimator.history_ = [*self.estimator.history_, *({**row, "best": False} for row in trainer.history)]

    def _refits(self, data: TrainingData) -> bool:
        """Whether the model that is kept is trained on all data."""
        if self.estimator.refit is not None or len(data.parts) > 1:
            return self.estimator.refit is not False
        return not data.has_validation and data.size < REFITTED[self.estimator.task]

    def _prepare(self, train: Any, held_out: Any) -> Task:
        """Model and task, from the seed's random numbers."""
        torch.manual_seed(self.settings.seed)
        task = self.steps.prepare(train, held_out, self.settings)
        task.held_out = held_out
        return task

    def _note(self, text: str) -> None:
        if self.estimator.verbose:
            ProgressBar().note(text)

    def _budget(self, data: TrainingData, task: Task | None = None) -> dict[str, Any]:
        """Settings of a stage that limit it: its share of the time, or a number of updates where no setting limits it.

        Folds after the first have as many updates as the first, so that they can be compared.
        """
        if self.settings.time_budget and self.stages.results and task is not None:
            return {"time_budget": None, **self.stages.results[0]["plans"][-1]}
        if self.settings.time_budget:
            return {"time_budget": self.settings.time_budget / (len(data.parts) + self._refits(data))}
        if task is None or self.settings.epochs or self.settings.max_updates:
            return {}
        updates = -(-task.batches_per_epoch // self.settings.gradient_accumulation_steps)
        flops = training_flops(task.model, task.items_per_batch * self.settings.gradient_accumulation_steps)
        return {"max_updates": most_updates(self.estimator.task, updates, flops, are_folds=len(data.parts) > 1)}
