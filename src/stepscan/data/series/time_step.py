"""The step from one time of a series to the next: its length, its name, and the times that it leads to."""

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

from stepscan.data.series.times import DAY, SECOND, Times, format_billionths, to_datetime, to_tick
from stepscan.errors import SettingsError

logger = logging.getLogger(__name__)
_HOUR = 3600 * SECOND
_TIME_UNITS = {
    "week": 7 * DAY,
    "day": DAY,
    "hour": _HOUR,
    "minute": 60 * SECOND,
    "second": SECOND,
    "millisecond": 10**6,
    "microsecond": 1000,
    "nanosecond": 1,
}
_MONTH_UNITS = {"year": 12, "quarter": 3, "month": 1}


class TimeStep(NamedTuple):
    """The difference of two times.

    Attributes:
        unit: what `size` counts.
        size: nanoseconds ("time"), billionths ("number"), months ("month"), or 1 ("business day").
    """

    unit: Literal["time", "number", "month", "business day"]
    size: int

    def __str__(self) -> str:
        if self.unit == "business day":
            return "1 business day"
        if self.unit == "number":
            return format_billionths(self.size)
        units = _MONTH_UNITS if self.unit == "month" else _TIME_UNITS
        name, size = next((name, size) for name, size in units.items() if self.size % size == 0)
        count = self.size // size
        return f"{count} {name}{'s' * (count != 1)}"

    def between(self, before: int, after: int) -> int | None:
        """The number of steps from one tick to another; None if it is not a whole number.

        Steps of constant length may be too long or too short by a quarter, for clocks and sensors that jitter.
        """
        if self.unit in ("time", "number"):
            steps = (2 * (after - before) + self.size) // (2 * self.size)
            return steps if 4 * abs(after - before - steps * self.size) <= self.size else None
        first, last = to_datetime(before), to_datetime(after)
        if abs(before % DAY - after % DAY) > 2 * _HOUR:
            return None
        if self.unit == "month":
            steps, rest = divmod(_months(last) - _months(first), self.size)
            return None if rest or not _same_day_of_month(first, last) else steps
        if max(first.weekday(), last.weekday()) > 4:
            return None
        return int(np.busday_count(first.date(), last.date()))

    def after(self, tick: int, steps: int, month_end: bool = False) -> int:
        """The tick `steps` later.

        Args:
            tick: a time.
            steps: how many steps.
            month_end: whether months are counted from last day to last day; otherwise the day of the month stays the
                same where there is one.
        """
        if self.unit in ("time", "number"):
            return tick + steps * self.size
        now = to_datetime(tick)
        if self.unit == "business day":
            then: date = np.busday_offset(np.datetime64(now.date()), steps, roll="backward").astype(date)
            return to_tick(datetime.combine(then, now.time()))
        year, month = divmod(_months(now) + steps * self.size, 12)
        last = monthrange(year, month + 1)[1]
        return to_tick(now.replace(year=year, month=month + 1, day=last if month_end else min(now.day, last)))


def next_times(times: Times, step: TimeStep, count: int) -> list[str]:
    """The `count` times after a series, in the style of its column; none if they are after the year 9999."""
    last, month_end = max(times.ticks), are_month_ends(times, step)
    if step.unit == "month" and not month_end and len({to_datetime(tick).day for tick in times.ticks}) > 4:
        return []  # such as the third Friday of each month
    try:
        return [times.write(step.after(last, number, month_end)) for number in range(1, count + 1)]
    except (ValueError, OverflowError):
        return []


def _same_day_of_month(first: datetime, last: datetime) -> bool:
    """Whether two days correspond in their months: by number, from the end, or as, say, third Fridays."""
    days_left = (monthrange(day.year, day.month)[1] - day.day for day in (first, last))
    same_weekday = first.weekday() == last.weekday() and (first.day - 1) // 7 == (last.day - 1) // 7
    return abs(last.day - first.day) <= 3 or max(days_left) <= 3 or same_weekday


def are_month_ends(times: Times, step: TimeStep) -> bool:
    """Whether the step is in months and all times are on the last day of theirs."""
    days = map(to_datetime, times.ticks if step.unit == "month" else ())
    return step.unit == "month" and all(day.day == monthrange(day.year, day.month)[1] for day in days)


def _months(time: datetime) -> int:
    return time.year * 12 + time.month - 1


def parse_step(text: str) -> TimeStep | None:
    """The step that a setting names: `month`, `15 minutes`, `business day`, `0.02`; None for "".

    Raises:
        SettingsError: the text is not a step.
    """
    if not text.strip():
        return None
    count, name = re.fullmatch(r"\s*(\d*\.?\d*)\s*(.*?)s?\s*", text.lower(), re.DOTALL).groups()  # type: ignore[union-attr]
    number = float(count) if count.strip(".") else 1.0
    if number > 0 and name == "business day" and number == 1:
        return TimeStep("business day", 1)
    if number > 0 and name in _MONTH_UNITS and number.is_integer():
        return TimeStep("month", int(number) * _MONTH_UNITS[name])
    if number > 0 and (name in _TIME_UNITS or not name):
        return TimeStep("time" if name else "number", round(number * _TIME_UNITS.get(name, SECOND)))
    units = ", ".join([*_MONTH_UNITS, *_TIME_UNITS, "business day"])
    raise SettingsError(f"step: expected a number and a unit ({units}), such as '15 minutes', got {text!r}")


def expected_step(columns: Sequence[Times], path: str | Path, model_step: str) -> TimeStep | None:
    """The step that the times of a file must follow: that of the model, or else their own; None without times.

    Args:
        columns: the times of each series.
        path: the file, for a warning.
        model_step: the step of the model, or "".

    Raises:
        SettingsError: `model_step` is not a step.
    """
    trained = parse_step(model_step)
    if not columns or trained is None:
        return infer_step(*columns)
    if (trained.unit == "number") == (columns[0].unit == "number"):
        return trained
    logger.warning(f"{path}: its times cannot be compared with the model's step, {trained}")
    return infer_step(*columns)


def infer_step(*columns: Times) -> TimeStep | None:
    """The most frequent step between successive times, in order of time; None if no two times differ."""
    pairs = [pair for column in columns for pair in itertools.pairwise(sorted(set(column.ticks)))]
    if not pairs:
        return None
    unit = columns[0].unit
    candidates = [TimeStep(unit, _most_common(b - a for a, b in pairs))]
    exact = len(pairs) > 2 and all(b - a == candidates[0].size for a, b in pairs)
    if exact and candidates[0].size < 32 * DAY:  # three successive months never have the same length
        return candidates[0]
    if unit == "time" and candidates[0].size >= DAY:
        if months := _most_common(_months(to_datetime(b)) - _months(to_datetime(a)) for a, b in pairs):
            candidates.insert(0, TimeStep("month", months))
        candidates.append(TimeStep("business day", 1))
    return max(candidates, key=lambda step: sum(_is_one_step(step, a, b) for a, b in pairs))


def _most_common(differences: Iterable[int]) -> int:
    """The most common difference, of equally common ones the smallest; or the median, if none is common (jitter)."""
    counts = Counter(differences)
    best = min(counts, key=lambda difference: (-counts[difference], difference))
    return best if 4 * counts[best] >= counts.total() else sorted(counts.elements())[counts.total() // 2]


def _is_one_step(step: TimeStep, before: int, after: int) -> bool:
    return after - before == step.size if step.unit in ("time", "number") else step.between(before, after) == 1
