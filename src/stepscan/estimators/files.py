"""Trains estimators on files and writes model folders: the work of the commands that train."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stepscan.data.task_data import Files, ReadOptions, check_validation, read_examples, read_validation
from stepscan.errors import DataError, Interrupted, SettingsError, StepscanError, nearest, signal_number
from stepscan.estimators.average import average
from stepscan.estimators.base import ESTIMATORS, Estimator
from stepscan.estimators.classifier import Classifier
from stepscan.estimators.example_cache import fit_from_cache
from stepscan.estimators.forecaster import Forecaster
from stepscan.estimators.language_model import LanguageModel
from stepscan.estimators.loader import load
from stepscan.estimators.training_history import TrainingHistory
from stepscan.estimators.yardsticks import best_scores
from stepscan.memory import format_bytes
from stepscan.models.ensemble import ensemble
from stepscan.models.files import reading_for, skipped
from stepscan.options import TASKS, check_settings
from stepscan.processes.joining import join
from stepscan.processes.team import Team
from stepscan.processes.world import read_world
from stepscan.storage.atomic import check_writable, identity, write_lock
from stepscan.storage.lock import TRAINING
from stepscan.storage.ownership import CHECKPOINTS
from stepscan.training.checkpoints import Checkpoints
from stepscan.training.progress import ProgressBar

_LARGE = 100_000_000  # bytes of training data, which take about ten times as much in memory


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
        settings: of the estimator's constructor; the others have their defaults.
        reading: how the files are read.
        overwrite: whether a model or an interrupted training at `out` is replaced.
        resume: whether an interrupted training at `out` is resumed; the weights are then the same to the bit.

    Returns:
        `task`, `folder`, `seconds`, `parameters`, `epochs` and `updates` of the training that the model is from, the
        settings that were `chosen` by the size of the data, the best validation scores (`valid_…`), and `yardstick`:
        `name` and `scores` of a trivial model.

    Raises:
        SettingsError: a setting is wrong.
        DataError: a file is missing or broken.
        StepscanError: `out` exists, or cannot be written.
        Interrupted: by Ctrl-C or SIGTERM.
        PeerLost: another process of the training ended.
    """
    started, checkpoints = time.perf_counter(), Checkpoints(Path(out) / CHECKPOINTS)
    estimator = make_estimator(task, {**settings, "checkpoints": checkpoints.folder, "resume": resume})
    team = join(estimator.training_options())
    with team.reporting(), _writing(out, team), _interruptible(checkpoints):
        estimator.resume = resume = team.broadcast(resume or (_is_restart(team) and bool(checkpoints)))
        if team.is_first:
            _prepare_folder(Path(out), checkpoints, overwrite=overwrite, resume=resume)
        replaced = identity(out)
        if getattr(estimator, "cache_dir", None) is None:
            examples, validation = read_data(estimator, train_files, valid_files, reading)
            _mention_cache(estimator, train_files)
            fit_on(estimator, examples, validation, train_files)
        else:
            fit_from_cache(estimator, train_files, valid_files, reading)
        if team.is_first:
            _save(estimator, Path(out), replaced)
        team.wait()
    history = TrainingHistory.from_rows(estimator.history_)
    return {
        "task": task,
        "folder": str(out),
        "seconds": round(time.perf_counter() - started, 1),
        "parameters": sum(parameter.numel() for parameter in estimator.model_.parameters()),
        "epochs": history.epochs,
        "updates": history.updates,
        "chosen": estimator.chosen_,
        **skipped(reading),
        **{f"valid_{name}": value for name, value in best_scores(estimator.history_).items()},
        **_yardstick_entry(estimator.yardstick_),
    }


def _mention_cache(estimator: Any, files: Files) -> None:
    """Of large files, say how they need less memory."""
    size = sum(Path(file).stat().st_size for file in files if Path(file).is_file())
    if estimator.verbose and size >= _LARGE and hasattr(estimator, "cache_dir"):
        text = f"{format_bytes(size)} of data are in memory; --cache-dir FOLDER reads them from disk"
        ProgressBar().note(text)


def _is_restart(team: Team) -> bool:
    """Whether `torchrun` has started the processes again, after one of them ended."""
    return team.size > 1 and read_world().restarts > 0


def _writing(out: str | Path, team: Team) -> contextlib.AbstractContextManager[None]:
    """The lock of the model folder, which the first process holds."""
    return write_lock(out, TRAINING) if team.is_first else contextlib.nullcontext()


def _yardstick_entry(yardstick: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"yardstick": {name: yardstick[name] for name in ("name", "scores")}} if yardstick else {}


def _prepare_folder(out: Path, checkpoints: Checkpoints, *, overwrite: bool, resume: bool) -> None:
    """Raise unless training may write to `out`, and remove old checkpoints."""
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
    """Save the model, replacing only the folder that existed when training began, not one written since."""
    if identity(out) != replaced:
        other = next(path for n in itertools.count(2) if not (path := out.with_name(f"{out.name}-{n}")).exists())
        estimator.save(other)
        raise StepscanError(f"another model was written to {out} during this training; this one is in {other}")
    try:
        estimator.save(out, overwrite=True)
    except StepscanError as error:
        raise StepscanError(
            f"{error}; the training is saved: fix that, then run the same command with --resume"
        ) from error


@contextlib.contextmanager
def _interruptible(checkpoints: Checkpoints) -> Iterator[None]:
    """Turns an interrupt outside the training loop (while data are read, or the model is written) into an
    `Interrupted` with advice, if there are checkpoints."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        if not checkpoints:
            raise
        advice = "the checkpoints are saved: resume with the same command and --resume"
        raise Interrupted(f"interrupted; {advice}", signal_number(stop)) from None


def make_estimator(task: str, settings: Mapping[str, Any]) -> Estimator:
    """The task's estimator with these settings, checked.

    Raises:
        SettingsError: an unknown task or setting (the error names the tasks that have it), or a wrong value.
    """
    if task not in ESTIMATORS:
        raise SettingsError(f"unknown task {task!r}.{nearest(task, ESTIMATORS)}")
    check_settings(TASKS[task], settings)
    estimator = ESTIMATORS[task](**settings)
    estimator.training_options()
    estimator.check_architecture()
    return estimator


def average_folders(paths: Files, out: str | Path, *, overwrite: bool = False) -> None:
    """Write a model folder with the mean of the weights of several models; see `average`."""
    check_writable(out, overwrite=overwrite)
    average([load(path) for path in paths]).save(out, overwrite=overwrite)


def load_ensemble(path: str | Path, others: Files = ()) -> Estimator:
    """A model, or the ensemble of it and others."""
    return ensemble([load(folder) for folder in (path, *others)])


def read_data(
    estimator: Any, train_files: Files, valid_files: Files, reading: ReadOptions
) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """Training examples and, if there are files of them, validation examples. A time step that the reader finds in
    series becomes the estimator's `step`.

    Raises:
        SettingsError, DataError: see `read_examples`; or spans of texts without validation data.
    """
    check_validation(valid_files, reading)
    examples = read_examples(estimator.task, train_files, reading_for(estimator, reading))
    step = getattr(examples[0], "step", None)
    if step is not None:
        estimator.step = str(step)
    return examples, read_validation(estimator.task, valid_files, reading_for(estimator, reading), examples)


def fit_on(estimator: Any, examples: tuple[Any, ...], validation: tuple[Any, ...] | None, files: Files) -> None:
    """Fit on examples that `read_data` read from `files`, which are named in errors."""
    arguments, held_out = _fit_arguments(estimator, examples, validation, files)
    estimator.fit(*arguments, validation=held_out)


def build_on(estimator: Any, examples: tuple[Any, ...], validation: tuple[Any, ...] | None, files: Files) -> None:
    """As `fit_on`, with `Estimator.build` in place of `fit`."""
    arguments, held_out = _fit_arguments(estimator, examples, validation, files)
    estimator.build(*arguments, validation=held_out)


def _fit_arguments(
    estimator: Any, examples: tuple[Any, ...], validation: tuple[Any, ...] | None, files: Files
) -> tuple[tuple[Any, ...], Any]:
    """The arguments of `fit`, and its validation data."""
    if isinstance(estimator, LanguageModel | Forecaster):
        return examples[:1], validation[0] if validation else None
    if isinstance(estimator, Classifier) and estimator.problem_type == "classification" and len(set(examples[1])) < 2:
        raise DataError(
            f"expected at least two classes, got only {examples[1][0]!r}.",
            path=files[0],
            hint="Is it the right column? Name it with --label-column.",
        )
    return examples, validation
