"""Runs experiments: trains each model with the training loop, tests it, and collects the results."""

from __future__ import annotations

import functools
import shlex
import time
from collections.abc import Mapping
from typing import Any

import torch

from stepscan.errors import Interrupted, StepscanError
from stepscan.estimators.reproduction import environment
from stepscan.experiments.experiment import Experiment, ModelSetup, batches
from stepscan.options import TrainingOptions, check_settings
from stepscan.training.loop import Task, Trainer
from stepscan.training.progress import NullReporter, ProgressBar, Reporter


def run(
    experiment: Experiment, *, seed: int = 0, time_budget: float | None = None, verbose: bool = False
) -> dict[str, Any]:
    """Train and test all models of an experiment.

    Args:
        experiment: one of `stepscan.experiments.catalogue`.
        seed: of weights and training data; the test data are the same for every seed.
        time_budget: seconds of training for all models together, instead of the experiment's; each model may use an
            equal part of the remaining time.
        verbose: whether training reports its progress on standard error.

    Returns:
        `experiment`, `title`, `metric`, `rows` (one per model: `cell`, `value`, `expected`, `as_expected`, `figures`,
        `parameters`, `updates`, `seconds`), `baselines`, `remarks`, the seed, the budget, the machine and the date.

    Raises:
        SettingsError: an invalid seed or time budget.
    """
    budget = experiment.seconds if time_budget is None else time_budget
    rows: list[dict[str, Any]] = []
    left = budget
    for i, setup in enumerate(experiment.models):
        settings = _settings(experiment, setup, seed, left / (len(experiment.models) - i))
        rows.append(_row(experiment, setup, settings, verbose))
        left = max(left - rows[-1]["seconds"], 1.0)
    values = {row["cell"]: row["value"] for row in rows}
    for row, setup in zip(rows, experiment.models, strict=True):
        row["as_expected"] = None if setup.as_expected is None else setup.as_expected(values)
    command = ["stepscan", "reproduce", experiment.name, *experiment.options, "--seed", str(seed)]
    command += [] if time_budget is None else ["--time-budget", f"{time_budget:g}s"]
    run_info = {"seed": seed, "budget": budget, "command": shlex.join(command)}
    return _summary(experiment, rows) | run_info | environment()


def _summary(experiment: Experiment, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "metric": experiment.metric,
        "source": experiment.source,
        "rows": rows,
        "baselines": [{"what": what, "figure": figure} for what, figure in experiment.baselines],
        "remarks": experiment.remarks,
    }


def _settings(experiment: Experiment, setup: ModelSetup, seed: int, seconds: float) -> TrainingOptions:
    epochs = -(-experiment.updates // experiment.updates_per_evaluation)
    settings: dict[str, Any] = {
        "epochs": epochs,
        "time_budget": seconds,
        "batch_size": experiment.batch_size,
        "learning_rate": setup.learning_rate,
        "warmup_ratio": 0.02,
        "weight_decay": 0.0,
        "max_grad_norm": experiment.max_grad_norm,
        "patience": epochs,
        "seed": seed,
    }
    check_settings(TrainingOptions, settings)
    return TrainingOptions(**settings)


def _row(experiment: Experiment, setup: ModelSetup, settings: TrainingOptions, verbose: bool) -> dict[str, Any]:
    reporter: Reporter = ProgressBar() if verbose else NullReporter()
    reporter.note(f"{experiment.name}: {setup.name}")
    started = time.perf_counter()
    with torch.random.fork_rng([]):
        torch.manual_seed(settings.seed)
        model = setup.make()
        before = experiment.before(model)
        trainer = Trainer(_task(experiment, setup, model, settings), settings, reporter)
        diverged = _train(trainer, reporter)
    seconds = time.perf_counter() - started
    figures = _test(experiment, model)
    name = next(iter(figures))
    return {
        "cell": setup.name,
        "value": figures.pop(name),
        "expected": setup.expected,
        "as_expected": None,
        "figures": {**before, **figures, **diverged},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "updates": trainer.clock.step,
        "seconds": round(seconds, 1),
    }


def _train(trainer: Trainer, reporter: Reporter) -> dict[str, int]:
    """Train; if training diverges, restore the best weights so far.

    Returns:
        `diverged_at`, the update at which values were no longer finite, if it diverged.
    """
    try:
        trainer.run()
    except Interrupted:
        raise
    except StepscanError as error:
        if not trainer.best:
            raise
        reporter.note(str(error))
        trainer.task.model.load_state_dict(trainer.best.weights)
        trainer.task.model.eval()
        return {"diverged_at": trainer.clock.step + 1}
    return {}


def _task(experiment: Experiment, setup: ModelSetup, model: Any, settings: TrainingOptions) -> Task:
    return Task(
        model,
        functools.partial(batches, experiment, setup, settings.seed),
        experiment.updates_per_evaluation,
        lambda: dict(experiment.validate(model)),
        experiment.greater_is_better,
    )


@torch.inference_mode()
def _test(experiment: Experiment, model: Any) -> dict[str, Any]:
    figures: Mapping[str, float] = experiment.test(model)
    return dict(figures)
