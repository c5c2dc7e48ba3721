"""Files of numbers to series: arrays `[T, D]` of float64, with T time steps of D dimensions. A value that is missing or
not finite is an error with file, line and reason.

Formats, by the file's name (before any `.gz`) or by `format`:

* "ts" (`.ts`): see `stepscan.data.series.ts_files`.
* "npy" (`.npy`): see `stepscan.data.series.npy_files`.
* "ucr": the UCR archive's text: `label v v …` per line, separated by tabs, commas, semicolons or spaces; NaN or empty
  cells at the end of a line are padding.
* "numbers": CSV of numbers, see `stepscan.data.series.number_tables`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from stepscan.data.arrow import is_arrow
from stepscan.data.example_lines import read_example_lines
from stepscan.data.file_formats import choose_format
from stepscan.data.series import npy_files, number_tables, ts_files
from stepscan.data.series.regular_series import TimedSeries
from stepscan.data.series.time_options import DEFAULT_TIMES, TimeOptions, refuse_series_column, refuse_times
from stepscan.data.series.time_step import TimeStep
from stepscan.data.series.times import Times
from stepscan.data.series.values import Values, canonical_label, parse_values
from stepscan.data.whole_files import as_list
from stepscan.errors import DataError, SettingsError, nearest

logger = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

SERIES_FORMATS = ("ts", "npy", "ucr", "numbers")
_SUFFIXES = {".ts": "ts", ".npy": "npy"}


class LabelledSeries(NamedTuple):
    """A series `[T, D]`, its label (None if the file has none and none is required), its times and their step."""

    values: Values
    label: str | None
    times: Times | None = None
    step: TimeStep | None = None


class TaggedSeries(NamedTuple):
    """A series `[T, D]` and its T tags."""

    values: Values
    tags: list[str]


def series_format(path: str | Path, format: str | None = None) -> str | None:
    """One of `SERIES_FORMATS`; None if neither the name nor `format` is one of a file of numbers."""
    if format is not None:
        return format if format in SERIES_FORMATS else None
    return None if is_arrow(path) else choose_format(path, None, _SUFFIXES, otherwise="") or None


def stream_labelled_series(
    path: str | Path,
    *,
    format: str | None = None,
    label_column: str | int | None = None,
    labelled: bool = True,
    times: TimeOptions = DEFAULT_TIMES,
    problem_type: str | None = None,
) -> Iterator[LabelledSeries]:
    """Yield series with one label each.

    Args:
        path: the file, gzip or plain.
        format: one of `SERIES_FORMATS`; None: by the name.
        label_column: "numbers": the label's column, a name or a position from 1.
        labelled: whether every series must have a label; if not, labels that are there are read all the same.
        times: "numbers" and "ts": how times are read.
        problem_type: "classification", "multilabel" or "regression", which the header of a `.ts` file must agree with;
            None: not checked.

    Raises:
        SettingsError: an unknown format, or an option that does not fit it.
        DataError: the file cannot be read, a value is not a finite number, the number of dimensions differs from that
            of the first line, dimensions differ in length, or a label is missing or unknown.
    """
    format = _require_format(path, format)
    if label_column is not None and format != "numbers":
        raise SettingsError(f"label_column: expected format 'numbers', got {format!r}, which has no columns")
    if format in ("ucr", "npy"):
        refuse_times(format, times)
    if format == "ts":
        refuse_series_column(format, times)
        series = ts_files.labelled_series(path, labelled, problem_type, times)
        return (LabelledSeries(one.values, label, one.times, one.step) for one, label in series)
    if format == "ucr":
        return _ucr_rows(path)
    if format == "npy":
        return (LabelledSeries(*pair) for pair in npy_files.labelled_arrays(path, labelled))
    return (LabelledSeries(*pair) for pair in number_tables.labelled_rows(path, label_column, labelled, times))


def stream_tagged_series(
    path: str | Path,
    *,
    format: str | None = None,
    label_column: str | int | None = None,
    labelled: bool = True,
    times: TimeOptions = DEFAULT_TIMES,
) -> Iterator[TaggedSeries]:
    """Yield series with one tag per step, from "numbers" (one step per row, a blank line between series) or "npy".

    Without `labelled`, tags may be missing, and are then empty. Arguments and
    errors are those of `stream_labelled_series`.
    """
    format = _require_format(path, format)
    if format == "numbers":
        return (TaggedSeries(*pair) for pair in number_tables.tagged_steps(path, label_column, labelled, times))
    if format == "npy":
        refuse_times(format, times)
        return (TaggedSeries(*pair) for pair in npy_files.tagged_arrays(path, labelled))
    raise SettingsError(
        f"expected a format with one label per step ('numbers' or 'npy'), got {format!r}, which has one per series"
    )


read_labelled_series = as_list(stream_labelled_series)
read_tagged_series = as_list(stream_tagged_series)


class SeriesList(list[Values]):
    """Series `[T, D]` to forecast from, and the step between their times (None: they have no times)."""

    def __init__(self, series: Sequence[TimedSeries]) -> None:
        super().__init__(one.values for one in series)
        self.step = next((one.step for one in series if one.step), None)


def read_series(path: str | Path, *, format: str | None = None, times: TimeOptions = DEFAULT_TIMES) -> SeriesList:
    """Read series to forecast from; see `read_timed_series`."""
    return SeriesList(read_timed_series(path, format=format, times=times))


def read_timed_series(
    path: str | Path, *, format: str | None = None, times: TimeOptions = DEFAULT_TIMES
) -> list[TimedSeries]:
    """Read series to forecast from, with their times if the file has them.

    Args:
        path: the file, gzip or plain.
        format: "numbers" (one time step per row; the default for every name but `.npy` and `.ts`), "npy", or "ts" or
            "ucr", whose labels are ignored.
        times: how times are read.

    Raises:
        SettingsError: an unknown format, or an option that does not fit it.
        DataError: the file cannot be read, a value is not a finite number, or times do not follow a step.
    """
    kind = series_format(path, format) or ("numbers" if format is None else _require_format(path, format))
    if kind == "numbers":
        return number_tables.unlabelled_steps(path, times)
    if kind == "npy":
        refuse_times(kind, times)
        return [TimedSeries(values) for values in npy_files.unlabelled_arrays(path)]
    examples = read_labelled_series(path, format=kind, labelled=False, times=times)
    return [TimedSeries(example.values, example.times, example.step) for example in examples]


def _require_format(path: str | Path, format: str | None) -> str:
    known = series_format(path, format)
    if known is None and format:
        raise SettingsError(f"unknown format {format!r} for numbers.{nearest(format, SERIES_FORMATS)}")
    if known is None:
        raise SettingsError(
            f"expected a format for the numbers in {path}, one of {', '.join(SERIES_FORMATS)}; got none"
        )
    return known


def _ucr_rows(path: str | Path) -> Iterator[LabelledSeries]:
    was_padded = False
    for line, row in read_example_lines(path):
        label, *cells = _split_ucr(row)
        if not cells:
            raise DataError(f"expected a label and numbers, got {row.strip()[:40]!r}.", path=path, line=line)
        length = len(cells)
        while length and cells[length - 1].strip().lower() in ("", "nan"):
            length -= 1
        if length < len(cells) and not was_padded:
            was_padded = True
            logger.info("%s, line %d: NaN at the end of a series is read as padding", path, line)
        if not length:
            raise DataError("expected numbers after the label, got only missing values.", path=path, line=line)
        yield LabelledSeries(parse_values(cells[:length], path, line)[:, None], canonical_label(label))


def _split_ucr(row: str) -> list[str]:
    """The cells of a row; one between two tabs, commas or semicolons may be empty."""
    row = row.strip(" \r")
    return row.split(next((mark for mark in "\t;," if mark in row), None))
