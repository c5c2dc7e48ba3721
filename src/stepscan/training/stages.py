"""A training in stages, such as one that finds how long to train and one on all data, that can be interrupted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from stepscan.options import TrainingOptions
from stepscan.training.checkpoints import Checkpoints
from stepscan.training.loop import Task, Trainer
from stepscan.training.progress import Reporter


class Stages:
    """Runs one stage after the other; those that an interrupted training had ended are not run again.

    Args:
        settings: of the training; each stage may change some.
        reporter: makes who is told of a stage.
    """

    def __init__(self, settings: TrainingOptions, reporter: Callable[[], Reporter]) -> None:
        self.settings, self.reporter = settings, reporter
        self.results: list[dict[str, Any]] = []  # plain data of the stages that ended, each with its `steps`
        self._kept = _kept(settings)
        self._runs = 0  # stages run by this process

    def ended(self) -> dict[str, Any] | None:
        """The result of the next stage, if it had ended before the interruption; it is then behind us."""
        if len(self.results) >= len(self._kept):
            return None
        self.results.append(self._kept[len(self.results)])
        return self.results[-1]

    def run(self, task: Task, identity: dict[str, Any], *, is_short: bool, **changes: Any) -> Trainer:
        """Run the next stage to its end.

        Args:
            task: what to train.
            identity: what must be the same for it to go on after an interruption.
            is_short: whether it then begins anew.
            changes: of the settings.
        """
        settings = dataclasses.replace(self.settings, **changes)
        trainer = Trainer(
            task, settings, self.reporter(), identity, self.results, begins=self._runs == 0, is_short=is_short
        )
        self._runs += 1
        trainer.run()
        return trainer

    def end(self, trainer: Trainer, **result: Any) -> dict[str, Any]:
        """Keep the result of the stage that was run, plain data."""
        self.results.append({"steps": trainer.clock.step, **result})
        return self.results[-1]


def _kept(settings: TrainingOptions) -> list[dict[str, Any]]:
    if not settings.resume or settings.checkpoints is None:
        return []
    checkpoint, _ = Checkpoints(settings.checkpoints).newest()
    return [] if checkpoint is None else list(checkpoint.state.get("earlier", ()))
