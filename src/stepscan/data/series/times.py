"""Times as numbers, and written out again.

A time is nanoseconds since 1970 on the clock that it is written in (of several zones: in UTC); a month, a quarter or a
year is its first day. What is a plain number, such as seconds since the start, is counted in billionths of one.
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
    """The times of a column, in its order."""

    places: list[int]
    unit: Unit
    lines: list[int]
    style: str  # of `write`
    zone: int | None = None  # minutes east of UTC, where the column says it

    def write(self, place: int) -> str:
        """A place in the column's own style."""
        if self.style in EPOCHS:
            return str(place // EPOCHS[self.style])
        if self.unit == "number":
            return plain(place)
        return _STYLES[self.style](place) + ("" if self.zone is None else _zone(self.zone))


EPOCHS = {"seconds": SECOND, "milliseconds": 10**6, "microseconds": 1000, "nanoseconds": 1}


def moment(place: int) -> datetime:
    """A time, to the microsecond."""
    return _EPOCH + timedelta(microseconds=place // 1000)


def place_of(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def _write_moment(place: int) -> str:
    text = moment(place - place % SECOND).isoformat(sep=" ")
    return text + (f".{place % SECOND:09d}".rstrip("0") if place % SECOND else "")


def _write_clock(place: int) -> str:
    seconds, rest = divmod(place, SECOND)
    text = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + (f".{rest:09d}".rstrip("0") if rest else "")


def plain(billionths: int) -> str:
    """A number as it is written: `0.02`."""
    text = f"{Decimal(billionths) / SECOND:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _zone(minutes: int) -> str:
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


_STYLES: dict[str, Callable[[int], str]] = {
    "day": lambda place: moment(place).date().isoformat(),
    "moment": _write_moment,
    "month": lambda place: f"{moment(place):%Y-%m}",
    "quarter": lambda place: f"{moment(place).year}-Q{(moment(place).month + 2) // 3}",
    "year": lambda place: f"{moment(place).year}",
    "clock": _write_clock,
    "fractions": plain,
}
