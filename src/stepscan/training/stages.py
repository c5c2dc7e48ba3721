"""A training in stages, such as one that finds how long to train and one on all data, that can be resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from stepscan.options import TrainingOptions
from stepscan.processes.joining import join
from stepscan.training.checkpoints import Checkpoints
from stepscan.training.loop import Task, Trainer
from stepscan.training.progress import Reporter


class Stages:
    """Runs one stage after the other; a resumed training skips those that had ended.

    Args:
        settings: of the training; each stage may change some.
        reporter: makes the reporter of a stage.
    """

    def __init__(self, settings: TrainingOptions, reporter: Callable[[], Reporter]) -> None:
        self.settings, self.reporter = settings, reporter
        self.results: list[dict[str, Any]] = []  # plain data of the stages that ended, each with its `steps`
        self._saved_results = _saved_results(settings)
        self._runs = 0  # stages run by this process

    def ended(self) -> dict[str, Any] | None:
        """The result of the next stage, if it had ended before the training was interrupted; the stage is skipped."""
        if len(self.results) >= len(self._saved_results):
            return None
        self.results.append(self._saved_results[len(self.results)])
        return self.results[-1]

    def run(self, task: Task, identity: dict[str, Any], *, restarts: bool, **changes: Any) -> Trainer:
        """Run the next stage to its end.

        Args:
            task: what to train.
            identity: what must be the same for it to be resumed.
            restarts: whether a resumed training runs it from its start.
            changes: of the settings.
        """
        settings = dataclasses.replace(self.settings, **changes)
        trainer = Trainer(
            task, settings, self.reporter(), identity, self.results, is_first=self._runs == 0, restarts=restarts
        )
        self._runs += 1
        trainer.run()
        return trainer

    def end(self, trainer: Trainer, **result: Any) -> dict[str, Any]:
        """Store the result of the stage that was run, plain data, and return it with its `steps`."""
        self.results.append({"steps": trainer.clock.step, **result})
        return self.results[-1]


def _saved_results(settings: TrainingOptions) -> list[dict[str, Any]]:
    """The results in the newest checkpoint, if the training is to be resumed."""
    if not settings.resume or settings.checkpoints is None:
        return []
    team, results = join(settings), []
    if team.is_first:
        checkpoint, _ = Checkpoints(settings.checkpoints).newest()
        results = [] if checkpoint is None else list(checkpoint.state.get("earlier", ()))
    return team.broadcast(results)
