"""Which column of a long table names the series that a row belongs to, and the rows of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stepscan.data.numbers import is_number
from stepscan.data.time_columns import NONE, Row, Table
from stepscan.data.time_formats import is_whole
from stepscan.errors import DataError

_NAMES = {"unique_id", "item_id", "series_id", "ts_id", "subject", "subject_id", "case_id", "id"}


def find_series(table: Table, wanted: str | None) -> int | None:
    """The column that names the series of a row; None if there is none.

    Args:
        table: a file.
        wanted: a name, or a place from 1 without a header; "none"; None: as it looks.
    """
    if wanted is not None:
        return None if wanted.casefold() == NONE else table.place(wanted, "names of series")
    return next((i for i in range(table.width) if i != table.label and _names_series(table, i)), None)


def _names_series(table: Table, column: int) -> bool:
    """Whether a column is named as an identifier, and holds words, or whole numbers of which one is there twice."""
    if table.name(column) not in _NAMES:
        return False
    cells = [cell for _, cell in table.column(column) if cell]
    words = not any(map(is_number, cells))
    return bool(cells) and (words or (all(map(is_whole, cells)) and len(set(cells)) < len(cells)))


def grouped(rows: Sequence[Row], column: int, path: str | Path) -> dict[str, list[Row]]:
    """The rows of each series, under its name, in the order in which they begin."""
    groups: dict[str, list[Row]] = {}
    for line, cells in rows:
        if not cells[column]:
            raise DataError("the name of the series is missing.", path=path, line=line)
        groups.setdefault(cells[column], []).append((line, cells))
    return groups
