"""Which columns of a table of numbers are no values: those that hold the time of a row, and those that count rows."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stepscan.data.series.time_formats import Cells, epoch_of, is_whole, looks_like_a_time, month_named
from stepscan.data.series.values import is_number
from stepscan.errors import DataError, nearest

_NAMES = {"date", "dates", "datetime", "timestamp", "timestamps", "datum", "zeit", "fecha", "jahr", "epoch"}
_TIME = {"time", "times", "ds", "ts", "unixtime", "utc"}
_BESIDE_TIME = {"s", "sec", "secs", "second", "seconds", "ms", "us", "ns", "min", "h", "hours", "days", "utc", "gmt"}
_BESIDE_TIME |= {
    "unix",
    "local",
    "epoch",
    "stamp",
    "index",
    "step",
    "posix",
    "system",
    "created",
    "at",
    "of",
    "day",
    "idx",
}
_COUNTS = {"", "index", "idx", "id", "row", "rows", "rownames", "no", "nr", "obs", "step", "t", "n"}
_KEYS = {"index", "idx", "id", "row", "rownames"}  # in any order
_PERIODS = {"year", "years", "quarter", "month", "months", "week", "day", "days", "hour", "minute", "second", "period"}
_PARTS = ("year", "month", "day", "hour", "minute", "second")
NONE = "none"
Row = tuple[int, list[str]]


class TimeColumns(NamedTuple):
    """Places of columns from 0: of the time (several are joined), and of those that count rows."""

    time: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    counting: bool = False  # whether the time does no more than count the rows
    series: int | None = None  # names the series of a row
    names: tuple[str, ...] = ()  # of the columns of the time
    others: tuple[int, ...] = ()  # hold times, too
    repeats: bool = False  # whether a series has several rows

    @property
    def left_out(self) -> set[int]:
        return {*self.time, *self.counts, *self.others, *(() if self.series is None else (self.series,))}

    def times(self, rows: Sequence[Row]) -> Cells:
        """The cells of the time, each with its line."""
        return [(line, _joined(self.names, [cells[i] for i in self.time])) for line, cells in rows]


class Table(NamedTuple):
    """What is known of a file before its numbers are read."""

    path: str | Path
    names: list[str] | None  # the header
    rows: Sequence[Row]  # data, each with its line
    label: int | None  # a column that is known to be the label
    series: int | None = None  # a column that is known to name the series of a row

    @property
    def width(self) -> int:
        return min(len(cells) for _, cells in self.rows)

    def name(self, column: int) -> str:
        return re.sub(r"unnamed: \d+", "", self.names[column].casefold()) if self.names else ""

    def column(self, place: int) -> Cells:
        return [(line, cells[place]) for line, cells in self.rows]

    def quoted(self, column: int) -> str:
        """A column for messages: its name, or else its place."""
        name = self.names[column] if self.names else ""
        return f"column {name!r}" if name else f"column {column + 1} (unnamed)"

    def place(self, wanted: str, what: str) -> int:
        """The place from 0 of a column by its name, or without a header by its place from 1; `what` is for messages."""
        if self.names is None or (wanted.isdigit() and wanted not in self.names):
            if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= self.width:
                return int(wanted) - 1
            reason = f"expected the column of {what} as a place from 1 to {self.width}, got {wanted!r}."
            raise DataError(reason, path=self.path, line=self.rows[0][0])
        folded = [name.casefold() for name in self.names]
        if wanted.casefold() not in folded:
            hint = nearest(wanted, [name for name in self.names if name]).strip()
            raise DataError(f"the first line has no column {wanted!r}.", path=self.path, line=1, hint=hint)
        return self.names.index(wanted) if wanted in self.names else folded.index(wanted.casefold())


def find_times(table: Table, wanted: str | None, ignore: bool = False) -> TimeColumns:
    """The columns of the time and those that count rows.

    Args:
        table: a file.
        wanted: the column of the time: a name, or a place from 1 without a header; "none": every column holds values.
        ignore: whether they are to be left out unread, so that any number may be there.

    Raises:
        DataError: there is no such column, or several could be that of the time.
    """
    if wanted is not None and wanted.casefold() == NONE:
        return TimeColumns(series=table.series)
    places = [i for i in range(table.width) if i not in (table.label, table.series)]
    counts = tuple(i for i in places if _counts_rows(table, i))
    rest = [i for i in places if i not in counts]
    written = [i for i in rest if looks_like_a_time(_first(table, i))]
    time = (table.place(wanted, "times"),) if wanted is not None else _time(table, rest, written, ignore)
    counts = tuple(i for i in counts if i not in time)
    if not time and counts:
        return TimeColumns(counts[:1], counts[1:], counting=True, series=table.series)
    others = tuple(i for i in written if i not in time)
    return TimeColumns(time, counts, False, table.series, tuple(map(table.name, time)), others)


def _time(table: Table, places: Sequence[int], written: list[int], ignore: bool) -> tuple[int, ...]:
    if len(written) == 2 and _is_date_and_clock(table, written):
        return tuple(sorted(written, key=lambda i: _is_clock(_first(table, i))))
    if len(written) == 1 and (hours := _hours(table, places, written[0])):
        return (written[0], *hours)
    parts = _parts(table, places)
    numbers = [i for i in places if i not in written and _is_number_of_time(table, i)]
    found = written or ([] if parts else numbers)
    if len(found) > 1 and not ignore:
        raise DataError(
            f"expected one column of times, got {len(found)}: {', '.join(map(table.quoted, found))}.",
            path=table.path,
            line=table.rows[0][0],
            hint="Say which with --time-column.",
        )
    return tuple(found) or parts or _period(table, places, ignore)


def _first(table: Table, column: int) -> str:
    return next((cells[column] for _, cells in table.rows if cells[column]), "")


def _is_clock(cell: str) -> bool:
    return re.match(r"\d{1,2}:\d\d", cell) is not None


def _is_date_and_clock(table: Table, places: Sequence[int]) -> bool:
    return sorted(_is_clock(_first(table, i)) for i in places) == [False, True]


def _parts(table: Table, places: Sequence[int]) -> tuple[int, ...]:
    """Columns `year`, `month` and so on, that are one time together."""
    found = {table.name(i): i for i in places if _is_part(table, i)}
    for names in (_PARTS, ("year", "quarter"), ("year", "week")):
        parts = tuple(found[name] for name in itertools.takewhile(found.__contains__, names))
        if len(parts) > 1:
            return parts
    return ()


def _is_part(table: Table, column: int) -> bool:
    cells = [cell for _, cell in table.column(column)]
    return all(map(is_whole, cells)) or (table.name(column) == "month" and all(map(month_named, cells)))


def _hours(table: Table, places: Sequence[int], day: int) -> tuple[int, ...]:
    """Columns of the hour, and perhaps the minute, beside one of days that are there more than once."""
    days = [cell for _, cell in table.column(day)]
    found = {table.name(i).replace("hr", "hour"): i for i in places if _is_part(table, i)}
    if ":" in days[0] or len(set(days)) == len(days) or "hour" not in found:
        return ()
    return tuple(found[name] for name in itertools.takewhile(found.__contains__, ("hour", "minute")))


def _joined(names: Sequence[str], cells: Sequence[str]) -> str:
    """The cells of a time, which stand in columns of these names, as one text."""
    if len(cells) == 1 or not {*names[1:]} & {*_PARTS, "hr", "week", "quarter"}:
        return " ".join(cells)
    numbers = [month_named(cell) or (int(float(cell)) if is_whole(cell) else 0) for cell in cells]
    if names[0] not in _PARTS:
        return f"{cells[0]} " + ":".join(f"{number:02}" for number in [*numbers[1:], 0][:2])
    if names[1] == "week":
        return f"{numbers[0]}-W{numbers[1]:02}"
    if names[1] == "quarter":
        return f"{numbers[0]}Q{numbers[1]}"
    year, month, day, *clock = [*(f"{number:02}" for number in numbers), *["01"][: 3 - len(numbers)]]
    return f"{year}-{month}-{day}" + (f" {':'.join([*clock, '00'][: max(2, len(clock))])}" if clock else "")


def _is_number_of_time(table: Table, column: int) -> bool:
    """Whether a column of numbers is named as a time, or has no other meaning than seconds since 1970."""
    cells = table.column(column)
    words = set(re.findall(r"[^\W\d_]+", table.name(column)))
    if words & _NAMES or (words & _TIME and words <= _TIME | _BESIDE_TIME):
        return all(is_number(cell) for _, cell in cells)
    if not table.name(column):
        return epoch_of(cells) is not None or (table.names is None and column == 0 and _are_days_in_digits(cells))
    return epoch_of(cells) is not None and _is_steady([int(float(cell)) for _, cell in cells])


def _is_steady(numbers: Sequence[int]) -> bool:
    """Whether numbers rise, or fall, mostly by the same: those of a clock, and not of a counter."""
    steps = Counter(b - a for a, b in itertools.pairwise(numbers))
    one_way = len({step > 0 for step in steps}) == 1 and 0 not in steps
    return one_way and 2 * steps.most_common(1)[0][1] >= steps.total()


def _are_days_in_digits(cells: Cells) -> bool:
    return all(re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", cell) for _, cell in cells)


def _period(table: Table, places: Sequence[int], ignore: bool) -> tuple[int, ...]:
    """A column such as `year` whose numbers rise or fall; or an unnamed first one of years."""
    for i in places:
        cells = [cell for _, cell in table.column(i)]
        if table.name(i) in _PERIODS and all(map(is_number, cells)):
            signs = {float(b) > float(a) for a, b in itertools.pairwise(cells)}
            if (len(signs) < 2 and len(set(cells)) == len(cells)) or (ignore and i == places[0]):
                return (i,)
            if i == places[0]:
                reason = f"{table.quoted(i)} is named like a time, but its numbers neither rise nor fall."
                hint = "If it holds values, say --time-column none; if not, omit it with --ignore-time."
                raise DataError(reason, path=table.path, line=table.rows[0][0], hint=hint)
        if i == 0 and not table.name(i) and len(cells) > 2 and all(map(_is_year, cells)):
            numbers = sorted(map(int, cells))
            if len(set(cells)) == len(cells) and numbers[-1] - numbers[0] < 2 * len(cells):
                return (i,)
    return ()


def _is_year(cell: str) -> bool:
    return re.fullmatch(r"(1[5-9]|20|21)\d\d", cell) is not None


def _counts_rows(table: Table, column: int) -> bool:
    """Whether a column counts rows: whole numbers without a name or under that of an index, each once."""
    if table.name(column) not in _COUNTS or (table.names is None and column > 0) or table.width < 2:
        return False
    cells = [cell for _, cell in table.column(column)]
    if not all(map(is_whole, cells)) or epoch_of(table.column(column)):
        return False
    numbers = [int(float(cell)) for cell in cells]
    steps = {b - a for a, b in itertools.pairwise(numbers)}
    if table.names is None:
        return len(numbers) > 2 and steps == {1} and numbers[0] in (0, 1)
    if not table.name(column):
        return column == 0 or steps == {1}
    distinct = table.name(column) in _KEYS and len(set(numbers)) == len(numbers)
    return len(numbers) > 1 and (steps in ({1}, {-1}) or distinct or all(step > 0 for step in steps))
