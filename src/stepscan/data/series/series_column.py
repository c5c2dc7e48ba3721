"""Which column of a long table names the series that a row belongs to, and the rows of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stepscan.data.series.time_columns import NONE, Row, Table
from stepscan.data.series.time_formats import is_whole
from stepscan.data.series.values import is_number
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


def check_names(table: Table, column: int, groups: Mapping[str, Sequence[Row]], steps: bool, asked: bool) -> None:
    """Raise a DataError where the names do not go with the rows: of steps each has another, or of series, in a column
    that nobody asked for (`asked`), several have one."""
    if steps and len(groups) == len(table.rows) > 1:
        reason = "expected several steps of each series, but each row has a name of its own."
        hint = "If each row is a series, transpose the table; if not, say --series-column none."
        raise DataError(reason, path=table.path, line=table.rows[1][0], hint=hint)
    again = next((rows[1][0] for rows in groups.values() if len(rows) > 1), None)
    if not steps and not asked and again is not None:
        name = table.name(column)
        reason = f"expected a series a row, but {table.quoted(column)} has a name again."
        hint = f"If each row is a step of its series, say --series-column {name}; if it is a series, remove the column."
        raise DataError(reason, path=table.path, line=again, hint=hint)
