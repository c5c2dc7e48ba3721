"""The step from one time to the next: what it is, its name, and the times that come next."""

from __future__ import annotations

import itertools
import logging
import re
from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from stepscan.data.series.times import DAY, SECOND, Times, moment, place_of, plain
from stepscan.errors import SettingsError

logger = logging.getLogger(__name__)
FILLS = ("linear", "previous", "zero")
_HOUR = 3600 * SECOND
_SIZES = {
    "week": 7 * DAY,
    "day": DAY,
    "hour": _HOUR,
    "minute": 60 * SECOND,
    "second": SECOND,
    "millisecond": 10**6,
    "microsecond": 1000,
    "nanosecond": 1,
}
_IN_MONTHS = {"year": 12, "quarter": 3, "month": 1}


class TimeOptions(NamedTuple):
    """How the times of series are read."""

    column: str | None = None  # a name, a position from 1, or "none"; without it, what looks like times
    ignore: bool = False  # leave the column out, unread
    sort: bool = False
    fill: str | None = None  # one of `FILLS`: rows that lack, and values
    day_first: bool | None = None
    step: str = ""  # the model's, which the times must have
    series: str | None = None  # column that names the series of a row, likewise

    def non_default(self) -> list[str]:
        """The options of the command line that ask for something."""
        named: dict[str, object] = {"--day-first": self.day_first, "--month-first": self.day_first is False}
        named |= {"--time-column": self.column, "--ignore-time": self.ignore, "--sort": self.sort, "--fill": self.fill}
        named |= {"--series-column": self.series}
        return [option for option, value in named.items() if value]


def refuse_times(kind: str, times: TimeOptions) -> None:
    """Raise a `SettingsError` if something is asked of the times of a file that has none."""
    if given := times.non_default():
        raise SettingsError(f"A file in format {kind!r} has no times; {', '.join(given)}: for 'numbers' and 'ts'.")


def refuse_names(kind: str, times: TimeOptions) -> None:
    """Raise a `SettingsError` if a column is to name the series of a file that has no columns."""
    if times.series is not None:
        raise SettingsError(f"A file in format {kind!r} has no columns to name; --series-column: for 'numbers'.")


class TimeStep(NamedTuple):
    """`size` units: billionths of a second ("time") or of one ("number"), months, or business days (1)."""

    unit: Literal["time", "number", "month", "business day"]
    size: int

    def __str__(self) -> str:
        if self.unit == "business day":
            return "1 business day"
        if self.unit == "number":
            return plain(self.size)
        sizes = _IN_MONTHS if self.unit == "month" else _SIZES
        name, size = next((name, size) for name, size in sizes.items() if self.size % size == 0)
        count = self.size // size
        return f"{count} {name}{'s' * (count != 1)}"

    def between(self, before: int, after: int) -> int | None:
        """How many steps there are from one time to another; None if it is not a whole number of them.

        Steps of equal length may be a quarter too long or too short, as clocks and sensors have it."""
        if self.unit in ("time", "number"):
            steps = (2 * (after - before) + self.size) // (2 * self.size)
            return steps if 4 * abs(after - before - steps * self.size) <= self.size else None
        first, last = moment(before), moment(after)
        if abs(before % DAY - after % DAY) > 2 * _HOUR:
            return None
        if self.unit == "month":
            steps, rest = divmod(_months(last) - _months(first), self.size)
            return None if rest or not _alike(first, last) else steps
        if max(first.weekday(), last.weekday()) > 4:
            return None
        return int(np.busday_count(first.date(), last.date()))

    def after(self, place: int, steps: int, month_end: bool = False) -> int:
        """The time so many steps on; of months, on the same day, or the last where there is none or at `month_end`."""
        if self.unit in ("time", "number"):
            return place + steps * self.size
        now = moment(place)
        if self.unit == "business day":
            then: date = np.busday_offset(np.datetime64(now.date()), steps, roll="backward").astype(date)
            return place_of(datetime.combine(then, now.time()))
        year, month = divmod(_months(now) + steps * self.size, 12)
        last = monthrange(year, month + 1)[1]
        return place_of(now.replace(year=year, month=month + 1, day=last if month_end else min(now.day, last)))


def ahead(times: Times, step: TimeStep, count: int) -> list[str]:
    """The times of the steps that come next, as the column writes times; none if they go beyond the year 9999."""
    last, ends = max(times.places), ends_months(times, step)
    if step.unit == "month" and not ends and len({moment(place).day for place in times.places}) > 4:
        return []  # such as the third Friday of each
    try:
        return [times.write(step.after(last, number, ends)) for number in range(1, count + 1)]
    except (ValueError, OverflowError):
        return []


def _alike(first: datetime, last: datetime) -> bool:
    """Whether two days stand in the same place of their months: by their number, from the end, or as third Fridays."""
    ends = (monthrange(day.year, day.month)[1] - day.day for day in (first, last))
    of_a_week = first.weekday() == last.weekday() and (first.day - 1) // 7 == (last.day - 1) // 7
    return abs(last.day - first.day) <= 3 or max(ends) <= 3 or of_a_week


def ends_months(times: Times, step: TimeStep) -> bool:
    days = map(moment, times.places if step.unit == "month" else ())
    return step.unit == "month" and all(day.day == monthrange(day.year, day.month)[1] for day in days)


def _months(time: datetime) -> int:
    return time.year * 12 + time.month - 1


def step_named(text: str) -> TimeStep | None:
    """The step that a setting names: `month`, `15 minutes`, `business day`, `0.02`; None for "".

    Raises:
        SettingsError: it names none.
    """
    if not text.strip():
        return None
    count, name = re.fullmatch(r"\s*(\d*\.?\d*)\s*(.*?)s?\s*", text.lower(), re.DOTALL).groups()  # type: ignore[union-attr]
    number = float(count) if count.strip(".") else 1.0
    if number > 0 and name == "business day" and number == 1:
        return TimeStep("business day", 1)
    if number > 0 and name in _IN_MONTHS and number.is_integer():
        return TimeStep("month", int(number) * _IN_MONTHS[name])
    if number > 0 and (name in _SIZES or not name):
        return TimeStep("time" if name else "number", round(number * _SIZES.get(name, SECOND)))
    known = ", ".join([*_IN_MONTHS, *_SIZES, "business day"])
    raise SettingsError(f"step: expected a number of one of {known}, such as '15 minutes', got {text!r}")


def common_step(columns: Sequence[Times], path: str | Path, reading: TimeOptions) -> TimeStep | None:
    """The step that the times of a file are held against: that of the training data, or else their own."""
    trained = step_named(reading.step)
    if not columns or trained is None:
        return step_of(*columns)
    if (trained.unit == "number") == (columns[0].unit == "number"):
        return trained
    logger.warning(f"{path}: its times cannot be compared with the model's step, {trained}")
    return step_of(*columns)


def step_of(*columns: Times) -> TimeStep | None:
    """The step that most times are from the one before, in order of time; None where no two differ."""
    pairs = [pair for column in columns for pair in itertools.pairwise(sorted(set(column.places)))]
    if not pairs:
        return None
    unit = columns[0].unit
    candidates = [TimeStep(unit, _commonest(b - a for a, b in pairs))]
    exact = len(pairs) > 2 and all(b - a == candidates[0].size for a, b in pairs)
    if exact and candidates[0].size < 32 * DAY:  # three months in a row are never of one length
        return candidates[0]
    if unit == "time" and candidates[0].size >= DAY:
        if months := _commonest(_months(moment(b)) - _months(moment(a)) for a, b in pairs):
            candidates.insert(0, TimeStep("month", months))
        candidates.append(TimeStep("business day", 1))
    return max(candidates, key=lambda step: sum(_is_exact(step, a, b) for a, b in pairs))


def _commonest(numbers: Iterable[int]) -> int:
    """Of equally common ones the least; where all are about equally rare, as of a clock that jitters, the median."""
    counted = Counter(numbers)
    best = min(counted, key=lambda number: (-counted[number], number))
    return best if 4 * counted[best] >= counted.total() else sorted(counted.elements())[counted.total() // 2]


def _is_exact(step: TimeStep, before: int, after: int) -> bool:
    return after - before == step.size if step.unit in ("time", "number") else step.between(before, after) == 1


def checked(reading: TimeOptions) -> None:
    """Raise a SettingsError for settings that are not known, or that contradict each other."""
    if reading.fill is not None and reading.fill not in FILLS:
        raise SettingsError(f"--fill: expected {', '.join(FILLS)}, got {reading.fill!r}")
    if reading.ignore and (reading.sort or reading.column):
        raise SettingsError("--ignore-time reads no times: omit --sort and --time-column")
    step_named(reading.step)
