"""`stepscan compare`: the same data with several cells, at equal parameters or in equal time."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from stepscan.cells.catalogue import cell_names
from stepscan.data.line_writer import write_lines
from stepscan.data.task_data import Files, ReadOptions
from stepscan.errors import Interrupted, SettingsError, StepscanError, nearest, signal_number
from stepscan.estimators.base import Estimator
from stepscan.estimators.files import build_on, fit_on, make_estimator, read_data
from stepscan.estimators.forecaster import Forecaster
from stepscan.estimators.learning_curves import check_matplotlib, plot_learning_curves
from stepscan.estimators.running_cost import RunningCost, running_cost
from stepscan.json_text import json_text
from stepscan.storage.atomic import write_lock
from stepscan.storage.lock import TRAINING

EQUALS = ("parameters", "time")
_SWITCHED_OFF = ("wide", "refit")  # settings that are False, so that only networks are compared
_TOLERANCE = 0.1  # relative difference of the numbers of parameters from which a warning is given


class Candidate(NamedTuple):
    """A cell with its hidden size and the number of parameters of its model."""

    cell: str
    hidden_size: int
    parameters: int


def compare(
    task: str,
    train_files: Files,
    out: str | Path,
    *,
    cells: Sequence[str],
    equal: str = "parameters",
    valid_files: Files = (),
    settings: Mapping[str, Any],
    reading: ReadOptions = ReadOptions(),  # noqa: B008
    note: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Train the same model with each cell and write learning curves, scores and the models to a new folder.

    Args:
        task: `classify`, `tag`, `generate`, `forecast` or `translate`.
        train_files, valid_files, reading: as for `stepscan.estimators.files.train`.
        out: folder for `comparison.json`, `curves.png` and one model folder per cell; both files are rewritten after
            each cell.
        cells: registered names; with equal parameters, the first sets their number.
        equal: `parameters`: the same maximum of epochs or updates, and hidden sizes for which the numbers of parameters
            are as near to the first's as possible. `time`: the same hidden size, and each cell trains for `time_budget`
            seconds.
        settings: of the estimator, the same for all cells; `hidden_size` is the first cell's. Settings that are not
            given are chosen by the size of the data. Networks are compared on one split of the data, without a wide
            part and without a refit on all data.
        note: called with progress messages.

    Returns:
        For each cell: `cell`, `hidden_size`, `parameters`, `seconds`, `epochs`, `metric`, `score` (the best on the
        validation data), `tokens_per_second` (the median), `state_bytes` and `step_microseconds` (see `RunningCost`),
        and `curve` (one row per evaluation).

    Raises:
        SettingsError: an unknown cell, one that the task cannot use, or settings that contradict each other.
        Interrupted: by Ctrl-C, after the first cell; the results so far are at `out`.
        StepscanError: `out` exists already, or matplotlib is not installed.
    """
    _check_arguments(cells, equal, settings)
    check_matplotlib()
    folder = _new_folder(out)
    with write_lock(folder, TRAINING):
        shared = dict(settings)
        first = make_estimator(task, {**shared, "cell": cells[0]})
        shared |= {name: False for name in _SWITCHED_OFF if name in first.get_params()}
        first.set_params(**{**shared, "verbose": False})
        examples, validation = read_data(first, train_files, valid_files, reading)
        if isinstance(first, Forecaster):
            shared["step"] = first.step
        build_on(first, examples, validation, train_files)
        candidates = list(_candidates(first, cells, equal))
        rows: list[dict[str, Any]] = []
        try:
            for candidate in candidates:
                note(f"{candidate.cell}: hidden size {candidate.hidden_size}, {candidate.parameters:,} parameters")
                estimator = make_estimator(
                    task, {**shared, "cell": candidate.cell, "hidden_size": candidate.hidden_size}
                )
                fit_on(estimator, examples, validation, train_files)
                folder.mkdir(exist_ok=True)
                estimator.save(folder / candidate.cell)
                rows.append(_row(candidate, estimator.history_, running_cost(folder / candidate.cell)))
                write_lines(folder / "comparison.json", json_text(rows, indent=1).split("\n"))
                plot_learning_curves(rows, folder / "curves.png", f"{task}, equal {equal}")
        except (KeyboardInterrupt, SystemExit) as stop:
            if not rows:
                raise
            finished = ", ".join(row["cell"] for row in rows)
            raise Interrupted(
                f"interrupted; {folder} holds the finished cells: {finished}", signal_number(stop)
            ) from None
        return rows


def show(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the rows of `compare` as a table."""
    metric = rows[0]["metric"]
    caption = f"best {metric}; tokens/s: the median over evaluations; state: of a sequence of 256 items"
    table = Table(caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("cell", no_wrap=True)
    for heading in (
        "hidden",
        "parameters",
        "epochs",
        "seconds",
        metric.removeprefix("validation "),
        "tokens\n/s",
        "state,\nbytes",
        "step,\nµs",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row["cell"],
            str(row["hidden_size"]),
            f"{row['parameters']:,}",
            str(row["epochs"]),
            f"{row['seconds']:.1f}",
            f"{row['score']:.4f}",
            f"{row['tokens_per_second']:,.0f}",
            "–" if row["state_bytes"] is None else f"{row['state_bytes']:,}",
            "–" if row["step_microseconds"] is None else f"{row['step_microseconds']:.1f}",
        )
    console.print(table)


def _check_arguments(cells: Sequence[str], equal: str, settings: Mapping[str, Any]) -> None:
    if equal not in EQUALS:
        raise SettingsError(f"equal: expected {' or '.join(EQUALS)}, got {equal!r}.{nearest(equal, EQUALS)}")
    if equal == "time" and settings.get("time_budget") is None:
        raise SettingsError("time_budget: expected a time per cell with equal time, got None; give --time-budget 5m")
    for name in ("epochs", "max_updates", "patience"):
        if equal == "time" and name in settings:
            option = name.replace("_", "-")
            raise SettingsError(f"{name}: expected None with equal time, got {settings[name]}; omit --{option}")
    for name in ("cell", "checkpoints", "resume"):
        if name in settings:
            raise SettingsError(f"compare trains several cells (--cells gru,lstm), so it takes no setting {name!r}")
    for name in _SWITCHED_OFF:
        if settings.get(name):
            raise SettingsError(f"{name}: expected False in a comparison of networks, got {settings[name]}; omit it")
    for cell in cells:
        if cell not in cell_names():
            raise SettingsError(f"unknown cell {cell!r}.{nearest(cell, cell_names())}")
    if len(cells) < 2 or len(set(cells)) < len(cells):
        raise SettingsError(f"cells: expected two or more, each once, got {', '.join(cells) or 'none'}")


def _new_folder(out: str | Path) -> Path:
    folder = Path(out)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise StepscanError(f"{out} exists already; choose another name")
    if not folder.parent.is_dir():
        raise StepscanError(
            f"{folder.parent} is not a folder, so {folder.name} cannot be written into it; make it first"
        )
    return folder


def _candidates(template: Estimator, cells: Sequence[str], equal: str) -> Iterator[Candidate]:
    first_size = template.effective_settings.hidden_size
    target = template.count_parameters(cells[0], first_size)
    for cell in cells:
        hidden_size = first_size
        if equal == "parameters" and cell != cells[0]:
            hidden_size = hidden_size_for(template, cell, target)
        parameters = template.count_parameters(cell, hidden_size)
        if equal == "parameters" and abs(parameters - target) > _TOLERANCE * target:
            warnings.warn(
                f"{cell}: hidden size {hidden_size} comes nearest to the {target:,} parameters of {cells[0]}, with "
                f"{parameters:,}; a larger --hidden-size allows a closer match",
                stacklevel=2,
            )
        yield Candidate(cell, hidden_size, parameters)


def hidden_size_for(template: Estimator, cell: str, parameters: int) -> int:
    """The hidden size with which a built estimator's model, with `cell`, comes nearest to a number of parameters.

    Where the cell only accepts multiples of some number (its heads), it is one of these.
    """
    unit = _size_unit(template, cell)
    low, high = 1, 2
    while template.count_parameters(cell, unit * high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        is_low = template.count_parameters(cell, unit * middle) < parameters
        low, high = (middle, high) if is_low else (low, middle)
    return unit * min((low, high), key=lambda size: abs(template.count_parameters(cell, unit * size) - parameters))


def _size_unit(template: Estimator, cell: str) -> int:
    """The least number whose multiples the cell accepts as hidden size."""
    prime = 127  # so that a multiple of it is accepted because of the other factor
    for unit in range(1, 65):
        try:
            template.count_parameters(cell, prime * unit)
        except SettingsError as error:
            reason = error
        else:
            return unit
    raise reason


def _row(candidate: Candidate, history: Sequence[Mapping[str, Any]], cost: RunningCost) -> dict[str, Any]:
    metric = next(name for name in history[0] if name.startswith("valid_"))
    best = [row for row in history if row["best"]][-1]
    return {
        **candidate._asdict(),
        "seconds": history[-1]["seconds"],
        "epochs": history[-1]["epoch"],
        "metric": metric.replace("_", " ", 1).replace("valid", "validation"),
        "score": best[metric],
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in history),
        **cost._asdict(),
        "curve": [{name: row[name] for name in ("epoch", "seconds", "train_loss", metric)} for row in history],
    }
