"""`stepscan compare`: the same data with several cells, at equal parameters or in equal time."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from stepscan.cells.catalogue import cell_names
from stepscan.data.line_writer import write_lines
from stepscan.data.task_data import Files, ReadOptions
from stepscan.errors import Interrupted, SettingsError, StepscanError, nearest, signal_of
from stepscan.estimators.base import Estimator
from stepscan.estimators.curves import check_drawing, draw
from stepscan.estimators.files import fit_on, make_estimator, prepare_on, read_for
from stepscan.json_text import json_text
from stepscan.runtime.atomic import write_lock
from stepscan.runtime.lock import TRAINING

EQUALS = ("parameters", "time")
_ALONE = ("wide", "refit")  # settings that are off: networks are compared
_FAR = 0.1  # share by which numbers of parameters may differ without a word


class Contender(NamedTuple):
    """A cell, and how wide a layer of it is."""

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
    """Train the same model with each cell and write learning curves, figures and the models to a new folder.

    Args:
        task: `classify`, `tag`, `generate`, `forecast` or `translate`.
        train_files, valid_files, reading: as for `stepscan.estimators.files.train`.
        out: folder for `comparison.json`, `curves.png` and a model folder a cell; both files are there, for the cells
            so far, from the first cell's end on.
        cells: their registered names; the first sets how many parameters all have.
        equal: `parameters`: as many epochs or updates at most, and hidden sizes for which the numbers of parameters
            are as near to the first's as they can be. `time`: the same hidden size, and each trains for `time_budget`
            seconds, however many epochs that makes.
        settings: of the estimator; all cells share them, `hidden_size` being the first cell's. What is not set is
            chosen by the size of the data. Networks are compared, on one split of the data: there is no wide part, and
            nothing is trained once more on all data.
        note: told what is about to happen.

    Returns:
        For each cell: `cell`, `hidden_size`, `parameters`, `seconds`, `epochs`, `metric`, `score` (the best on the
        validation data), `tokens_per_second` (the median) and `curve` (one row an evaluation).

    Raises:
        SettingsError: an unknown cell, one that the task cannot use, or settings that contradict each other.
        Interrupted: by Ctrl-C, after the first cell; what had ended is at `out`.
        StepscanError: something is at `out` already, or matplotlib is not installed.
    """
    _check(cells, equal, settings)
    check_drawing()
    folder = _new_folder(out)
    with write_lock(folder, TRAINING):
        shared = dict(settings)
        first = make_estimator(task, {**shared, "cell": cells[0]})
        shared |= {name: False for name in _ALONE if name in first.get_params()}
        first.set_params(**{**shared, "verbose": False})
        examples, validation = read_for(first, train_files, valid_files, reading)
        if task == "forecast":
            shared["step"] = first.step
        prepare_on(first, examples, validation, train_files)
        contenders = list(_contenders(first, cells, equal))
        rows: list[dict[str, Any]] = []
        try:
            for contender in contenders:
                note(f"{contender.cell}: hidden size {contender.hidden_size}, {contender.parameters:,} parameters")
                estimator = make_estimator(
                    task, {**shared, "cell": contender.cell, "hidden_size": contender.hidden_size}
                )
                fit_on(estimator, examples, validation, train_files)
                folder.mkdir(exist_ok=True)
                estimator.save(folder / contender.cell)
                rows.append(_row(contender, estimator.history_))
                write_lines(folder / "comparison.json", json_text(rows, indent=1).split("\n"))
                draw(rows, folder / "curves.png", f"{task}, equal {equal}")
        except (KeyboardInterrupt, SystemExit) as stop:
            if not rows:
                raise
            ended = ", ".join(row["cell"] for row in rows)
            raise Interrupted(
                f"interrupted; {folder} holds the cells that had ended: {ended}", signal_of(stop)
            ) from None
        return rows


def show(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the rows of `compare` as a table."""
    metric = rows[0]["metric"]
    table = Table(caption=f"best {metric}; tokens/s: the median of the passes")
    table.add_column("cell", no_wrap=True)
    for heading in ("hidden", "parameters", "epochs", "seconds", metric.removeprefix("validation "), "tokens/s"):
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
        )
    console.print(table)


def _check(cells: Sequence[str], equal: str, settings: Mapping[str, Any]) -> None:
    if equal not in EQUALS:
        raise SettingsError(f"unknown kind of equality {equal!r}.{nearest(equal, EQUALS)}")
    if equal == "time" and settings.get("time_budget") is None:
        raise SettingsError("equal time needs a time budget for each cell (--time-budget 5m)")
    for name in ("epochs", "max_updates", "patience"):
        if equal == "time" and name in settings:
            option = name.replace("_", "-")
            raise SettingsError(f"in equal time the time budget ends training, so --{option} has no meaning; omit it")
    for name in ("cell", "checkpoints", "resume"):
        if name in settings:
            raise SettingsError(f"compare trains several cells (--cells gru,lstm), so it takes no setting {name!r}")
    for name in _ALONE:
        if settings.get(name):
            raise SettingsError(f"compare trains networks alone, each on the same examples; omit the setting {name!r}")
    for cell in cells:
        if cell not in cell_names():
            raise SettingsError(f"unknown cell {cell!r}.{nearest(cell, cell_names())}")
    if len(cells) < 2 or len(set(cells)) < len(cells):
        raise SettingsError(f"compare takes two cells or more, each once, got {', '.join(cells) or 'none'}")


def _new_folder(out: str | Path) -> Path:
    folder = Path(out)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise StepscanError(f"{out} is there already; choose another name")
    if not folder.parent.is_dir():
        raise StepscanError(
            f"{folder.parent} is not a folder, so {folder.name} cannot be written into it; make it first"
        )
    return folder


def _contenders(template: Estimator, cells: Sequence[str], equal: str) -> Iterator[Contender]:
    size = template._in_force.hidden_size
    wanted = _parameters(template, cells[0], size)
    for cell in cells:
        one = size if equal == "time" or cell == cells[0] else hidden_size_for(template, cell, wanted)
        found = _parameters(template, cell, one)
        if equal == "parameters" and abs(found - wanted) > _FAR * wanted:
            warnings.warn(
                f"{cell}: hidden size {one} comes nearest to the {wanted:,} parameters of {cells[0]}, with {found:,}; "
                "a larger --hidden-size lets them be nearer",
                stacklevel=2,
            )
        yield Contender(cell, one, found)


def hidden_size_for(template: Any, cell: str, wanted: int) -> int:
    """The hidden size with which the template's model, made of `cell`, comes nearest to `wanted` parameters.

    A cell may take multiples of some number only (of its heads): of these.
    """
    unit = _unit(template, cell)
    low, high = 1, 2
    while _parameters(template, cell, unit * high) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _parameters(template, cell, unit * middle) < wanted else (low, middle)
    return unit * min((low, high), key=lambda size: abs(_parameters(template, cell, unit * size) - wanted))


def _unit(template: Any, cell: str) -> int:
    """The least number whose multiples the cell takes as hidden size."""
    prime = 127  # a multiple of it builds because of the other factor
    for unit in range(1, 65):
        try:
            _parameters(template, cell, prime * unit)
        except SettingsError as error:
            reason = error
        else:
            return unit
    raise reason


def _parameters(template: Any, cell: str, hidden_size: int) -> int:
    """How many parameters the template's model has with this cell and size; nothing is allocated."""
    before = template.get_params()
    try:
        with torch.device("meta"):
            model = template.set_params(cell=cell, hidden_size=hidden_size)._model(*template._made_from)
    except ValueError as error:
        raise SettingsError(f"no model can be made of cell {cell!r} here: {error}") from error
    finally:
        template.set_params(**before)
    return sum(parameter.numel() for parameter in model.parameters())


def _row(contender: Contender, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    metric = next(name for name in history[0] if name.startswith("valid_"))
    best = [row for row in history if row["best"]][-1]
    return {
        **contender._asdict(),
        "seconds": history[-1]["seconds"],
        "epochs": history[-1]["epoch"],
        "metric": metric.replace("_", " ", 1).replace("valid", "validation"),
        "score": best[metric],
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in history),
        "curve": [{name: row[name] for name in ("epoch", "seconds", "train_loss", metric)} for row in history],
    }
