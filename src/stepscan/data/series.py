"""Files of numeric sequences to arrays `[T, D]` of float64: T time steps of D dimensions. What is not a finite number
is an error with file, line and reason: no value is guessed, none is left out.

Formats, by the file's name (before any `.gz`) or by `format`:

* "ts" (`.ts`): aeon's and sktime's; `v,v,…:second dimension:…:label` a line, under `@` lines and `@data` if there are;
  with `@timeStamps true`, `(time,v)` in place of each value.
* "npy" (`.npy`): see `stepscan.data.arrays`.
* "ucr": the UCR archive's text, `label v v …` a line, with blanks, tabs or commas between.
* "numbers": CSV of numbers, see `stepscan.data.number_tables`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stepscan.data import arrays, number_tables, pairs
from stepscan.data.arrow import is_arrow
from stepscan.data.lines import read_lines
from stepscan.data.number_tables import AS_IT_IS
from stepscan.data.numbers import Values, canonical_label, stacked, values_of
from stepscan.data.regular import History
from stepscan.data.steps import Step, TimeReading
from stepscan.data.tables import choose_format, filled_lines
from stepscan.data.times import Times
from stepscan.errors import DataError, SettingsError, nearest

SERIES_FORMATS = ("ts", "npy", "ucr", "numbers")
_SUFFIXES = {".ts": "ts", ".npy": "npy"}


class LabelledSeries(NamedTuple):
    """A series `[T, D]` and its class; None where the file has none and none is needed."""

    values: Values
    label: str | None
    times: Times | None = None  # where the file has them, as the step between them
    step: Step | None = None


class TaggedSeries(NamedTuple):
    """A series `[T, D]` and as many tags."""

    values: Values
    tags: list[str]


def series_format(path: str | Path, format: str | None = None) -> str | None:
    """ "ts", "npy", "ucr" or "numbers"; None if neither the name nor `format` says that the file holds numbers."""
    if format is not None:
        return format if format in SERIES_FORMATS else None
    return None if is_arrow(path) else choose_format(path, None, _SUFFIXES, otherwise="") or None


def read_labelled_series(
    path: str | Path,
    *,
    format: str | None = None,
    label_column: str | int | None = None,
    labelled: bool = True,
    times: TimeReading = AS_IT_IS,
) -> list[LabelledSeries]:
    """Series with one label each; see `stream_labelled_series`."""
    read = stream_labelled_series(path, format=format, label_column=label_column, labelled=labelled, times=times)
    return list(read)


def stream_labelled_series(
    path: str | Path,
    *,
    format: str | None = None,
    label_column: str | int | None = None,
    labelled: bool = True,
    times: TimeReading = AS_IT_IS,
) -> Iterator[LabelledSeries]:
    """Series with one label each, one at a time.

    Args:
        path: the file, gzip or not.
        format: see above.
        label_column: "numbers": the label's column, a name or a position from 1.
        labelled: whether every series must have a label; if not, one that is there is read all the same.
        times: "numbers" and "ts": how the times are read.

    Raises:
        SettingsError: an unknown format, or `label_column` for a format without columns.
        DataError: a file that cannot be read, a value that is no finite number, another number of dimensions than in
            the first line, dimensions of different lengths, a missing or unknown label.
    """
    kind = _format(path, format)
    if label_column is not None and kind != "numbers":
        raise SettingsError(f"A file in format {kind!r} has no columns to name; label_column is for 'numbers'.")
    if kind in ("ucr", "npy"):
        _check_has_times(kind, times)
    if kind == "ts":
        return _read_ts(path, labelled, times)
    if kind == "ucr":
        return (_ucr_row(row, path, line) for line, row in filled_lines(path))
    if kind == "npy":
        return (LabelledSeries(*pair) for pair in arrays.labelled_arrays(path, labelled))
    return (LabelledSeries(*pair) for pair in number_tables.labelled_rows(path, label_column, labelled, times))


def read_tagged_series(
    path: str | Path,
    *,
    format: str | None = None,
    label_column: str | int | None = None,
    labelled: bool = True,
    times: TimeReading = AS_IT_IS,
) -> list[TaggedSeries]:
    """Series with a label at every step; see `stream_tagged_series`."""
    read = stream_tagged_series(path, format=format, label_column=label_column, labelled=labelled, times=times)
    return list(read)


def stream_tagged_series(
    path: str | Path,
    *,
    format: str | None = None,
    label_column: str | int | None = None,
    labelled: bool = True,
    times: TimeReading = AS_IT_IS,
) -> Iterator[TaggedSeries]:
    """Series with a label at every step, one at a time: "numbers" (one step a row, a blank line between series), "npy".

    Without `labelled` there may be none, and tags are then empty.
    """
    kind = _format(path, format)
    if kind == "numbers":
        return (TaggedSeries(*pair) for pair in number_tables.tagged_steps(path, label_column, labelled, times))
    if kind == "npy":
        _check_has_times(kind, times)
        return (TaggedSeries(*pair) for pair in arrays.tagged_arrays(path, labelled))
    raise SettingsError(f"Format {kind!r} has one label a series, not one a step; use 'numbers' or 'npy'.")


class Histories(list[Values]):
    """Series to go on from, and the step from time to time in them (None: they have no times)."""

    def __init__(self, histories: Sequence[History]) -> None:
        super().__init__(history.values for history in histories)
        self.step = next((history.step for history in histories if history.step), None)


def read_histories(path: str | Path, *, format: str | None = None, times: TimeReading = AS_IT_IS) -> Histories:
    """Series to go on from; see `read_timed_histories`."""
    return Histories(read_timed_histories(path, format=format, times=times))


def read_timed_histories(
    path: str | Path, *, format: str | None = None, times: TimeReading = AS_IT_IS
) -> list[History]:
    """Series to go on from, and their times where the file has them: "numbers" (one time step a row; the default for
    every name but `.npy` and `.ts`), "npy", or the series of a "ts" or "ucr" file, whose labels are no part of them."""
    kind = series_format(path, format) or ("numbers" if format is None else _format(path, format))
    if kind == "numbers":
        return [number_tables.steps(path, times)]
    if kind == "npy":
        _check_has_times(kind, times)
        return [History(values) for values in arrays.histories(path)]
    examples = read_labelled_series(path, format=kind, labelled=False, times=times)
    return [History(example.values, example.times, example.step) for example in examples]


def _check_has_times(kind: str, times: TimeReading) -> None:
    if given := times.given():
        raise SettingsError(f"A file in format {kind!r} has no times; {', '.join(given)}: for 'numbers' and 'ts'.")


def _format(path: str | Path, format: str | None) -> str:
    kind = series_format(path, format)
    if kind is None:
        hint = nearest(format, SERIES_FORMATS) if format else f" Give format: one of {', '.join(SERIES_FORMATS)}."
        raise SettingsError(f"{path} is not known to hold numbers.{hint}")
    return kind


def _ucr_row(row: str, path: str | Path, line: int) -> LabelledSeries:
    label, *cells = row.replace(",", " ").split()
    if not cells:
        raise DataError(f"expected a label and numbers, but got {row.strip()[:40]!r}.", path=path, line=line)
    return LabelledSeries(stacked([values_of(cells, path, line)], path, line), canonical_label(label))


class _Header(NamedTuple):
    """What the `@` lines say."""

    labelled: bool | None = None
    classes: frozenset[str] = frozenset()
    timed: bool = False


def _read_ts(path: str | Path, labelled: bool, times: TimeReading) -> Iterator[LabelledSeries]:
    header, rows = _ts_header(read_lines(path), path)
    has_labels = header.labelled if header.labelled is not None else True
    if labelled and not has_labels:
        raise DataError("its header says @classLabel false, but every series needs a class.", path=path)
    if not header.timed:
        _check_has_times("ts", times)
    first: tuple[int, int] | None = None
    step: Step | None = None
    for line, row in _without_blank(rows, path):
        cut = pairs.parts(row.strip()) if header.timed else row.strip().split(":")
        *parts, label = cut if has_labels else [*cut, ""]
        if not parts:
            reason = f"expected values, a colon and a label, but got {row.strip()[:40]!r}."
            raise DataError(reason, path=path, line=line)
        first = first or (line, len(parts))
        if len(parts) != first[1]:
            reason = f"expected {first[1]} dimensions, as in line {first[0]}, but got {len(parts)}."
            raise DataError(reason, path=path, line=line)
        if header.timed:
            series = pairs.series(parts, path, line, times, step)
            step = step or series.step
        else:
            values = [values_of(_cells(part), path, line, number) for number, part in enumerate(parts, start=1)]
            series = History(stacked(values, path, line))
        yield LabelledSeries(
            series.values, _ts_label(label, header, path, line) if has_labels else None, series.times, series.step
        )
    if first is None:
        raise DataError("the file has a header but no series.", path=path)


def _cells(part: str) -> Sequence[str]:
    return part.split(",") if part.strip() else ()


def _ts_label(text: str, header: _Header, path: str | Path, line: int) -> str:
    label = text.strip()
    if not label:
        raise DataError("the label is empty.", path=path, line=line)
    if header.classes and label not in header.classes:
        hint = nearest(label, header.classes).strip()
        raise DataError(f"the header's @classLabel does not name the class {label!r}.", path=path, line=line, hint=hint)
    return label


def _ts_header(lines: Iterator[tuple[int, str]], path: str | Path) -> tuple[_Header, Iterable[tuple[int, str]]]:
    """What stands above the data, and the data's lines; a file without `@` lines is all data."""
    header, at_lines = _Header(), 0
    for line, text in lines:
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        key = words[0].lower()
        if key == "@data":
            return header, lines
        if not key.startswith("@"):
            if at_lines:
                raise DataError("expected @data before the first series.", path=path, line=line)
            return header, _chained((line, text), lines)
        at_lines += 1
        header = _read_key(header, key, words[1:], path, line)
    raise DataError("expected series after @data, but the file ends in its header.", path=path)


def _read_key(header: _Header, key: str, words: Sequence[str], path: str | Path, line: int) -> _Header:
    says = words[0].lower() if words else ""
    if key == "@timestamps" and says == "true":
        return header._replace(timed=True)
    if key == "@classlabel":
        if says not in ("true", "false"):
            reason = f"expected true or false after @classLabel, but got {' '.join(words)[:40]!r}."
            raise DataError(reason, path=path, line=line)
        return header._replace(labelled=says == "true", classes=frozenset(words[1:]))
    return header


def _chained(first: tuple[int, str], rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest


def _without_blank(rows: Iterable[tuple[int, str]], path: str | Path) -> Iterator[tuple[int, str]]:
    blank = math.inf
    for line, row in rows:
        if not row.strip():
            blank = min(blank, line)
        elif blank < line:
            raise DataError("expected a series, but the line is blank.", path=path, line=int(blank), hint="Remove it.")
        else:
            yield line, row
