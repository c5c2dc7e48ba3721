"""The times of a column: their format is decided from all cells together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from stepscan.data.series.regular_series import is_regular
from stepscan.data.series.time_formats import (
    DAY_OR_MONTH_FIRST,
    DIGITS,
    MONTH_DIGITS,
    SPLIT_YEAR,
    TEXT_FORMATS,
    YEAR_DIGITS,
    TimeFormat,
    is_whole_number,
    parse_time,
)
from stepscan.data.series.times import DAY, EPOCH_UNITS, SECOND, Times
from stepscan.data.series.values import is_number
from stepscan.errors import DataError

Cells = Sequence[tuple[int, str]]  # each with its line
_FIRST_EPOCH, _LAST_EPOCH = 946_684_800, 4_102_444_800  # the years 2000 and 2100, in seconds since 1970
_COLUMN_HINT = "Name the column of times with --time-column, or omit it with --ignore-time."


def epoch_unit(cells: Cells) -> str | None:
    """The unit, a key of `EPOCH_UNITS`, in which all cells are whole numbers since 1970 in the years 2000 to 2100."""
    for name, size in EPOCH_UNITS.items():
        first, last = _FIRST_EPOCH * SECOND // size, _LAST_EPOCH * SECOND // size
        if all(is_whole_number(cell) and first <= int(float(cell)) <= last for _, cell in cells):
            return name
    return None


def read_times(cells: Cells, path: str | Path, day_first: bool | None = None) -> Times:
    """The times of a column.

    Args:
        cells: the texts of the column, with their lines.
        path: for errors.
        day_first: whether `01/02/2021` is in February; None: decided from the whole column.

    Raises:
        DataError: a cell is empty, is not a time, or has another format than the first; or the column does not show
            whether the day or the month is first.
    """
    line, first = cells[0]
    empty = next((number for number, cell in cells if not cell), None)
    if empty is not None:
        raise DataError("expected a time, got an empty cell.", path=path, line=empty, hint=_COLUMN_HINT)
    if all(is_number(cell) for _, cell in cells):
        return _read_numbers(cells, path)
    format = SPLIT_YEAR if len(cells) > 1 and all(_is_split_year(cell) for _, cell in cells) else None
    format = format or next((format for format in TEXT_FORMATS if format.pattern.fullmatch(first)), None)
    if format is None:
        reason = f"expected a time, such as 2021-01-31, got {first[:40]!r}."
        raise DataError(reason, path=path, line=line, hint=_COLUMN_HINT)
    return _read_texts(cells, format, path, day_first)


def _is_split_year(cell: str) -> bool:
    match = SPLIT_YEAR.pattern.fullmatch(cell)
    return match is not None and (int(match["y"]) + 1) % 100 == int(match["next"])


def _read_numbers(cells: Cells, path: str | Path) -> Times:
    for format in (DIGITS, MONTH_DIGITS, YEAR_DIGITS):
        numbers = {float(cell) for _, cell in cells}
        if format is YEAR_DIGITS and max(numbers) - min(numbers) > 10 * len(numbers):
            continue
        if all(_is_valid(format, cell) for _, cell in cells):
            return _read_texts(cells, format, path, None)
    lines = [line for line, _ in cells]
    if unit := epoch_unit(cells):
        return Times([_to_billionths(cell) * EPOCH_UNITS[unit] // SECOND for _, cell in cells], "time", lines, unit)
    if all(_FIRST_EPOCH <= float(cell) <= _LAST_EPOCH for _, cell in cells):  # with fractions of seconds
        return Times([_to_billionths(cell) for _, cell in cells], "time", lines, "fractions")
    for line, cell in cells:
        if not _is_finite(cell):
            raise DataError(f"expected a time, got {cell!r}.", path=path, line=line, hint=_COLUMN_HINT)
    return Times([_to_billionths(cell) for _, cell in cells], "number", lines, "number")


def _is_valid(format: TimeFormat, cell: str) -> bool:
    match = format.pattern.fullmatch(cell)
    try:
        return match is not None and parse_time(match, None)[0] is not None
    except (ValueError, OverflowError):
        return False


def _is_finite(cell: str) -> bool:
    try:
        return Decimal(cell.strip()).is_finite()
    except InvalidOperation:
        return False


def _to_billionths(cell: str) -> int:
    return round(Decimal(cell.strip()) * SECOND)


def _read_texts(cells: Cells, format: TimeFormat, path: str | Path, day_first: bool | None) -> Times:
    matches = _match_cells(cells, format, path)
    if format is DAY_OR_MONTH_FIRST and matches[0][1]["sep"] != ".":
        day_first = _is_day_first(matches, path) if day_first is None else day_first
    parsed = list(_parse_times(matches, path, day_first is not False))
    zones = _check_zones(matches, parsed, path)
    lines = [line for line, _ in matches]
    ticks = [tick for tick, _ in parsed]
    if format.style == "clock":
        return Times(list(_count_days(ticks)), "time", lines, format.style)
    zone = zones.pop() if len(zones) == 1 else None
    shortest = min((abs(b - a) for a, b in itertools.pairwise(ticks)), default=0)
    if len(zones) > 1 and shortest < DAY // 2:  # UTC; but days with changing clocks are days of local time
        ticks, zone = [tick - (zone or 0) * 60 * SECOND for tick, zone in parsed], 0
    has_clock = format.style == "day" and (zone is not None or any(tick % DAY for tick in ticks))
    return Times(ticks, "time", lines, "moment" if has_clock else format.style, zone)


def _match_cells(cells: Cells, format: TimeFormat, path: str | Path) -> list[tuple[int, re.Match[str]]]:
    matches = []
    for line, cell in cells:
        match = format.pattern.fullmatch(cell)
        if match is None:
            reason = f"expected a time written as in line {cells[0][0]} ({cells[0][1]!r}), got {cell[:40]!r}."
            raise DataError(reason, path=path, line=line, hint=_COLUMN_HINT)
        matches.append((line, match))
    return matches


def _check_zones(
    matches: Sequence[tuple[int, re.Match[str]]], parsed: Sequence[tuple[int, int | None]], path: str | Path
) -> set[int | None]:
    """The time zones of a column, or a DataError if only some times have one."""
    zones = {zone for _, zone in parsed}
    if None not in zones or len(zones) == 1:
        return zones
    first = parsed[0][1]
    line, match = next(matches[row] for row, (_, zone) in enumerate(parsed) if (zone is None) != (first is None))
    expected = f"a time {'without' if first is None else 'with'} a time zone, as in line {matches[0][0]}"
    raise DataError(f"expected {expected}, got {match[0]!r}.", path=path, line=line)


def _parse_times(
    matches: Sequence[tuple[int, re.Match[str]]], path: str | Path, day_first: bool
) -> Iterator[tuple[int, int | None]]:
    for line, match in matches:
        try:
            yield parse_time(match, day_first)
        except (ValueError, OverflowError, KeyError):
            order = f", with the {'day' if day_first else 'month'} first" if "a" in match.groupdict() else ""
            reason = f"expected a time that exists, got {match[0]!r}{order}."
            raise DataError(reason, path=path, line=line) from None


def _is_day_first(matches: Sequence[tuple[int, re.Match[str]]], path: str | Path) -> bool:
    """Whether the day is before the month: shown by a number above 12, or because only one order is regular."""
    days, months = ([(line, match[0]) for line, match in matches if int(match[group]) > 12] for group in "ab")
    if days and months:
        (line, day), (other, month) = days[0], months[0]
        reason = f"expected one order of day and month, got {day!r} (line {line}) and {month!r}."
        raise DataError(reason, path=path, line=other)
    if days or months:
        return bool(days)
    regular = []
    for first in (True, False):
        ticks = [tick for tick, _ in _parse_times(matches, path, first)]
        regular.append(is_regular(Times(ticks, "time", [line for line, _ in matches], "day")))
    if len(matches) > 2 and regular[0] != regular[1]:
        return regular[0]
    if all(match["a"] == match["b"] for _, match in matches):
        return True
    raise DataError(
        f"expected times that show whether the day or the month is first, got {matches[0][1][0]!r} and others that may "
        "be either.",
        path=path,
        line=matches[0][0],
        hint="Choose with --day-first or --month-first.",
    )


def _count_days(ticks: Sequence[int]) -> Iterator[int]:
    """Times of day that continue after midnight, as times since the first midnight."""
    days = 0
    for before, tick in zip([ticks[0], *ticks], ticks, strict=False):
        days += tick < before - DAY // 2
        yield tick + days * DAY
