"""Which columns of a table of numbers hold values, labels, times and names of series."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stepscan.data.delimited import Row
from stepscan.data.series.cell_table import CellTable, no_column
from stepscan.data.series.series_column import check_series_names, find_series_column, group_rows
from stepscan.data.series.time_columns import TimeColumns, find_time_columns
from stepscan.data.series.time_formats import looks_like_time
from stepscan.data.series.time_options import TimeOptions, check_time_options
from stepscan.data.series.values import canonical_label, is_missing, is_number
from stepscan.errors import DataError

logger = logging.getLogger(__name__)
_LABEL_NAMES = ("label", "class", "target")


class LabelColumn(NamedTuple):
    """What a reader knows about the column of labels.

    Attributes:
        selector: the user's choice: a name, or a position from 1.
        possible: whether there may be labels.
        required: whether there must be labels.
        rows_are_steps: whether each row is a step, so that all rows have the same width, rather than a series.
    """

    selector: str | int | None
    possible: bool
    required: bool
    rows_are_steps: bool = True


NO_LABELS = LabelColumn(None, possible=False, required=False)


class TableLayout(NamedTuple):
    """The columns that are not values: the index of the labels (from 0; -1 is the last), and those of times."""

    label: int | None
    columns: TimeColumns

    def split(self, cells: Sequence[str], path: str | Path, line: int) -> tuple[list[str], str | None]:
        """The cells of values, and the label of a row.

        Raises:
            DataError: the label is missing, or there are no values.
        """
        excluded = self.columns.excluded
        if self.label is None:
            return [cell for i, cell in enumerate(cells) if i not in excluded], None
        if self.label >= len(cells):
            reason = f"expected the label in a column from 1 to {len(cells)}, got column {self.label + 1}."
            raise DataError(reason, path=path, line=line)
        index = self.label % len(cells)
        label = canonical_label(cells[index])
        numbers = [cell for i, cell in enumerate(cells) if i != index and i not in excluded]
        if not numbers:
            raise DataError("expected numbers and a label, got a single cell.", path=path, line=line)
        if not label:
            raise DataError("expected a label, got an empty string.", path=path, line=line)
        return numbers, label


def find_layout(
    rows: Sequence[Row], path: str | Path, label: LabelColumn, options: TimeOptions
) -> tuple[TableLayout, Sequence[Row]]:
    """Find the layout of a table, and its rows without the header.

    Args:
        rows: the cells of all rows; blank rows have none.
        path: the file, for messages.
        label: about the column of labels.
        options: about times and names of series.

    Raises:
        SettingsError: options that exclude each other.
        DataError: a column that was chosen is not there, rows of different widths, or no rows.
    """
    check_time_options(options)
    line, first = rows[0]
    index = _find_label(first, label.selector, path, line) if label.possible else None
    is_named = index is not None and not str(label.selector).isdigit()
    series = int(options.series) - 1 if options.series and options.series.isdigit() else None
    header = first if is_named or _has_header(rows, (index, series), label.possible) else None
    data = rows[1:] if header else rows
    _check_rows(data, first, header, label, path, line)
    table = CellTable(path, header, [row for row in data if row[1]], index)
    columns = _find_columns(table, options, label.rows_are_steps)
    _log_columns(table, columns, options)
    if index is None and label.possible:
        last = max((i for i in range(len(first)) if i not in columns.excluded), default=-1)
        if label.required or not _may_be_number(next(cells for _, cells in data if cells)[last]):
            index = -1 if last == len(first) - 1 else last
    return TableLayout(index, columns), data


def _check_rows(
    data: Sequence[Row], first: list[str], header: list[str] | None, label: LabelColumn, path: str | Path, line: int
) -> None:
    """Raise if the header holds times, there are no rows below it, or their widths differ."""
    if header and label.rows_are_steps:
        times = [name for name in header if looks_like_time(name)]
        if len(times) > 1:
            reason = f"expected one time step per row, got times in the header: {', '.join(times[:3])}."
            raise DataError(reason, path=path, line=line, hint="Transpose the table.")
    if not any(cells for _, cells in data):
        raise DataError("expected rows below the header, got none.", path=path, line=line)
    for number, cells in data:
        if cells and (header or label.rows_are_steps) and len(cells) != len(first):
            reference = "the header" if header else f"line {line}"
            reason = f"expected {len(first)} fields, as in {reference}, got {len(cells)}."
            raise DataError(reason, path=path, line=number)


def _find_columns(table: CellTable, options: TimeOptions, rows_are_steps: bool) -> TimeColumns:
    """The columns that are not values; if there are several series, decided from the longest."""
    series = find_series_column(table, options.series)
    if series is None:
        return find_time_columns(table, options.column, options.ignore)
    groups = group_rows(table.rows, series, table.path)
    repeats = len(groups) < len(table.rows)
    chosen = options.series is not None
    check_series_names(table, series, groups, rows_are_steps=rows_are_steps, chosen=chosen)
    if rows_are_steps or repeats:
        logger.info(f"{table.path}: {table.describe(series)} names the series of a row: {len(groups)} series")
    else:
        logger.info(f"{table.path}: {table.describe(series)} names the rows and is left out")
    rows = max(groups.values(), key=len) if repeats else table.rows
    columns = find_time_columns(table._replace(rows=rows, series=series), options.column, options.ignore)
    return columns._replace(repeats=repeats)


def _find_label(first: list[str], selector: str | int | None, path: str | Path, line: int) -> int | None:
    """The index (from 0) of the label's column, if the user or the header names it."""
    folded = [cell.casefold() for cell in first]
    if selector is None:
        return next((folded.index(name) for name in _LABEL_NAMES if name in folded), None)
    name = str(selector)
    if name.isascii() and name.isdigit() and int(name) > 0:
        return int(name) - 1
    if name.casefold() not in folded:
        raise no_column(name, first, path, line)
    return folded.index(name.casefold())


def _has_header(rows: Sequence[Row], word_columns: tuple[int | None, int | None], label_possible: bool) -> bool:
    """Whether the first row has a word, or a time, where the next row has a number.

    Args:
        rows: all rows.
        word_columns: the columns of labels and of names of series, which may have words in every row.
        label_possible: whether the last column may hold labels.
    """
    first = rows[0][1]
    second = next((cells for _, cells in rows[1:] if cells), first)
    numeric = [i for i, cell in enumerate(first) if i not in word_columns and not looks_like_time(cell)]
    if word_columns[0] is None and label_possible:
        numeric = numeric[:-1]
    times = [i for i in range(min(len(first), len(second))) if looks_like_time(first[i])]
    return (
        not all(_may_be_number(first[i]) for i in numeric)
        or any(is_number(second[i]) for i in times)
        or (not first[0] and second[0] != "")
    )


def _log_columns(table: CellTable, columns: TimeColumns, options: TimeOptions) -> None:
    """Log which columns are not read as values."""
    use = "is left out unread" if options.ignore else "is the time of the rows, not a value"
    is_guess = options.column is None and all(is_number(table.rows[0][1][i]) for i in columns.time)
    remedy = "; if it holds values: --time-column none" if is_guess else ""
    if columns.time and not columns.is_count:
        logger.info(f"{table.path}: {' with '.join(map(table.describe, columns.time))} {use}{remedy}")
    for index in (*(columns.time if columns.is_count else ()), *columns.counts):
        logger.info(f"{table.path}: {table.describe(index)} counts the rows and is left out{remedy}")
    for index in columns.others:
        logger.info(f"{table.path}: {table.describe(index)} also holds times, and is left out")


def _may_be_number(text: str) -> bool:
    """Whether a cell may be in a row of numbers: a number, or a missing value, which is an error of its own."""
    return is_number(text) or is_missing(text)
