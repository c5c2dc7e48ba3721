"""CSV of numbers, in three layouts: one series a row and its label; one time step a row and its tag, with a blank line
between series; one time step a row and no label, to forecast from.

Commas separate cells, or semicolons, tabs, vertical bars or blanks; see `stepscan.data.number_cells`.

A header is recognised by cells that are no numbers where numbers are to be. The label's column is the one named, or the
header's `label`, `class` or `target`, or else the last. To forecast from, a first column of dates (`1949-01`, or
under a name such as `date`) is the time and not a dimension.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stepscan.data.lines import read_lines
from stepscan.data.number_cells import number_rows
from stepscan.data.numbers import Values, canonical_label, is_number, values_of
from stepscan.data.tables import filled_lines
from stepscan.errors import DataError, nearest

_LABELS = ("label", "class", "target")
_TIMES = ("date", "time", "timestamp", "datetime", "month", "ds")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}([-/]\d{1,2})?([T ]\d.*)?")
Row = tuple[int, list[str]]


class _Layout(NamedTuple):
    """Which column of a row is the label's, and whether the first row is a header."""

    label: int | None  # from 0; -1 is the last
    header: list[str] | None

    def parted(self, cells: Sequence[str], path: str | Path, line: int) -> tuple[list[str], str | None]:
        """The numbers' cells and the label of a row."""
        if self.header and len(cells) != len(self.header):
            reason = f"expected {len(self.header)} fields, as in the header, but got {len(cells)}."
            raise DataError(reason, path=path, line=line)
        if self.label is None:
            return list(cells), None
        if self.label >= len(cells):
            reason = f"the label is to be in column {self.label + 1}, but the columns go from 1 to {len(cells)}."
            raise DataError(reason, path=path, line=line)
        numbers = list(cells)
        label = canonical_label(numbers.pop(self.label))
        if not label or not numbers:
            reason = "the label is empty." if numbers else "expected numbers and a label, but there is one cell alone."
            raise DataError(reason, path=path, line=line)
        return numbers, label


def labelled_rows(
    path: str | Path, label_column: str | int | None, labelled: bool
) -> Iterator[tuple[Values, str | None]]:
    """One series of one dimension a row, `[T, 1]`, and its label; without a header, T may differ from row to row."""
    rows = number_rows(filled_lines(path), path)
    layout = _layout(rows[0], path, label_column, labelled)
    for line, cells in _data(rows, layout, path):
        numbers, label = layout.parted(cells, path, line)
        yield values_of(numbers, path, line)[:, None], label


def tagged_steps(
    path: str | Path, label_column: str | int | None, labelled: bool
) -> Iterator[tuple[Values, list[str]]]:
    """Series `[T, D]` and their T tags (none where there is no such column): one step a row, a blank line between."""
    rows = number_rows(read_lines(path), path)
    rows = rows[next(i for i, (_, cells) in enumerate(rows) if cells) :]
    layout = _layout(rows[0], path, label_column, labelled)
    steps: list[tuple[Values, str | None]] = []
    width = len(rows[0][1])
    for line, cells in [*_data(rows, layout, path), (len(rows) + 1, [])]:
        if cells:
            _check_width(cells, width, rows[0][0], path, line)
            numbers, tag = layout.parted(cells, path, line)
            steps.append((values_of(numbers, path, line), tag))
        elif steps:
            yield np.stack([values for values, _ in steps]), [tag for _, tag in steps if tag is not None]
            steps = []


def steps(path: str | Path) -> Values:
    """One series `[T, D]`, one time step a row."""
    rows = number_rows(filled_lines(path), path)
    line, first = rows[0]
    start = 1 if _DATE.fullmatch(first[0]) else 0
    header = first if not all(map(_fits, first[start:])) else None
    data = _data(rows, _Layout(None, header), path)
    named = header is not None and header[0].casefold() in _TIMES
    start = 1 if named or _DATE.fullmatch(data[0][1][0]) else 0
    if start >= len(first):
        raise DataError("expected a column of numbers beside that of dates.", path=path, line=line)
    for number, cells in data:
        _check_width(cells, len(first), line, path, number)
    return np.stack([values_of(cells[start:], path, number) for number, cells in data])


def _data(rows: list[Row], layout: _Layout, path: str | Path) -> list[Row]:
    data = rows[1:] if layout.header else rows
    if not any(cells for _, cells in data):
        raise DataError("the file has a header but no rows.", path=path, line=rows[0][0])
    return data


def _layout(first: Row, path: str | Path, label_column: str | int | None, labelled: bool) -> _Layout:
    line, cells = first
    wanted = None if label_column is None else str(label_column)
    if wanted and wanted.isascii() and wanted.isdigit() and int(wanted) > 0:
        place = int(wanted) - 1
        numbers = [cell for i, cell in enumerate(cells) if i != place]
        return _Layout(place, None if all(map(_fits, numbers)) else cells)
    folded = [cell.casefold() for cell in cells]
    if wanted is not None:
        if wanted.casefold() not in folded:
            hint = nearest(wanted, cells).strip()
            raise DataError(f"the first line has no column {wanted!r}.", path=path, line=line, hint=hint)
        return _Layout(folded.index(wanted.casefold()), cells)
    named = [folded.index(name) for name in _LABELS if name in folded]
    if not named and all(map(_fits, cells[:-1])):
        return _Layout(-1 if labelled or not _fits(cells[-1]) else None, None)
    return _Layout(named[0] if named else -1 if labelled else None, cells)


def _fits(text: str) -> bool:
    """Whether a cell can stand in a row of numbers; `?` and an empty cell can, and are an error of their own there."""
    return is_number(text) or text in ("", "?")


def _check_width(cells: Sequence[str], width: int, first: int, path: str | Path, line: int) -> None:
    if len(cells) != width:
        raise DataError(f"expected {width} fields, as in line {first}, but got {len(cells)}.", path=path, line=line)
