"""Times as integers, and how they are written.

A time is counted in nanoseconds since 1970 on the clock in which it is written (in UTC, if there are several time
zones); a month, quarter or year is its first day. A plain number, such as seconds since the start, is counted in
billionths.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

SECOND = 10**9
DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1)
Unit = Literal["time", "number"]


class Times(NamedTuple):
    """The times of a column, in the order of its rows.

    Attributes:
        ticks: nanoseconds since 1970 (unit "time"), or billionths (unit "number").
        unit: "time" or "number".
        lines: the line of each time in its file.
        style: how `write` writes a time.
        zone: minutes east of UTC; None without a time zone.
    """

    ticks: list[int]
    unit: Unit
    lines: list[int]
    style: str
    zone: int | None = None

    def write(self, tick: int) -> str:
        """A time in the column's own style."""
        if self.style in EPOCH_UNITS:
            return str(tick // EPOCH_UNITS[self.style])
        if self.unit == "number":
            return format_billionths(tick)
        return _STYLES[self.style](tick) + ("" if self.zone is None else _format_zone(self.zone))


EPOCH_UNITS = {"seconds": SECOND, "milliseconds": 10**6, "microseconds": 1000, "nanoseconds": 1}


def to_datetime(tick: int) -> datetime:
    """The time of a tick, to the microsecond."""
    return _EPOCH + timedelta(microseconds=tick // 1000)


def to_tick(time: datetime) -> int:
    """The tick of a time."""
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def _format_moment(tick: int) -> str:
    text = to_datetime(tick - tick % SECOND).isoformat(sep=" ")
    return text + (f".{tick % SECOND:09d}".rstrip("0") if tick % SECOND else "")


def _format_clock(tick: int) -> str:
    seconds, rest = divmod(tick, SECOND)
    text = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + (f".{rest:09d}".rstrip("0") if rest else "")


def format_billionths(billionths: int) -> str:
    """A number of billionths in decimal notation: `0.02`."""
    text = f"{Decimal(billionths) / SECOND:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _format_zone(minutes: int) -> str:
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


_STYLES: dict[str, Callable[[int], str]] = {
    "day": lambda tick: to_datetime(tick).date().isoformat(),
    "moment": _format_moment,
    "month": lambda tick: f"{to_datetime(tick):%Y-%m}",
    "quarter": lambda tick: f"{to_datetime(tick).year}-Q{(to_datetime(tick).month + 2) // 3}",
    "year": lambda tick: f"{to_datetime(tick).year}",
    "clock": _format_clock,
    "fractions": format_billionths,
}
