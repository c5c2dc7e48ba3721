"""A table of numbers before its numbers are parsed: rows of cells, and a header."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stepscan.data.delimited import Row
from stepscan.data.series.time_parser import Cells
from stepscan.errors import DataError, nearest


class CellTable(NamedTuple):
    """The cells of a table, and which columns have a known role.

    Attributes:
        path: the file, for errors.
        names: the header, if there is one.
        rows: the rows of data, each with its line.
        label: the index (from 0) of the column of labels, if known.
        series: the index of the column that names the series of a row, if known.
    """

    path: str | Path
    names: list[str] | None
    rows: Sequence[Row]
    label: int | None
    series: int | None = None

    @property
    def width(self) -> int:
        """The number of columns that every row has."""
        return min(len(cells) for _, cells in self.rows)

    def name(self, column: int) -> str:
        """The name of a column in lower case; empty if it has none."""
        return re.sub(r"unnamed: \d+", "", self.names[column].casefold()) if self.names else ""

    def column(self, index: int) -> Cells:
        """The cells of a column, each with its line."""
        return [(line, cells[index]) for line, cells in self.rows]

    def describe(self, column: int) -> str:
        """A column for messages: its name, or else its position."""
        name = self.names[column] if self.names else ""
        return f"column {name!r}" if name else f"column {column + 1} (unnamed)"

    def find(self, selector: str, content: str) -> int:
        """The index (from 0) of a column that the user chose.

        Args:
            selector: its name, or without a header its position from 1.
            content: what it holds, in the plural, for errors.

        Raises:
            DataError: there is no such column.
        """
        if self.names is None or (selector.isdigit() and selector not in self.names):
            if selector.isascii() and selector.isdigit() and 1 <= int(selector) <= self.width:
                return int(selector) - 1
            reason = f"expected the column of {content} as a position from 1 to {self.width}, got {selector!r}."
            raise DataError(reason, path=self.path, line=self.rows[0][0])
        folded = [name.casefold() for name in self.names]
        if selector.casefold() not in folded:
            raise no_column(selector, self.names, self.path, 1)
        return self.names.index(selector) if selector in self.names else folded.index(selector.casefold())


def no_column(selector: str, names: Sequence[str], path: str | Path, line: int) -> DataError:
    """The error if a header has no column of the name that the user chose."""
    hint = nearest(selector, [name for name in names if name]).strip()
    return DataError(f"expected a column {selector!r} in the header, got none.", path=path, line=line, hint=hint)
