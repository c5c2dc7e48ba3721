"""CSV of numbers, in three layouts: one series per row, with its label; one time step per row, with its tag, and a
blank line between series; one time step per row without labels, to forecast from.

Commas, semicolons, tabs, vertical bars or spaces separate cells; see `stepscan.data.series.number_cells`.

A row is a header if it has words where the next row has numbers. The column of labels is the one that the user names,
or the one named `label`, `class` or `target`, or else the last. A column of times is not a dimension: it gives the
order of the steps, and shows gaps; see `stepscan.data.series.time_columns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from stepscan.data.delimited import Row
from stepscan.data.example_lines import read_example_lines
from stepscan.data.lines import read_lines
from stepscan.data.series.number_cells import read_number_rows
from stepscan.data.series.regular_series import TimedSeries, align_rows, fill_gaps
from stepscan.data.series.series_column import group_rows
from stepscan.data.series.table_layout import NO_LABELS, LabelColumn, TableLayout, find_layout
from stepscan.data.series.time_columns import TimeColumns
from stepscan.data.series.time_options import TimeOptions
from stepscan.data.series.time_parser import read_times
from stepscan.data.series.time_step import expected_step
from stepscan.data.series.times import Times
from stepscan.data.series.values import (
    Values,
    is_number,
    parse_values,
    parse_values_with_gaps,
    warn_of_suspect_values,
)
from stepscan.errors import DataError, SettingsError


def labelled_rows(
    path: str | Path, label_column: str | int | None, labelled: bool, options: TimeOptions
) -> Iterator[tuple[Values, str | None]]:
    """Yield the series of one dimension in each row, `[T, 1]`, with its label; without a header, T may differ.

    A row's time, number or name is left out. But if the user chose a column of series names, and names repeat, each row
    is a step of a series `[T, D]`.

    Args:
        path: the file.
        label_column: a name, or a position from 1.
        labelled: whether each row must have a label.
        options: how times are read.

    Raises:
        SettingsError: options that do not fit the file.
        DataError: a row that cannot be read.
    """
    rows = read_number_rows(read_example_lines(path), path)
    label = LabelColumn(label_column, possible=True, required=labelled, rows_are_steps=False)
    layout, data = find_layout(rows, path, label, options)
    if layout.columns.series is not None and layout.columns.repeats:
        yield from _labelled_panel(layout, data, path, options)
        return
    if options.sort or options.fill:
        raise SettingsError(f"--sort and --fill: expected one step per row, got one series per row in {path}")
    for line, cells in data:
        numbers, label_text = layout.split(cells, path, line)
        yield _parse(numbers, path, line)[:, None], label_text


def _labelled_panel(
    layout: TableLayout, data: Sequence[Row], path: str | Path, options: TimeOptions
) -> Iterator[tuple[Values, str | None]]:
    """The series of a long table, each with the one label of all its rows."""
    for name, rows in _rows_by_series(layout.columns, data, path).items():
        labels = [(line, layout.split(cells, path, line)[1]) for line, cells in rows]
        first_line, first = labels[0]
        for line, label in labels:
            if label != first:
                reason = f"expected the label {first!r} for series {name!r}, as in line {first_line}, got {label!r}."
                raise DataError(reason, path=path, line=line)
    for values, tags in _tagged_series(layout, data, path, options):
        yield values, tags[0] if tags else None


def tagged_steps(
    path: str | Path, label_column: str | int | None, labelled: bool, options: TimeOptions
) -> Iterator[tuple[Values, list[str]]]:
    """Yield series `[T, D]` with their T tags (none if there is no such column), from one step per row.

    A blank line, or another name in a column of series names, begins another series. Arguments and errors are those of
    `labelled_rows`.
    """
    rows = read_number_rows(read_lines(path), path)
    rows = rows[next(i for i, (_, cells) in enumerate(rows) if cells) :]
    layout, data = find_layout(rows, path, LabelColumn(label_column, possible=True, required=labelled), options)
    yield from _tagged_series(layout, data, path, options)


def _tagged_series(
    layout: TableLayout, data: Sequence[Row], path: str | Path, options: TimeOptions
) -> Iterator[tuple[Values, list[str]]]:
    if options.fill:
        raise SettingsError("--fill is not available for tagged series; put a blank line where rows are missing")
    series = list(_rows_by_series(layout.columns, data, path).values())
    times_by_series = list(_split_times(_read_times(layout.columns, series, path, options), series))
    step = expected_step([times for times in times_by_series if times], path, options.step)
    for rows, times in zip(series, times_by_series, strict=True):
        cells = [(line, *layout.split(row, path, line)) for line, row in rows]
        values = np.stack([_parse(numbers, path, line) for line, numbers, _ in cells])
        warn_of_suspect_values(values, path)
        order = align_rows(times, step, path, options).order if times else range(len(rows))
        tags = [cells[i][2] for i in order]
        yield values[order], [tag for tag in tags if tag is not None]


def unlabelled_steps(path: str | Path, options: TimeOptions) -> list[TimedSeries]:
    """Series `[T, D]` from one time step per row: one, or those that a column names.

    Raises:
        SettingsError: options that do not fit the file.
        DataError: a row that cannot be read, or times that do not follow a step.
    """
    rows = read_number_rows(read_example_lines(path), path)
    line, first = rows[0]
    layout, data = find_layout(rows, path, NO_LABELS, options)
    if len(layout.columns.excluded) >= len(first):
        is_single = len(first) == 1 and is_number(data[0][1][0])
        hint = "If it holds values, add --time-column none." if is_single else ""
        reason = "expected a column of numbers, got only columns of times and names."
        raise DataError(reason, path=path, line=line, hint=hint)
    rows_by_name = _rows_by_series(layout.columns, data, path)
    series = list(rows_by_name.values())
    times_by_series = list(_split_times(_read_times(layout.columns, series, path, options), series))
    known = [times for times in times_by_series if times]
    if options.sort and not known:
        raise SettingsError(f"--sort: expected a column of times in {path}, got none; name it with --time-column")
    is_count = layout.columns.is_count
    step = expected_step(known, path, "" if is_count else options.step)
    result = []
    for (name, steps), times in zip(rows_by_name.items(), times_by_series, strict=True):
        values = _parse_rows(layout, steps, path, options)
        if times:
            alignment = align_rows(times, step, path, options)
            values = fill_gaps(alignment.apply(values), options.fill, path)
            result.append(TimedSeries(values, None if is_count else times, step, name))
        else:
            result.append(TimedSeries(fill_gaps(values, options.fill, path), name=name))
    return result


def _parse_rows(layout: TableLayout, rows: Sequence[Row], path: str | Path, options: TimeOptions) -> Values:
    parse = parse_values_with_gaps if options.fill else parse_values
    values = np.stack([_parse(layout.split(cells, path, line)[0], path, line, parse) for line, cells in rows])
    warn_of_suspect_values(values, path)
    return values


def _parse(cells: Sequence[str], path: str | Path, line: int, parse: Callable[..., Values] = parse_values) -> Values:
    """The cells as numbers; if the first is a word, the error says that it may be the name of a series."""
    try:
        return parse(cells, path, line)
    except DataError as error:
        if error.hint or not cells[0][:1].isalpha() or is_number(cells[0]):
            raise
        hint = "If its column names the series of a row, choose it with --series-column; if not, remove the column."
        raise DataError(error.reason, path=path, line=line, hint=hint) from None


def _rows_by_series(columns: TimeColumns, rows: Sequence[Row], path: str | Path) -> dict[str, list[Row]]:
    """The rows of each series by its name; without names, blank lines separate series, which are numbered."""
    if columns.series is not None:
        return group_rows([row for row in rows if row[1]], columns.series, path)
    blocks = list(_split_at_blank_lines(rows))
    return {str(number) if len(blocks) > 1 else "": block for number, block in enumerate(blocks, start=1)}


def _read_times(
    columns: TimeColumns, series: Sequence[Sequence[Row]], path: str | Path, options: TimeOptions
) -> Times | None:
    """The times of all series, concatenated; None if they count the rows of the whole file."""
    if not columns.time or options.ignore:
        return None
    cells = columns.times([row for rows in series for row in rows])
    if columns.is_count and columns.series is not None and len({cell for _, cell in cells}) == len(cells):
        return None
    return read_times(cells, path, options.day_first)


def _split_times(times: Times | None, series: Sequence[Sequence[Row]]) -> Iterator[Times | None]:
    """The times of each series; their format has been decided for all of them together."""
    end = 0
    for rows in series:
        start, end = end, end + len(rows)
        yield times and times._replace(ticks=times.ticks[start:end], lines=times.lines[start:end])


def _split_at_blank_lines(rows: Sequence[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    for row in [*rows, (0, [])]:
        if row[1]:
            block.append(row)
        elif block:
            yield block
            block = []
