"""CSV of numbers, in three layouts: one series a row and its label; one time step a row and its tag, with a blank line
between series; one time step a row and no label, to forecast from.

Commas separate cells, or semicolons, tabs, vertical bars or blanks; see `stepscan.data.series.number_cells`.

A header is recognised by cells that are no numbers where numbers are to be. The label's column is the one named, or the
header's `label`, `class` or `target`, or else the last. A column of times is no dimension: it says in which order the
steps come, and that none is missing; see `stepscan.data.series.time_columns` and `stepscan.data.series.time_step`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stepscan.data.lines import read_lines
from stepscan.data.series.number_cells import number_rows
from stepscan.data.series.regular_series import History, filled, regular
from stepscan.data.series.series_column import check_names, find_series, grouped
from stepscan.data.series.time_columns import Row, Table, TimeColumns, find_times
from stepscan.data.series.time_formats import looks_like_a_time, read_times
from stepscan.data.series.time_step import TimeOptions, checked, common_step
from stepscan.data.series.times import Times
from stepscan.data.series.values import (
    Values,
    canonical_label,
    is_missing,
    is_number,
    values_of,
    values_with_gaps,
    warn_of_odd,
)
from stepscan.data.tables import filled_lines
from stepscan.errors import DataError, SettingsError, nearest

logger = logging.getLogger(__name__)
_LABELS = ("label", "class", "target")
AS_IT_IS = TimeOptions()


class _Label(NamedTuple):
    """What is known of a file before it is read: of the label's column, and whether all rows are of one width."""

    column: str | int | None
    possible: bool
    needed: bool
    even: bool = True


_NONE = _Label(None, possible=False, needed=False)


class _Layout(NamedTuple):
    """Which columns of a row are not values: the label's, the time's, those that count rows."""

    label: int | None  # from 0; -1 is the last
    columns: TimeColumns

    def parted(self, cells: Sequence[str], path: str | Path, line: int) -> tuple[list[str], str | None]:
        """The numbers' cells and the label of a row."""
        left_out = self.columns.left_out
        if self.label is None:
            return [cell for i, cell in enumerate(cells) if i not in left_out], None
        if self.label >= len(cells):
            reason = f"the label is to be in column {self.label + 1}, but the columns go from 1 to {len(cells)}."
            raise DataError(reason, path=path, line=line)
        place = self.label % len(cells)
        label = canonical_label(cells[place])
        numbers = [cell for i, cell in enumerate(cells) if i != place and i not in left_out]
        if not label or not numbers:
            reason = "the label is empty." if numbers else "expected numbers and a label, but there is one cell alone."
            raise DataError(reason, path=path, line=line)
        return numbers, label


def labelled_rows(
    path: str | Path, label_column: str | int | None, labelled: bool, times: TimeOptions = AS_IT_IS
) -> Iterator[tuple[Values, str | None]]:
    """One series of one dimension a row, `[T, 1]`, and its label; without a header, T may differ from row to row.

    A time, a name or a number that a row has beside its values is left out. Where a column that was asked for names the
    series of several rows, each row is a step, `[T, D]`."""
    rows = number_rows(filled_lines(path), path)
    layout, data = _layout(rows, path, _Label(label_column, True, labelled, even=False), times)
    if layout.columns.series is not None and layout.columns.repeats:
        yield from _panel(layout, data, path, times)
        return
    if times.sort or times.fill:
        raise SettingsError(f"--sort and --fill are for one step a row, but each row of {path} is a series")
    for line, cells in data:
        numbers, label = layout.parted(cells, path, line)
        yield _read(numbers, path, line)[:, None], label


def _panel(
    layout: _Layout, data: Sequence[Row], path: str | Path, times: TimeOptions
) -> Iterator[tuple[Values, str | None]]:
    """The series of a long table, and the one label that all rows of each have."""
    for name, rows in _series(layout.columns, data, path).items():
        labels = [(line, layout.parted(cells, path, line)[1]) for line, cells in rows]
        for line, label in labels:
            if label != labels[0][1]:
                reason = (
                    f"expected the label {labels[0][1]!r}, as in line {labels[0][0]}, for series {name!r}, but got "
                )
                raise DataError(f"{reason}{label!r}.", path=path, line=line)
    for values, tags in _tagged(layout, data, path, times):
        yield values, tags[0] if tags else None


def tagged_steps(
    path: str | Path, label_column: str | int | None, labelled: bool, times: TimeOptions = AS_IT_IS
) -> Iterator[tuple[Values, list[str]]]:
    """Series `[T, D]` and their T tags (none where there is no such column): one step a row, a blank line between, or a
    column that names the series of a row."""
    rows = number_rows(read_lines(path), path)
    rows = rows[next(i for i, (_, cells) in enumerate(rows) if cells) :]
    layout, data = _layout(rows, path, _Label(label_column, True, labelled), times)
    yield from _tagged(layout, data, path, times)


def _tagged(
    layout: _Layout, data: Sequence[Row], path: str | Path, times: TimeOptions
) -> Iterator[tuple[Values, list[str]]]:
    if times.fill:
        raise SettingsError("--fill is for series without tags; part the series by a blank line where rows are missing")
    series = list(_series(layout.columns, data, path).values())
    moments = list(_cut(_times(layout.columns, series, path, times), series))
    step = common_step([one for one in moments if one], path, times)
    for steps, of_steps in zip(series, moments, strict=True):
        parted = [(line, *layout.parted(cells, path, line)) for line, cells in steps]
        values = np.stack([_read(numbers, path, line) for line, numbers, _ in parted])
        warn_of_odd(values, path)
        order = regular(of_steps, step, path, times).order if of_steps else range(len(steps))
        tags = [parted[i][2] for i in order]
        yield values[order], [tag for tag in tags if tag is not None]


def histories(path: str | Path, times: TimeOptions = AS_IT_IS) -> list[History]:
    """Series `[T, D]`, one time step a row: one, or those that a column names."""
    rows = number_rows(filled_lines(path), path)
    line, first = rows[0]
    layout, data = _layout(rows, path, _NONE, times)
    if len(layout.columns.left_out) >= len(first):
        lone = len(first) == 1 and is_number(data[0][1][0])
        hint = "If it holds values, say --time-column none." if lone else ""
        reason = "expected a column of numbers beside those of times and names."
        raise DataError(reason, path=path, line=line, hint=hint)
    series = _series(layout.columns, data, path)
    cut = list(_cut(_times(layout.columns, list(series.values()), path, times), list(series.values())))
    known = [one for one in cut if one]
    if times.sort and not known:
        raise SettingsError(f"--sort: {path} has no column of times to sort by; name it with --time-column")
    step = common_step(known, path, times if not layout.columns.counting else times._replace(step=""))
    found = []
    for (name, steps), moments in zip(series.items(), cut, strict=True):
        values = _values(layout, steps, path, times)
        if moments:
            values = filled(regular(moments, step, path, times).of(values), times.fill, path)
            found.append(History(values, None if layout.columns.counting else moments, step, name))
        else:
            found.append(History(filled(values, times.fill, path), name=name))
    return found


def _values(layout: _Layout, rows: Sequence[Row], path: str | Path, times: TimeOptions) -> Values:
    read = values_with_gaps if times.fill else values_of
    values = np.stack([_read(layout.parted(cells, path, line)[0], path, line, read) for line, cells in rows])
    warn_of_odd(values, path)
    return values


def _read(cells: Sequence[str], path: str | Path, line: int, read: Callable[..., Values] = values_of) -> Values:
    """The cells as numbers; what is a word might be the name of a series."""
    try:
        return read(cells, path, line)
    except DataError as error:
        if error.hint or not cells[0][:1].isalpha() or is_number(cells[0]):
            raise
        hint = "If its column names the series of a row, say so with --series-column; if not, remove the column."
        raise DataError(error.reason, path=path, line=line, hint=hint) from None


def _series(columns: TimeColumns, rows: Sequence[Row], path: str | Path) -> dict[str, list[Row]]:
    """The rows of each series, under its name; those without names are parted by blank lines."""
    if columns.series is not None:
        return grouped([row for row in rows if row[1]], columns.series, path)
    parts = list(_parted_by_blanks(rows))
    return {str(number) if len(parts) > 1 else "": part for number, part in enumerate(parts, start=1)}


def _times(columns: TimeColumns, series: Sequence[Sequence[Row]], path: str | Path, times: TimeOptions) -> Times | None:
    """The times of all series, one after the other; none where they count the rows of the whole file."""
    if not columns.time or times.ignore:
        return None
    cells = columns.times([row for steps in series for row in steps])
    if columns.counting and columns.series is not None and len({cell for _, cell in cells}) == len(cells):
        return None
    return read_times(cells, path, times.day_first)


def _cut(times: Times | None, series: Sequence[Sequence[Row]]) -> Iterator[Times | None]:
    """The times of each series; how they are written is decided for all of them together."""
    end = 0
    for steps in series:
        start, end = end, end + len(steps)
        yield times and times._replace(places=times.places[start:end], lines=times.lines[start:end])


def _parted_by_blanks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    steps: list[Row] = []
    for row in [*rows, (0, [])]:
        if row[1]:
            steps.append(row)
        elif steps:
            yield steps
            steps = []


def _layout(rows: Sequence[Row], path: str | Path, label: _Label, times: TimeOptions) -> tuple[_Layout, Sequence[Row]]:
    """What the columns hold, and the rows of data."""
    checked(times)
    line, first = rows[0]
    place = _asked_for(first, label.column, path, line) if label.possible else None
    named = place is not None and not str(label.column).isdigit()
    series = int(times.series) - 1 if times.series and times.series.isdigit() else None
    header = first if named or _is_header(rows, (place, series), label.possible) else None
    data = rows[1:] if header else rows
    if header and label.even:
        _check_not_across(header, path, line)
    if not any(cells for _, cells in data):
        raise DataError("the file has a header but no rows.", path=path, line=line)
    for number, cells in data:
        if cells and (header or label.even):
            _check_width(cells, first, "the header" if header else f"line {line}", path, number)
    table = Table(path, header, [row for row in data if row[1]], place)
    columns = _columns(table, times, steps=label.even)
    _tell(table, columns, times)
    if place is None and label.possible:
        last = max((i for i in range(len(first)) if i not in columns.left_out), default=-1)
        if label.needed or not _fits(next(cells for _, cells in data if cells)[last]):
            place = -1 if last == len(first) - 1 else last
    return _Layout(place, columns), data


def _columns(table: Table, times: TimeOptions, steps: bool) -> TimeColumns:
    """Those that are not values; of several series the longest shows which. `steps`: whether each row is a step."""
    series = find_series(table, times.series)
    if series is None:
        return find_times(table, times.column, times.ignore)
    groups = grouped(table.rows, series, table.path)
    repeats = len(groups) < len(table.rows)
    check_names(table, series, groups, steps, asked=times.series is not None)
    if steps or repeats:
        logger.info(f"{table.path}: {table.quoted(series)} names the series of a row: {len(groups)} series")
    else:
        logger.info(f"{table.path}: {table.quoted(series)} names the rows and is left out")
    rows = max(groups.values(), key=len) if repeats else table.rows
    columns = find_times(table._replace(rows=rows, series=series), times.column, times.ignore)
    return columns._replace(repeats=repeats)


def _asked_for(first: list[str], column: str | int | None, path: str | Path, line: int) -> int | None:
    """The label's place where the user or the header names it."""
    folded = [cell.casefold() for cell in first]
    if column is None:
        return next((folded.index(name) for name in _LABELS if name in folded), None)
    wanted = str(column)
    if wanted.isascii() and wanted.isdigit() and int(wanted) > 0:
        return int(wanted) - 1
    if wanted.casefold() not in folded:
        hint = nearest(wanted, first).strip()
        raise DataError(f"the first line has no column {wanted!r}.", path=path, line=line, hint=hint)
    return folded.index(wanted.casefold())


def _is_header(rows: Sequence[Row], words: tuple[int | None, int | None], label_possible: bool) -> bool:
    """Whether the first row has a word, or a time, where the next has a number; the columns of the label and of names,
    `words`, may have either."""
    first = rows[0][1]
    following = next((cells for _, cells in rows[1:] if cells), first)
    numbers = [i for i, cell in enumerate(first) if i not in words and not looks_like_a_time(cell)]
    if words[0] is None and label_possible:
        numbers = numbers[:-1]
    above = [i for i in range(min(len(first), len(following))) if looks_like_a_time(first[i])]
    return (
        not all(_fits(first[i]) for i in numbers)
        or any(is_number(following[i]) for i in above)
        or (not first[0] and following[0] != "")
    )


def _tell(table: Table, columns: TimeColumns, times: TimeOptions) -> None:
    """Log which columns are no values."""
    what = "is left out unread" if times.ignore else "is the time of the rows, not a value"
    guessed = times.column is None and all(is_number(table.rows[0][1][i]) for i in columns.time)
    keep = "; if it holds values: --time-column none" if guessed else ""
    if columns.time and not columns.counting:
        logger.info(f"{table.path}: {' with '.join(map(table.quoted, columns.time))} {what}{keep}")
    for place in (*(columns.time if columns.counting else ()), *columns.counts):
        logger.info(f"{table.path}: {table.quoted(place)} counts the rows and is left out{keep}")
    for place in columns.others:
        logger.info(f"{table.path}: {table.quoted(place)} holds times, too, and is left out")


def _check_not_across(header: Sequence[str], path: str | Path, line: int) -> None:
    """Raise a DataError if the header has the times that are to stand in a column."""
    if len(across := [name for name in header if looks_like_a_time(name)]) > 1:
        reason = f"expected a time step a row, but the header has times: {', '.join(across[:3])}."
        raise DataError(reason, path=path, line=line, hint="Transpose the table.")


def _fits(text: str) -> bool:
    """Whether a cell can stand in a row of numbers; a missing one can, and is an error of its own there."""
    return is_number(text) or is_missing(text)


def _check_width(cells: Sequence[str], first: Sequence[str], where: str, path: str | Path, line: int) -> None:
    if len(cells) != len(first):
        reason = f"expected {len(first)} fields, as in {where}, but got {len(cells)}."
        raise DataError(reason, path=path, line=line)
