"""Files of numeric sequences to arrays `[T, D]` of float64: T time steps of D dimensions. What is not a finite number
is an error with file, line and reason: no value is guessed, none is left out.

Formats, by the file's name (before any `.gz`) or by `format`:

* "ts" (`.ts`): see `stepscan.data.series.ts_files`.
* "npy" (`.npy`): see `stepscan.data.series.npy_files`.
* "ucr": the UCR archive's text, `label v v …` a line, with tabs, commas, semicolons or blanks between; NaN or nothing
  at the end of a series is its end.
* "numbers": CSV of numbers, see `stepscan.data.series.number_tables`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from stepscan.data.arrow import is_arrow
from stepscan.data.series import npy_files, number_tables, ts_files
from stepscan.data.series.number_tables import AS_IT_IS
from stepscan.data.series.regular_series import History
from stepscan.data.series.time_step import TimeOptions, TimeStep, refuse_names, refuse_times
from stepscan.data.series.times import Times
from stepscan.data.series.values import Values, canonical_label, values_of
from stepscan.data.tables import choose_format, filled_lines
from stepscan.errors import DataError, SettingsError, nearest

logger = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

SERIES_FORMATS = ("ts", "npy", "ucr", "numbers")
_SUFFIXES = {".ts": "ts", ".npy": "npy"}


class LabelledSeries(NamedTuple):
    """A series `[T, D]` and its class; None where the file has none and none is needed."""

    values: Values
    label: str | None
    times: Times | None = None  # where the file has them, as the step between them
    step: TimeStep | None = None


class TaggedSeries(NamedTuple):
    """A series `[T, D]` and as many tags."""

    values: Values
    tags: list[str]


def series_format(path: str | Path, format: str | None = None) -> str | None:
    """ "ts", "npy", "ucr" or "numbers"; None if neither the name nor `format` says that the file holds numbers."""
    if format is not None:
        return format if format in SERIES_FORMATS else None
    return None if is_arrow(path) else choose_format(path, None, _SUFFIXES, otherwise="") or None


def stream_labelled_series(
    path: str | Path,
    *,
    format: str | None = None,
    label_column: str | int | None = None,
    labelled: bool = True,
    times: TimeOptions = AS_IT_IS,
    decision: str | None = None,
) -> Iterator[LabelledSeries]:
    """Series with one label each, one at a time.

    Args:
        path: the file, gzip or not.
        format: see above.
        label_column: "numbers": the label's column, a name or a position from 1.
        labelled: whether every series must have a label; if not, one that is there is read all the same.
        times: "numbers" and "ts": how the times are read.
        decision: what the labels are to be, "class", "labels" or "number"; a file that says otherwise is an error.

    Raises:
        SettingsError: an unknown format, or `label_column` for a format without columns.
        DataError: a file that cannot be read, a value that is no finite number, another number of dimensions than in
            the first line, dimensions of different lengths, a missing or unknown label.
    """
    kind = _format(path, format)
    if label_column is not None and kind != "numbers":
        raise SettingsError(f"A file in format {kind!r} has no columns to name; label_column is for 'numbers'.")
    if kind in ("ucr", "npy"):
        refuse_times(kind, times)
    if kind == "ts":
        refuse_names(kind, times)
        found = ts_files.labelled_series(path, labelled, decision, times)
        return (LabelledSeries(one.values, label, one.times, one.step) for one, label in found)
    if kind == "ucr":
        return _ucr_rows(path)
    if kind == "npy":
        return (LabelledSeries(*pair) for pair in npy_files.labelled_arrays(path, labelled))
    return (LabelledSeries(*pair) for pair in number_tables.labelled_rows(path, label_column, labelled, times))


def stream_tagged_series(
    path: str | Path,
    *,
    format: str | None = None,
    label_column: str | int | None = None,
    labelled: bool = True,
    times: TimeOptions = AS_IT_IS,
) -> Iterator[TaggedSeries]:
    """Series with a label at every step, one at a time: "numbers" (one step a row, a blank line between series), "npy".

    Without `labelled` there may be none, and tags are then empty.
    """
    kind = _format(path, format)
    if kind == "numbers":
        return (TaggedSeries(*pair) for pair in number_tables.tagged_steps(path, label_column, labelled, times))
    if kind == "npy":
        refuse_times(kind, times)
        return (TaggedSeries(*pair) for pair in npy_files.tagged_arrays(path, labelled))
    raise SettingsError(f"Format {kind!r} has one label a series, not one a step; use 'numbers' or 'npy'.")


def _listed(stream: Callable[_P, Iterator[_T]]) -> Callable[_P, list[_T]]:
    """The same reader, of all series at once."""

    @functools.wraps(stream)
    def read(*args: _P.args, **options: _P.kwargs) -> list[_T]:
        return list(stream(*args, **options))

    return read


read_labelled_series = _listed(stream_labelled_series)
read_tagged_series = _listed(stream_tagged_series)


class Histories(list[Values]):
    """Series to go on from, and the step from time to time in them (None: they have no times)."""

    def __init__(self, histories: Sequence[History]) -> None:
        super().__init__(history.values for history in histories)
        self.step = next((history.step for history in histories if history.step), None)


def read_histories(path: str | Path, *, format: str | None = None, times: TimeOptions = AS_IT_IS) -> Histories:
    """Series to go on from; see `read_timed_histories`."""
    return Histories(read_timed_histories(path, format=format, times=times))


def read_timed_histories(
    path: str | Path, *, format: str | None = None, times: TimeOptions = AS_IT_IS
) -> list[History]:
    """Series to go on from, and their times where the file has them: "numbers" (one time step a row; the default for
    every name but `.npy` and `.ts`), "npy", or the series of a "ts" or "ucr" file, whose labels are no part of them."""
    kind = series_format(path, format) or ("numbers" if format is None else _format(path, format))
    if kind == "numbers":
        return number_tables.histories(path, times)
    if kind == "npy":
        refuse_times(kind, times)
        return [History(values) for values in npy_files.histories(path)]
    examples = read_labelled_series(path, format=kind, labelled=False, times=times)
    return [History(example.values, example.times, example.step) for example in examples]


def _format(path: str | Path, format: str | None) -> str:
    kind = series_format(path, format)
    if kind is None:
        hint = nearest(format, SERIES_FORMATS) if format else f" Give format: one of {', '.join(SERIES_FORMATS)}."
        raise SettingsError(f"{path} is not known to hold numbers.{hint}")
    return kind


def _ucr_rows(path: str | Path) -> Iterator[LabelledSeries]:
    padded = False
    for line, row in filled_lines(path):
        label, *cells = _ucr_cells(row)
        if not cells:
            raise DataError(f"expected a label and numbers, but got {row.strip()[:40]!r}.", path=path, line=line)
        length = len(cells)
        while length and cells[length - 1].strip().lower() in ("", "nan"):
            length -= 1
        if length < len(cells) and not padded:
            padded = True
            logger.info("%s, line %d: NaN at the end of a series is its end", path, line)
        if not length:
            raise DataError("expected numbers after the label, but all are missing.", path=path, line=line)
        yield LabelledSeries(values_of(cells[:length], path, line)[:, None], canonical_label(label))


def _ucr_cells(row: str) -> list[str]:
    """The cells of a row: what is missing between two tabs, commas or semicolons is an empty one."""
    row = row.strip(" \r")
    return row.split(next((mark for mark in "\t;," if mark in row), None))
