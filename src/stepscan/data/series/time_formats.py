"""The formats in which times are written: dates, months, quarters, times of day."""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from stepscan.data.series.times import DAY, SECOND
from stepscan.data.series.values import is_number

_MONTHS = {"janfebmaraprmayjunjulaugsepoctnovdec"[3 * n : 3 * n + 3]: n + 1 for n in range(12)}
_TIME_OF_DAY = r"(?P<H>\d{1,4}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?\s*(?P<half>[AP]M)?"
_CLOCK = r"(?:(?:T|,?\s+)" + _TIME_OF_DAY + r"\s*(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
_YEAR = r"(?P<y>\d{4}|\d\d)"
_MONTH_NAME = r"(?P<name>[A-Z]{3,9})\.?"
_ISO = r"(?P<y>\d{4})(?P<sep>[-/.])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})" + _CLOCK


class TimeFormat(NamedTuple):
    """A format of times: the pattern that they match, and the style of `Times.write` in which they are written."""

    pattern: re.Pattern[str]
    style: str


def _format(pattern: str, style: str = "day") -> TimeFormat:
    return TimeFormat(re.compile(pattern, re.IGNORECASE), style)


DIGITS = _format(r"(?P<y>[12]\d{3})(?P<m>[01]\d)(?P<d>[0-3]\d)(?:T?(?P<H>[0-2]\d)(?P<M>[0-5]\d)(?P<S>[0-5]\d)?)?")
MONTH_DIGITS = _format(r"(?P<y>[12]\d{3})(?P<m>[01]\d)", "month")
YEAR_DIGITS = _format(r"(?P<y>1[5-9]\d\d|2[01]\d\d)(?:\.0)?", "year")
SPLIT_YEAR = _format(r"(?P<y>\d{4})[-/](?P<next>\d\d)", "year")  # from one year into the next: 2010/11
DAY_OR_MONTH_FIRST = _format(r"(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)" + _YEAR + _CLOCK)
TEXT_FORMATS = (
    _format(_ISO),
    _format(_ISO + r"/\d{4}-\d\d-\d\d"),  # weeks of pandas
    _format(r"(?P<y>\d{4})(?:[-/.]M?|M)(?P<m>\d{1,2})", "month"),
    _format(r"(?P<m>\d{1,2})[-/.](?P<y>\d{4})", "month"),
    _format(_MONTH_NAME + r"[-/ ]*'?" + _YEAR, "month"),
    _format(r"(?P<y>\d{4})[-/ ]+" + _MONTH_NAME, "month"),
    _format(r"(?:FY\s*)?'?" + _YEAR + r"[-/ ]*Q(?P<q>[1-4])", "quarter"),
    _format(r"(?:Q(?P<q>[1-4])|(?P<Q>[1-4])Q)[-/ ]*(?:FY\s*)?'?" + _YEAR, "quarter"),
    _format(r"(?P<y>\d{4})[-/ ]*[HS](?P<half_year>[12])"),
    _format(r"(?P<y>\d{4})-?W(?P<w>\d\d)(?:-?(?P<d>[1-7]))?", "day"),
    _format(r"(?:[A-Z]{3,9},?\s+)?(?P<d>\d{1,2})[-/. ]+" + _MONTH_NAME + r",?[-/ ]+" + _YEAR + _CLOCK),
    _format(r"(?:[A-Z]{3,9},?\s+)?" + _MONTH_NAME + r"\s+(?P<d>\d{1,2}),?\s+(?P<y>\d{4})" + _CLOCK),
    _format(r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)T(?P<H>\d\d):?(?P<M>\d\d)(?::?(?P<S>\d\d))?(?P<zone>Z)?"),
    _format(r"(?:(?P<days>\d+) days?,? )?" + _TIME_OF_DAY, "clock"),
    _format(r"(?P<days>\d+) days?", "clock"),
    DAY_OR_MONTH_FIRST,
)


def looks_like_time(cell: str) -> bool:
    """Whether a cell has the format of a time and cannot be a number."""
    return not is_number(cell) and any(format.pattern.fullmatch(cell) for format in TEXT_FORMATS)


def month_number(text: str) -> int | None:
    """The number of a month by its English name or the first letters of it, at least three; else None."""
    return _MONTHS.get(text[:3].lower()) if re.fullmatch(r"[A-Za-z]{3,9}\.?", text) else None


def is_whole_number(cell: str) -> bool:
    """Whether a cell is a whole number: `3`, `-3`, `3.0`."""
    return re.fullmatch(r"[+-]?\d+(\.0*)?", cell) is not None


def parse_time(match: re.Match[str], day_first: bool | None) -> tuple[int, int | None]:
    """The tick of a time on its own clock, and its zone in minutes east of UTC.

    Args:
        match: of the pattern of a format.
        day_first: whether the day is before the month in `DAY_OR_MONTH_FIRST`.

    Raises:
        ValueError, OverflowError, KeyError: there is no such time.
    """
    part = match.groupdict()
    hours, minutes, seconds = (int(part.get(name) or 0) for name in "HMS")
    clock = (hours * 3600 + minutes * 60 + seconds) * SECOND + int((part.get("f") or "0").ljust(9, "0"))
    if part.get("half"):
        hours_later = {"A": -12 if hours == 12 else 0, "P": 0 if hours == 12 else 12}[part["half"][0].upper()]
        clock += hours_later * 3600 * SECOND
    if minutes > 59 or seconds > 60 or (hours > 24 and "y" in part):
        raise ValueError
    if "y" not in part:
        return clock + int(part.get("days") or 0) * DAY, None
    return (_parse_date(part, day_first) - date(1970, 1, 1)).days * DAY + clock, _parse_zone(part.get("zone"))


def _parse_date(part: dict[str, str], day_first: bool | None) -> date:
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


def _parse_zone(zone: str | None) -> int | None:
    if not zone:
        return None
    digits = re.sub(r"\D", "", zone).ljust(4, "0")
    return (-1 if zone.startswith("-") else 1) * (int(digits[:2]) * 60 + int(digits[2:]))
