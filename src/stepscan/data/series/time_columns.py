"""Which columns of a table of numbers are not values: those that hold the time of a row, and those that count rows."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from stepscan.data.delimited import Row
from stepscan.data.series.cell_table import CellTable
from stepscan.data.series.time_formats import is_whole_number, looks_like_time, month_number
from stepscan.data.series.time_parser import Cells, epoch_unit
from stepscan.data.series.values import is_number
from stepscan.errors import DataError

_NAMES = {"date", "dates", "datetime", "timestamp", "timestamps", "datum", "zeit", "fecha", "jahr", "epoch"}
_TIME = {"time", "times", "ds", "ts", "unixtime", "utc"}
_WITH_TIME = {
    *("s", "sec", "secs", "second", "seconds", "ms", "us", "ns", "min", "h", "hours", "days", "utc", "gmt"),
    *("unix", "local", "epoch", "stamp", "index", "step", "posix", "system", "created", "at", "of", "day", "idx"),
}
_COUNTS = {"", "index", "idx", "id", "row", "rows", "rownames", "no", "nr", "obs", "step", "t", "n"}
_KEYS = {"index", "idx", "id", "row", "rownames"}  # in any order
_PERIODS = {"year", "years", "quarter", "month", "months", "week", "day", "days", "hour", "minute", "second", "period"}
_PARTS = ("year", "month", "day", "hour", "minute", "second")
NO_COLUMN = "none"


class TimeColumns(NamedTuple):
    """The indices (from 0) of the columns that are not values.

    Attributes:
        time: of the time; several are joined.
        counts: of columns that count rows.
        is_count: whether the time only counts the rows.
        series: of the column that names the series of a row.
        names: of the columns of the time.
        others: of further columns of times.
        repeats: whether a series has several rows.
    """

    time: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    is_count: bool = False
    series: int | None = None
    names: tuple[str, ...] = ()
    others: tuple[int, ...] = ()
    repeats: bool = False

    @property
    def excluded(self) -> set[int]:
        """The indices of all columns that are not values."""
        return {*self.time, *self.counts, *self.others, *(() if self.series is None else (self.series,))}

    def times(self, rows: Sequence[Row]) -> Cells:
        """The time of each row as text, with its line."""
        return [(line, _join(self.names, [cells[i] for i in self.time])) for line, cells in rows]


def find_time_columns(table: CellTable, selector: str | None, ignore: bool = False) -> TimeColumns:
    """Find the columns of the time and those that count rows.

    Args:
        table: the cells.
        selector: the column of the time: a name, or without a header a position from 1; "none": every column holds
            values; None: a column that has a time's name or content.
        ignore: whether the columns are to be left out unread, so that there may be any number of them.

    Raises:
        DataError: there is no such column, or several may be that of the time.
    """
    if selector is not None and selector.casefold() == NO_COLUMN:
        return TimeColumns(series=table.series)
    columns = [i for i in range(table.width) if i not in (table.label, table.series)]
    counts = tuple(i for i in columns if _counts_rows(table, i))
    rest = [i for i in columns if i not in counts]
    with_times = [i for i in rest if looks_like_time(_first_cell(table, i))]
    if selector is not None:
        time: tuple[int, ...] = (table.find(selector, "times"),)
    else:
        time = _find_time(table, rest, with_times, ignore)
    counts = tuple(i for i in counts if i not in time)
    if not time and counts:
        return TimeColumns(counts[:1], counts[1:], is_count=True, series=table.series)
    others = tuple(i for i in with_times if i not in time)
    return TimeColumns(time, counts, False, table.series, tuple(map(table.name, time)), others)


def _find_time(table: CellTable, columns: Sequence[int], with_times: list[int], ignore: bool) -> tuple[int, ...]:
    if len(with_times) == 2 and _is_date_and_clock(table, with_times):
        return tuple(sorted(with_times, key=lambda i: _is_clock(_first_cell(table, i))))
    if len(with_times) == 1 and (hours := _hours(table, columns, with_times[0])):
        return (with_times[0], *hours)
    parts = _parts(table, columns)
    numeric = [i for i in columns if i not in with_times and _is_numeric_time(table, i)]
    candidates = with_times or ([] if parts else numeric)
    if len(candidates) > 1 and not ignore:
        names = ", ".join(map(table.describe, candidates))
        reason = f"expected one column of times, got {len(candidates)}: {names}."
        raise DataError(reason, path=table.path, line=table.rows[0][0], hint="Choose one with --time-column.")
    return tuple(candidates) or parts or _find_period(table, columns, ignore)


def _first_cell(table: CellTable, column: int) -> str:
    return next((cells[column] for _, cells in table.rows if cells[column]), "")


def _is_clock(cell: str) -> bool:
    return re.match(r"\d{1,2}:\d\d", cell) is not None


def _is_date_and_clock(table: CellTable, columns: Sequence[int]) -> bool:
    return sorted(_is_clock(_first_cell(table, i)) for i in columns) == [False, True]


def _parts(table: CellTable, columns: Sequence[int]) -> tuple[int, ...]:
    """Columns `year`, `month` and so on, which form one time."""
    by_name = {table.name(i): i for i in columns if _is_part(table, i)}
    for names in (_PARTS, ("year", "quarter"), ("year", "week")):
        parts = tuple(by_name[name] for name in itertools.takewhile(by_name.__contains__, names))
        if len(parts) > 1:
            return parts
    return ()


def _is_part(table: CellTable, column: int) -> bool:
    cells = [cell for _, cell in table.column(column)]
    return all(map(is_whole_number, cells)) or (table.name(column) == "month" and all(map(month_number, cells)))


def _hours(table: CellTable, columns: Sequence[int], day: int) -> tuple[int, ...]:
    """Columns of the hour, and perhaps the minute, if the column of days repeats days."""
    days = [cell for _, cell in table.column(day)]
    by_name = {table.name(i).replace("hr", "hour"): i for i in columns if _is_part(table, i)}
    if ":" in days[0] or len(set(days)) == len(days) or "hour" not in by_name:
        return ()
    return tuple(by_name[name] for name in itertools.takewhile(by_name.__contains__, ("hour", "minute")))


def _join(names: Sequence[str], cells: Sequence[str]) -> str:
    """The time in cells of columns with these names, as one text."""
    if len(cells) == 1 or not {*names[1:]} & {*_PARTS, "hr", "week", "quarter"}:
        return " ".join(cells)
    numbers = [month_number(cell) or (int(float(cell)) if is_whole_number(cell) else 0) for cell in cells]
    if names[0] not in _PARTS:
        return f"{cells[0]} " + ":".join(f"{number:02}" for number in [*numbers[1:], 0][:2])
    if names[1] == "week":
        return f"{numbers[0]}-W{numbers[1]:02}"
    if names[1] == "quarter":
        return f"{numbers[0]}Q{numbers[1]}"
    year, month, day, *clock = [*(f"{number:02}" for number in numbers), *["01"][: 3 - len(numbers)]]
    return f"{year}-{month}-{day}" + (f" {':'.join([*clock, '00'][: max(2, len(clock))])}" if clock else "")


def _is_numeric_time(table: CellTable, column: int) -> bool:
    """Whether a column of numbers has a time's name, or can only be seconds (or parts of them) since 1970."""
    cells = table.column(column)
    words = set(re.findall(r"[^\W\d_]+", table.name(column)))
    if words & _NAMES or (words & _TIME and words <= _TIME | _WITH_TIME):
        return all(is_number(cell) for _, cell in cells)
    if not table.name(column):
        return epoch_unit(cells) is not None or (table.names is None and column == 0 and _are_digits_of_days(cells))
    return epoch_unit(cells) is not None and _is_steady([int(float(cell)) for _, cell in cells])


def _is_steady(numbers: Sequence[int]) -> bool:
    """Whether numbers only rise or only fall, mostly by the same amount, as a clock's do."""
    steps = Counter(b - a for a, b in itertools.pairwise(numbers))
    is_monotonic = len({step > 0 for step in steps}) == 1 and 0 not in steps
    return is_monotonic and 2 * steps.most_common(1)[0][1] >= steps.total()


def _are_digits_of_days(cells: Cells) -> bool:
    return all(re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", cell) for _, cell in cells)


def _find_period(table: CellTable, columns: Sequence[int], ignore: bool) -> tuple[int, ...]:
    """A column such as `year` whose numbers rise or fall; or an unnamed first column of years."""
    for i in columns:
        cells = [cell for _, cell in table.column(i)]
        if table.name(i) in _PERIODS and all(map(is_number, cells)):
            signs = {float(b) > float(a) for a, b in itertools.pairwise(cells)}
            if (len(signs) < 2 and len(set(cells)) == len(cells)) or (ignore and i == columns[0]):
                return (i,)
            if i == columns[0]:
                reason = f"expected rising or falling times in {table.describe(i)}, got neither."
                hint = "If it holds values, add --time-column none; if not, omit it with --ignore-time."
                raise DataError(reason, path=table.path, line=table.rows[0][0], hint=hint)
        if i == 0 and not table.name(i) and len(cells) > 2 and all(map(_is_year, cells)):
            years = sorted(map(int, cells))
            if len(set(cells)) == len(cells) and years[-1] - years[0] < 2 * len(cells):
                return (i,)
    return ()


def _is_year(cell: str) -> bool:
    return re.fullmatch(r"(1[5-9]|20|21)\d\d", cell) is not None


def _counts_rows(table: CellTable, column: int) -> bool:
    """Whether a column counts rows: unique whole numbers, without a name or with that of an index."""
    if table.name(column) not in _COUNTS or (table.names is None and column > 0) or table.width < 2:
        return False
    cells = [cell for _, cell in table.column(column)]
    if not all(map(is_whole_number, cells)) or epoch_unit(table.column(column)):
        return False
    numbers = [int(float(cell)) for cell in cells]
    steps = {b - a for a, b in itertools.pairwise(numbers)}
    if table.names is None:
        return len(numbers) > 2 and steps == {1} and numbers[0] in (0, 1)
    if not table.name(column):
        return column == 0 or steps == {1}
    is_key = table.name(column) in _KEYS and len(set(numbers)) == len(numbers)
    return len(numbers) > 1 and (steps in ({1}, {-1}) or is_key or all(step > 0 for step in steps))
