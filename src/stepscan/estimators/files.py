"""From files to estimators and back: what each command that trains does."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stepscan.data.task_data import Files, ReadOptions, read_examples, read_validation
from stepscan.errors import DataError, Interrupted, SettingsError, StepscanError, nearest, signal_of
from stepscan.estimators.base import ESTIMATORS, Estimator
from stepscan.estimators.classifier import Classifier
from stepscan.estimators.course import Course
from stepscan.estimators.ensemble import average, ensemble
from stepscan.estimators.forecaster import Forecaster
from stepscan.estimators.language_model import LanguageModel
from stepscan.estimators.loading import load
from stepscan.estimators.yardsticks import best_scores
from stepscan.options import TASKS, check_settings
from stepscan.runtime.atomic import check_writable, identity, write_lock
from stepscan.runtime.files import reading_for, skipped
from stepscan.runtime.lock import TRAINING
from stepscan.runtime.ownership import CHECKPOINTS
from stepscan.training.checkpoints import Checkpoints


def train(
    task: str,
    train_files: Files,
    out: str | Path,
    *,
    valid_files: Files = (),
    settings: Mapping[str, Any],
    reading: ReadOptions = ReadOptions(),  # noqa: B008
    overwrite: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Train the task's estimator on files and write a model folder.

    Args:
        task: `classify`, `tag`, `generate`, `forecast` or `translate`.
        train_files, valid_files: see `read_examples`; without the latter, a tenth is held out (see `hold_out`; of
            text and of series to forecast, the last).
        out: the model folder.
        settings: of the estimator's constructor; the others keep their defaults.
        reading: how the files are read.
        overwrite: whether a model or an interrupted training at `out` is replaced.
        resume: whether an interrupted training at `out` is resumed, to the same weights to the bit.

    Returns:
        task, folder, seconds, parameters, `epochs` and `updates` of the training that the model is from, the settings
        that were `chosen` by the data's size, the best validation scores, and beside them `yardstick`: `name` and
        `scores` of a trivial model.
    """
    started, checkpoints = time.perf_counter(), Checkpoints(Path(out) / CHECKPOINTS)
    with write_lock(out, TRAINING), _interruptible(checkpoints):
        _start(Path(out), checkpoints, overwrite=overwrite, resume=resume)
        replaced = identity(out)
        estimator = make_estimator(task, {**settings, "checkpoints": checkpoints.folder, "resume": resume})
        examples, validation = read_for(estimator, train_files, valid_files, reading)
        fit_on(estimator, examples, validation, train_files)
        _save(estimator, Path(out), replaced)
    course = Course.of(estimator.history_)
    return {
        "task": task,
        "folder": str(out),
        "seconds": round(time.perf_counter() - started, 1),
        "parameters": sum(parameter.numel() for parameter in estimator.model_.parameters()),
        "epochs": course.epochs,
        "updates": course.updates,
        "chosen": estimator.chosen_,
        **skipped(reading),
        **{f"valid_{name}": value for name, value in best_scores(estimator.history_).items()},
        **_named(estimator.yardstick_),
    }


def _named(yardstick: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"yardstick": {name: yardstick[name] for name in ("name", "scores")}} if yardstick else {}


def _start(out: Path, checkpoints: Checkpoints, *, overwrite: bool, resume: bool) -> None:
    """Raise unless training may write to `out`, and remove the checkpoints of another."""
    if resume and not checkpoints and (out / "config.json").is_file():
        raise StepscanError(
            f"the training of {out} has finished: there is nothing to resume. Start again with --overwrite, "
            "or choose another name"
        )
    if checkpoints and not (resume or overwrite):
        raise StepscanError(f"{out} holds an interrupted training: resume it (--resume), or start again (--overwrite)")
    check_writable(out, overwrite=overwrite or resume)
    if not resume:
        checkpoints.clear()


def _save(estimator: Estimator, out: Path, replaced: Any) -> None:
    """Save the model over the one that was there when training began; over another, that came meanwhile, never."""
    if identity(out) != replaced:
        other = next(path for n in itertools.count(2) if not (path := out.with_name(f"{out.name}-{n}")).exists())
        estimator.save(other)
        raise StepscanError(f"another model was written to {out} during this training, whose model is in {other}")
    try:
        estimator.save(out, overwrite=True)
    except StepscanError as error:
        raise StepscanError(
            f"{error}; the training is saved: fix that, then run the same command with --resume"
        ) from error


@contextlib.contextmanager
def _interruptible(checkpoints: Checkpoints) -> Iterator[None]:
    """An interrupt outside of the training loop (while data are read, or the model is written) says what is kept."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        if not checkpoints:
            raise
        advice = "the checkpoints are saved: resume with the same command and --resume"
        raise Interrupted(f"interrupted; {advice}", signal_of(stop)) from None


def make_estimator(task: str, settings: Mapping[str, Any]) -> Estimator:
    """The task's estimator with these settings, checked; one that it does not have: the error says who has it."""
    if task not in ESTIMATORS:
        raise SettingsError(f"unknown task {task!r}.{nearest(task, ESTIMATORS)}")
    check_settings(TASKS[task], settings)
    estimator = ESTIMATORS[task](**settings)
    estimator._settings()
    return estimator


def average_folders(paths: Files, out: str | Path, *, overwrite: bool = False) -> None:
    """Write a model with the mean of the weights of models."""
    check_writable(out, overwrite=overwrite)
    average([load(path) for path in paths]).save(out, overwrite=overwrite)


def load_together(path: str | Path, others: Files = ()) -> Estimator:
    """A model, or the ensemble of it and others."""
    return ensemble([load(one) for one in (path, *others)])


def read_for(
    estimator: Any, train_files: Files, valid_files: Files, reading: ReadOptions
) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """What an estimator is to be fitted on and, if there are files of it, judged by; both have one step from time to
    time, which becomes the estimator's."""
    examples = read_examples(estimator.task, train_files, reading_for(estimator, reading))
    step = getattr(examples[0], "step", None)
    if step is not None:
        estimator.step = str(step)
    return examples, read_validation(estimator.task, valid_files, reading_for(estimator, reading), examples)


def fit_on(estimator: Any, examples: tuple[Any, ...], validation: tuple[Any, ...] | None, files: Files) -> None:
    """Fit on what `read_examples` read from `files`, which its errors name."""
    given, held_out = _arguments(estimator, examples, validation, files)
    estimator.fit(*given, validation=held_out)


def prepare_on(estimator: Any, examples: tuple[Any, ...], validation: tuple[Any, ...] | None, files: Files) -> None:
    """Prepare for such a fit: see `Estimator.build`."""
    given, held_out = _arguments(estimator, examples, validation, files)
    estimator.build(*given, validation=held_out)


def _arguments(
    estimator: Any, examples: tuple[Any, ...], validation: tuple[Any, ...] | None, files: Files
) -> tuple[tuple[Any, ...], Any]:
    """Those of `fit`: what is learned from, and what is judged by."""
    if isinstance(estimator, LanguageModel | Forecaster):
        return examples[:1], validation[0] if validation else None
    if isinstance(estimator, Classifier) and estimator.problem_type == "classification" and len(set(examples[1])) < 2:
        raise DataError(
            f"expected at least two classes, but every label is {examples[1][0]!r}.",
            path=files[0],
            hint="Is it the right column? Name it with --label-column.",
        )
    return examples, validation
