"""How an estimator learns: it finds out how long to train on a part of the data; of few data, it then trains on all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from stepscan.estimators.yardsticks import best_scores, tell
from stepscan.options import TrainingOptions
from stepscan.training.defaults import REFITTED, most_updates
from stepscan.training.loop import Task, Trainer
from stepscan.training.progress import NullReporter, ProgressBar
from stepscan.training.stages import Stages
from stepscan.training.work import operations

if TYPE_CHECKING:
    from stepscan.estimators.base import Estimator

_ENDLESS = 2**31 - 1


class Data(NamedTuple):
    """What is learned from."""

    parts: Sequence[tuple[Any, Any]]  # training and validation data: one pair, or the folds of a cross-validation
    is_given: bool  # whether the user gave the validation data
    size: int  # examples, or symbols of one text
    together: Callable[[], Any]  # all of it


class Learning:
    """The stages of one `fit`.

    One training a part finds how long to train: until the score stops rising or, of folds, up to the evaluation that
    is best of all folds together. Then, if it is asked for or if the data are few, the model that is kept is trained on
    all data, as long.

    Args:
        estimator: its `_prepare(train, held_out, settings)` makes model and `Task`; `_judge(held_out)` says what else
            is to be known of the model of a part, as plain data; `_conclude(data, judged, is_refitted)` makes something
            of that and says which of the evaluations of folds was the best.
        settings: of the training.
    """

    def __init__(self, estimator: Estimator, settings: TrainingOptions) -> None:
        self.estimator, self.settings = estimator, settings
        self.stages = Stages(settings, ProgressBar if estimator.verbose else NullReporter)

    def run(self, data: Data) -> None:
        """Train, and leave the estimator with a model and its curve."""
        results = [self._search(number, data) for number in range(len(data.parts))]
        self.estimator.history_ = [row for result in results for row in result["history"]]
        count = min(len(result["judged"]) for result in results)  # of evaluations that all folds have
        judged = [result["judged"][:count] for result in results]
        best = self.estimator._conclude(data, judged, self._refits(data))
        tell(self.estimator.yardstick_, best_scores(self.estimator.history_), verbose=self.estimator.verbose)
        if self._refits(data):
            self._train_on_all(data, results[-1]["plans"][best])

    def prepare(self, data: Data) -> None:
        """Leave the estimator with a model as it is before training."""
        self._prepare(*data.parts[0])

    def _search(self, number: int, data: Data) -> dict[str, Any]:
        """Train on one part, and say how long that was best."""
        folds = len(data.parts)
        result = self.stages.ended()
        if result is not None:
            self.estimator.yardstick_ = result["yardstick"]
            return result
        train, held_out = data.parts[number]
        if folds > 1:
            self._say(f"fold {number + 1} of {folds}: {len(held_out):,} of {data.size:,} examples are held out")
        task = self._prepare(train, held_out)
        if folds == 1:
            trainer = self.estimator._train(self.stages, task, **self._budget(data, task))
            judged = self.estimator._judge(held_out)
            return self._end(trainer, history=trainer.history, plans=[trainer.plan], judged=[judged])
        several: list[Any] = []
        evaluate = task.evaluate
        assert evaluate is not None

        def judge() -> dict[str, float]:
            several.append(self.estimator._judge(held_out))
            return evaluate()

        task.evaluate, task.evaluation_cost = judge, 1
        changes = {**self._budget(data, task), "patience": _ENDLESS, "decay_ratio": 0.0}
        trainer = self.estimator._train(self.stages, task, is_short=True, **changes)
        history = [{**row, "fold": number + 1} for row in trainer.history]
        plans = [{"max_updates": row["updates"]} for row in history]
        return self._end(trainer, history=history, plans=plans, judged=several)

    def _end(self, trainer: Trainer, **result: Any) -> dict[str, Any]:
        """Keep what a training that is interrupted later cannot find again."""
        return self.stages.end(trainer, **result, yardstick=self.estimator.yardstick_)

    def _train_on_all(self, data: Data, plan: dict[str, Any]) -> None:
        self._say(f"training once more, on all of the data ({data.size:,}), for {plan['max_updates']:,} updates")
        task = self._prepare(data.together(), None)
        changes = {**self._budget(data), "epochs": None, **plan}
        trainer = self.estimator._train(self.stages, task, **changes)
        self.estimator.history_ = [*self.estimator.history_, *({**row, "best": False} for row in trainer.history)]

    def _refits(self, data: Data) -> bool:
        """Whether the model that is kept is trained on everything."""
        if self.estimator.refit is not None or len(data.parts) > 1:
            return self.estimator.refit is not False
        return not data.is_given and data.size < REFITTED[self.estimator.task]

    def _prepare(self, train: Any, held_out: Any) -> Task:
        """Model and task, from the seed's random numbers."""
        torch.manual_seed(self.settings.seed)
        return self.estimator._prepare(train, held_out, self.settings)

    def _say(self, text: str) -> None:
        if self.estimator.verbose:
            ProgressBar().note(text)

    def _budget(self, data: Data, task: Task | None = None) -> dict[str, Any]:
        """Of a stage: its share of the time (folds after the first: as many updates as the first had, so that they can
        be compared); or updates, where the settings limit nothing."""
        if self.settings.time_budget and self.stages.results and task is not None:
            return {"time_budget": None, **self.stages.results[0]["plans"][-1]}
        if self.settings.time_budget:
            return {"time_budget": self.settings.time_budget / (len(data.parts) + self._refits(data))}
        if task is None or self.settings.epochs or self.settings.max_updates:
            return {}
        updates = -(-task.batches_per_epoch // self.settings.gradient_accumulation_steps)
        work = operations(task.model, task.items_per_batch * self.settings.gradient_accumulation_steps)
        return {"max_updates": most_updates(self.estimator.task, updates, work, are_folds=len(data.parts) > 1)}
