"""How a column writes its times, decided from the whole of it: dates, months, quarters, seconds since 1970."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from stepscan.data.series.regular_series import is_regular
from stepscan.data.series.times import DAY, EPOCHS, SECOND, Times
from stepscan.data.series.values import is_number
from stepscan.errors import DataError

Cells = Sequence[tuple[int, str]]  # each with its line
_MONTHS = {"janfebmaraprmayjunjulaugsepoctnovdec"[3 * n : 3 * n + 3]: n + 1 for n in range(12)}
_OF_A_DAY = r"(?P<H>\d{1,4}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?\s*(?P<half>[AP]M)?"
_CLOCK = r"(?:(?:T|,?\s+)" + _OF_A_DAY + r"\s*(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
_YEAR = r"(?P<y>\d{4}|\d\d)"
_NAME = r"(?P<name>[A-Z]{3,9})\.?"
_ISO = r"(?P<y>\d{4})(?P<sep>[-/.])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})" + _CLOCK


class Written(NamedTuple):
    """A way to write times: what it looks like, and what a time is written as."""

    pattern: re.Pattern[str]
    style: str  # of `write`


def _written(pattern: str, style: str = "day") -> Written:
    return Written(re.compile(pattern, re.IGNORECASE), style)


_DIGITS = _written(r"(?P<y>[12]\d{3})(?P<m>[01]\d)(?P<d>[0-3]\d)(?:T?(?P<H>[0-2]\d)(?P<M>[0-5]\d)(?P<S>[0-5]\d)?)?")
_DIGITS_OF_A_MONTH = _written(r"(?P<y>[12]\d{3})(?P<m>[01]\d)", "month")
_DIGITS_OF_A_YEAR = _written(r"(?P<y>1[5-9]\d\d|2[01]\d\d)(?:\.0)?", "year")
_SEASON = _written(r"(?P<y>\d{4})[-/](?P<next>\d\d)", "year")  # from one year into the next: 2010/11
_UNDECIDED = _written(r"(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)" + _YEAR + _CLOCK)  # day or month first
_WAYS = (
    _written(_ISO),
    _written(_ISO + r"/\d{4}-\d\d-\d\d"),  # pandas' weeks
    _written(r"(?P<y>\d{4})(?:[-/.]M?|M)(?P<m>\d{1,2})", "month"),
    _written(r"(?P<m>\d{1,2})[-/.](?P<y>\d{4})", "month"),
    _written(_NAME + r"[-/ ]*'?" + _YEAR, "month"),
    _written(r"(?P<y>\d{4})[-/ ]+" + _NAME, "month"),
    _written(r"(?:FY\s*)?'?" + _YEAR + r"[-/ ]*Q(?P<q>[1-4])", "quarter"),
    _written(r"(?:Q(?P<q>[1-4])|(?P<Q>[1-4])Q)[-/ ]*(?:FY\s*)?'?" + _YEAR, "quarter"),
    _written(r"(?P<y>\d{4})[-/ ]*[HS](?P<half_year>[12])"),
    _written(r"(?P<y>\d{4})-?W(?P<w>\d\d)(?:-?(?P<d>[1-7]))?", "day"),
    _written(r"(?:[A-Z]{3,9},?\s+)?(?P<d>\d{1,2})[-/. ]+" + _NAME + r",?[-/ ]+" + _YEAR + _CLOCK),
    _written(r"(?:[A-Z]{3,9},?\s+)?" + _NAME + r"\s+(?P<d>\d{1,2}),?\s+(?P<y>\d{4})" + _CLOCK),
    _written(r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)T(?P<H>\d\d):?(?P<M>\d\d)(?::?(?P<S>\d\d))?(?P<zone>Z)?"),
    _written(r"(?:(?P<days>\d+) days?,? )?" + _OF_A_DAY, "clock"),
    _written(r"(?P<days>\d+) days?", "clock"),
    _UNDECIDED,
)


def looks_like_a_time(cell: str) -> bool:
    """Whether a cell is written as a time and could not be a number."""
    return not is_number(cell) and any(way.pattern.fullmatch(cell) for way in _WAYS)


def epoch_of(cells: Cells) -> str | None:
    """Which unit since 1970 all the whole numbers of a column are in, if they lie between 2000 and 2100."""
    for name, size in EPOCHS.items():
        first, last = 946_684_800 * SECOND // size, 4_102_444_800 * SECOND // size
        if all(is_whole(cell) and first <= int(float(cell)) <= last for _, cell in cells):
            return name
    return None


def month_named(text: str) -> int | None:
    """A month's number by its English name, whole or its first letters."""
    return _MONTHS.get(text[:3].lower()) if re.fullmatch(r"[A-Za-z]{3,9}\.?", text) else None


def is_whole(cell: str) -> bool:
    """Whether a cell is a whole number: `3`, `-3`, `3.0`."""
    return re.fullmatch(r"[+-]?\d+(\.0*)?", cell) is not None


def read_times(cells: Cells, path: str | Path, day_first: bool | None = None) -> Times:
    """The times of a column.

    Args:
        cells: each with its line.
        path: for messages.
        day_first: whether `01/02/2021` is in February; None decides it from the whole column.

    Raises:
        DataError: a cell that is not a time, or is not written as the first is; a column that could be read both ways.
    """
    line, first = cells[0]
    missing = next((number for number, cell in cells if not cell), None)
    if missing is not None:
        raise DataError("the time is missing.", path=path, line=missing, hint=HINT)
    if all(is_number(cell) for _, cell in cells):
        return _of_numbers(cells, path)
    way = _SEASON if len(cells) > 1 and all(_is_season(cell) for _, cell in cells) else None
    way = way or next((way for way in _WAYS if way.pattern.fullmatch(first)), None)
    if way is None:
        raise DataError(f"expected a time, such as 2021-01-31, got {first[:40]!r}.", path=path, line=line, hint=HINT)
    return _of_texts(cells, way, path, day_first)


def _is_season(cell: str) -> bool:
    found = _SEASON.pattern.fullmatch(cell)
    return found is not None and (int(found["y"]) + 1) % 100 == int(found["next"])


HINT = "Name the column of times with --time-column; omit it with --ignore-time."


def _of_numbers(cells: Cells, path: str | Path) -> Times:
    for way in (_DIGITS, _DIGITS_OF_A_MONTH, _DIGITS_OF_A_YEAR):
        numbers = {float(cell) for _, cell in cells}
        if way is _DIGITS_OF_A_YEAR and max(numbers) - min(numbers) > 10 * len(numbers):
            continue
        if all(_fits(way, cell) for _, cell in cells):
            return _of_texts(cells, way, path, None)
    lines = [line for line, _ in cells]
    if epoch := epoch_of(cells):
        return Times([_billionths(cell) * EPOCHS[epoch] // SECOND for _, cell in cells], "time", lines, epoch)
    if all(946_684_800 <= float(cell) <= 4_102_444_800 for _, cell in cells):  # with fractions
        return Times([_billionths(cell) for _, cell in cells], "time", lines, "fractions")
    for line, cell in cells:
        if not _is_finite(cell):
            raise DataError(f"expected a time, got {cell!r}.", path=path, line=line, hint=HINT)
    return Times([_billionths(cell) for _, cell in cells], "number", lines, "number")


def _fits(way: Written, cell: str) -> bool:
    found = way.pattern.fullmatch(cell)
    try:
        return found is not None and _moment(found, None)[0] is not None
    except (ValueError, OverflowError):
        return False


def _is_finite(cell: str) -> bool:
    try:
        return Decimal(cell.strip()).is_finite()
    except InvalidOperation:
        return False


def _billionths(cell: str) -> int:
    return round(Decimal(cell.strip()) * SECOND)


def _of_texts(cells: Cells, way: Written, path: str | Path, day_first: bool | None) -> Times:
    found = [(line, cell, way.pattern.fullmatch(cell)) for line, cell in cells]
    for line, cell, match in found:
        if match is None:
            reason = f"expected a time written as in line {cells[0][0]} ({cells[0][1]!r}), got {cell[:40]!r}."
            raise DataError(reason, path=path, line=line, hint=HINT)
    matches = [(line, match) for line, _, match in found if match is not None]
    if way is _UNDECIDED and matches[0][1]["sep"] != ".":
        day_first = _day_first(matches, path) if day_first is None else day_first
    moments = list(_moments(matches, path, day_first is not False))
    zones = {zone for _, zone in moments}
    if None in zones and len(zones) > 1:
        line = next(
            line
            for (line, _), (_, zone) in zip(matches, moments, strict=True)
            if (zone is None) != (moments[0][1] is None)
        )
        reason = f"expected a time {'without' if moments[0][1] is None else 'with'} a zone, as in line {cells[0][0]}."
        raise DataError(reason, path=path, line=line)
    lines = [line for line, _ in matches]
    places = [place for place, _ in moments]
    if way.style == "clock":
        return Times(list(_unwrapped(places)), "time", lines, way.style)
    zone = zones.pop() if len(zones) == 1 else None
    shortest = min((abs(b - a) for a, b in itertools.pairwise(places)), default=0)
    if len(zones) > 1 and shortest < DAY // 2:  # clocks change: these are days only on the clock of the wall
        places, zone = [place - (zone or 0) * 60 * SECOND for place, zone in moments], 0
    style = "moment" if way.style == "day" and (zone is not None or any(place % DAY for place in places)) else way.style
    return Times(places, "time", lines, style, zone)


def _moments(
    matches: Sequence[tuple[int, re.Match[str]]], path: str | Path, day_first: bool
) -> Iterator[tuple[int, int | None]]:
    for line, match in matches:
        try:
            yield _moment(match, day_first)
        except (ValueError, OverflowError, KeyError):
            order = f", read with the {'day' if day_first else 'month'} first" if "a" in match.groupdict() else ""
            reason = f"expected a time, but there is no {match[0]!r}{order}."
            raise DataError(reason, path=path, line=line) from None


def _moment(match: re.Match[str], day_first: bool | None) -> tuple[int, int | None]:
    """Nanoseconds since 1970 on the clock of the wall, and the zone in minutes."""
    part = match.groupdict()
    hours, minutes, seconds = (int(part.get(name) or 0) for name in "HMS")
    clock = (hours * 3600 + minutes * 60 + seconds) * SECOND + int((part.get("f") or "0").ljust(9, "0"))
    if part.get("half"):
        clock += (
            {"A": -12 if hours == 12 else 0, "P": 0 if hours == 12 else 12}[part["half"][0].upper()] * 3600 * SECOND
        )
    if minutes > 59 or seconds > 60 or (hours > 24 and "y" in part):
        raise ValueError
    if "y" not in part:
        return clock + int(part.get("days") or 0) * DAY, None
    return (_date(part, day_first) - date(1970, 1, 1)).days * DAY + clock, _minutes(part.get("zone"))


def _date(part: dict[str, str], day_first: bool | None) -> date:
    year = int(part["y"]) + (0 if len(part["y"]) == 4 else 2000 if int(part["y"]) < 69 else 1900)
    if part.get("w"):
        return date.fromisocalendar(year, int(part["w"]), int(part.get("d") or 1))
    if quarter := part.get("q") or part.get("Q"):
        return date(year, 3 * int(quarter) - 2, 1)
    if part.get("half_year"):
        return date(year, 6 * int(part["half_year"]) - 5, 1)
    if part.get("a"):
        return date(year, *map(int, (part["b"], part["a"]) if day_first else (part["a"], part["b"])))
    month = _MONTHS[part["name"][:3].lower()] if part.get("name") else int(part.get("m") or 1)
    return date(year, month, int(part.get("d") or 1))


def _minutes(zone: str | None) -> int | None:
    if not zone:
        return None
    digits = re.sub(r"\D", "", zone).ljust(4, "0")
    return (-1 if zone.startswith("-") else 1) * (int(digits[:2]) * 60 + int(digits[2:]))


def _day_first(matches: Sequence[tuple[int, re.Match[str]]], path: str | Path) -> bool:
    """Whether the day comes before the month: a number above 12 says it, or else that only one gives a regular step."""
    days, months = ([(line, m[0]) for line, m in matches if int(m[group]) > 12] for group in "ab")
    if days and months:
        (line, day), (other, month) = days[0], months[0]
        reason = f"expected one order of day and month, but {day!r} (line {line}) has the day first, and {month!r} not."
        raise DataError(reason, path=path, line=other)
    if days or months:
        return bool(days)
    regular = []
    for first in (True, False):
        read = Times([p for p, _ in _moments(matches, path, first)], "time", [line for line, _ in matches], "day")
        regular.append(is_regular(read))
    if len(matches) > 2 and regular[0] != regular[1]:
        return regular[0]
    if all(match["a"] == match["b"] for _, match in matches):
        return True
    raise DataError(
        f"{matches[0][1][0]!r} may have the day or the month first, and the whole column does not say which.",
        path=path,
        line=matches[0][0],
        hint="Say it with --day-first or --month-first.",
    )


def _unwrapped(places: Sequence[int]) -> Iterator[int]:
    """Times of the day that go on after midnight."""
    days = 0
    for before, place in zip([places[0], *places], places, strict=False):
        days += place < before - DAY // 2
        yield place + days * DAY
