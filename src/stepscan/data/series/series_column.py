"""The column of a long table that names the series of each row, and the rows of each series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stepscan.data.delimited import Row
from stepscan.data.series.cell_table import CellTable
from stepscan.data.series.time_columns import NO_COLUMN
from stepscan.data.series.time_formats import is_whole_number
from stepscan.data.series.values import is_number
from stepscan.errors import DataError

_NAMES = {"unique_id", "item_id", "series_id", "ts_id", "subject", "subject_id", "case_id", "id"}


def find_series_column(table: CellTable, selector: str | None) -> int | None:
    """The index (from 0) of the column that names the series of a row; None if there is none.

    Args:
        table: the cells.
        selector: a name, or without a header a position from 1; "none": there is none; None: a column that has an
            identifier's name and content.

    Raises:
        DataError: there is no such column.
    """
    if selector is not None:
        return None if selector.casefold() == NO_COLUMN else table.find(selector, "names of series")
    return next((i for i in range(table.width) if i != table.label and _names_series(table, i)), None)


def _names_series(table: CellTable, column: int) -> bool:
    """Whether a column has an identifier's name, and holds words, or whole numbers of which some occur twice."""
    if table.name(column) not in _NAMES:
        return False
    cells = [cell for _, cell in table.column(column) if cell]
    words = not any(map(is_number, cells))
    return bool(cells) and (words or (all(map(is_whole_number, cells)) and len(set(cells)) < len(cells)))


def group_rows(rows: Sequence[Row], column: int, path: str | Path) -> dict[str, list[Row]]:
    """The rows of each series by its name, in the order in which the series begin.

    Raises:
        DataError: a row has no name.
    """
    groups: dict[str, list[Row]] = {}
    for line, cells in rows:
        if not cells[column]:
            raise DataError("expected the name of a series, got an empty cell.", path=path, line=line)
        groups.setdefault(cells[column], []).append((line, cells))
    return groups


def check_series_names(
    table: CellTable, column: int, groups: Mapping[str, Sequence[Row]], *, rows_are_steps: bool, chosen: bool
) -> None:
    """Check that the names of series fit what a row is.

    Args:
        table: the cells.
        column: the index of the column of names.
        groups: the rows of each name.
        rows_are_steps: whether each row is a step of a series, rather than a series.
        chosen: whether the user chose the column.

    Raises:
        DataError: each row is a step, but all have different names; or each row is a series, but some have the same
            name, in a column that the user did not choose.
    """
    if rows_are_steps and len(groups) == len(table.rows) > 1:
        reason = "expected several rows per series, got a different name in each row."
        hint = "If each row is a series, transpose the table; if not, add --series-column none."
        raise DataError(reason, path=table.path, line=table.rows[1][0], hint=hint)
    repeated = next((rows[1][0] for rows in groups.values() if len(rows) > 1), None)
    if not rows_are_steps and not chosen and repeated is not None:
        name = table.name(column)
        reason = f"expected one row per series, got a name twice in {table.describe(column)}."
        hint = f"If each row is a step of its series, add --series-column {name}; if a series, remove the column."
        raise DataError(reason, path=table.path, line=repeated, hint=hint)
