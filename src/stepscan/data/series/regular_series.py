"""Series held against the step of their times: rows out of order, gaps and doubles are errors, or mended as asked."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stepscan.data.series.time_step import TimeOptions, TimeStep, ends_months, step_of
from stepscan.data.series.times import SECOND, Times, moment
from stepscan.data.series.values import Values
from stepscan.errors import DataError

logger = logging.getLogger(__name__)
_HOUR = 3600 * SECOND


class History(NamedTuple):
    """A series `[T, D]`, and when its steps are, where that is known."""

    values: Values
    times: Times | None = None
    step: TimeStep | None = None
    name: str = ""  # in its file


class Rows(NamedTuple):
    """Which row of a file comes when: `order` sorts them, `places` are their places in a series without gaps."""

    order: list[int]
    places: list[int]

    def of(self, values: Values) -> Values:
        """The values in order; NaN where a row lacks."""
        found = np.full((self.places[-1] + 1, values.shape[1]), np.nan)
        found[self.places] = values[self.order]
        return found


def regular(times: Times, step: TimeStep | None, path: str | Path, reading: TimeOptions) -> Rows:
    """The rows of a series, if each is one step after the one before.

    Raises:
        DataError: names the first that is not, and the remedy.
    """
    order = list(range(len(times.places)))
    if any(_is_unsorted(times, a, b, step) for a, b in itertools.pairwise(order)):
        if not reading.sort:
            raise _unsorted(times, path, step)
        order.sort(key=times.places.__getitem__)
        logger.info(f"{path}: the rows were sorted by time")
    places = [0]
    for before, after in itertools.pairwise(order):
        steps = _steps(times, before, after, step)
        if steps != 1 and not (reading.fill and steps):
            raise _departs(times, before, after, steps, step, path, reading)
        places.append(places[-1] + steps)
    missing = places[-1] + 1 - len(places)
    if missing > 1000 + 10 * len(places):
        raise DataError(
            f"expected few gaps to fill, but {missing:,} rows are missing beside {len(places):,}.",
            path=path,
            line=times.lines[0],
            hint="Is the step right, and the file sorted?",
        )
    if missing:
        logger.info(f"{path}: {missing} missing rows were filled (--fill {reading.fill})")
    return Rows(order, places)


def is_regular(times: Times) -> bool:
    """Whether each time is one step after the one before."""
    step = step_of(times)
    return all(_steps(times, before, before + 1, step) == 1 for before in range(len(times.places) - 1))


def _steps(times: Times, before: int, after: int, step: TimeStep | None) -> int | None:
    """From one row to a later one; None for no whole number."""
    a, b = times.places[before], times.places[after]
    if step is None or a == b:
        return 1 if step and _clocks_change(times, a, b, step) else 0
    return 1 if _clocks_change(times, a, b, step) else step.between(a, b)


def _is_unsorted(times: Times, before: int, after: int, step: TimeStep | None) -> bool:
    a, b = times.places[before], times.places[after]
    return b < a and not (step and _clocks_change(times, a, b, step))


def _clocks_change(times: Times, before: int, after: int, step: TimeStep) -> bool:
    """Whether local time without a zone jumps an hour ahead (or back) here, on the Sundays when clocks are changed."""
    ahead = after - before - step.size == _HOUR
    if times.style != "moment" or times.zone is not None or step.size > _HOUR or step.unit != "time":
        return False
    if not ahead and after - before - step.size != -_HOUR:
        return False
    a, b = moment(before), moment(after)
    if a.weekday() != 6 or a.date() != b.date() or max(a.hour, b.hour) > 4:
        return False
    first, second, last = a.day <= 7, 8 <= a.day <= 14, a.day >= (24 if a.month == 9 else 25)
    if ahead:
        return {3: second or last, 9: last, 10: first}.get(a.month, False)
    return {4: first, 10: last, 11: first}.get(a.month, False)


_TWICE = "Remove one of the two rows, name the column of several series with --series-column, or "
_IGNORE = "read the rows as they stand with --ignore-time."


def _unsorted(times: Times, path: str | Path, step: TimeStep | None) -> DataError:
    pairs = itertools.pairwise(range(len(times.places)))
    before, after = next(pair for pair in pairs if _is_unsorted(times, *pair, step))
    falling = all(b < a for a, b in itertools.pairwise(times.places))
    newest = "the newest row stands first: " if falling else ""
    reason = f"expected times in order, but {newest}{_said(times, after)} comes after {_said(times, before, path)}."
    return DataError(reason, path=path, line=times.lines[after], hint=f"Sort the rows with --sort, or {_IGNORE}")


def _departs(
    times: Times,
    before: int,
    after: int,
    steps: int | None,
    step: TimeStep | None,
    path: str | Path,
    reading: TimeOptions,
) -> DataError:
    expected = f"a time after {_said(times, before, path)}"
    if step is not None:
        due = times.write(step.after(times.places[before], 1, ends_months(times, step)))
        if due == times.write(times.places[before]):  # the step is finer than what is written
            due = f"a time {step}"
        trained = ", the model's" if reading.step else ""
        expected = f"{due} after {_said(times, before, path)} (the step is {step}{trained})"
    got, hint = f"got {_said(times, after)}", f"Bring the rows to this step, or {_IGNORE}"
    if times.places[before] == times.places[after]:
        got, hint = f"{got} again", _TWICE + _IGNORE
    elif steps and steps > 1:
        count = f"{steps - 1} rows are" if steps > 2 else "1 row is"
        got, hint = f"{got}: {count} missing", f"Fill gaps with --fill linear, previous or zero, or {_IGNORE}"
    return DataError(f"expected {expected}, {got}.", path=path, line=times.lines[after], hint=hint)


def _said(times: Times, row: int, path: str | Path = "") -> str:
    return times.write(times.places[row]) + (f" (line {times.lines[row]})" if path else "")


def filled(values: Values, fill: str | None, path: str | Path) -> Values:
    """The values with those that are NaN filled.

    Raises:
        DataError: there is nothing to fill them from.
    """
    missing = np.isnan(values)
    if not missing.any():
        return values
    values, steps = values.copy(), np.arange(len(values))
    for column, lacks in zip(values.T, missing.T, strict=True):  # views: filled in place
        known = np.flatnonzero(~lacks)
        if fill == "zero":
            column[lacks] = 0
        elif not len(known) or known[0] > 0 or (fill == "linear" and known[-1] < len(values) - 1):
            end = "last" if len(known) and not known[0] else "first"
            raise DataError(f"the {end} value of a dimension is missing, and there is none to fill it from.", path=path)
        elif fill == "linear":
            column[lacks] = np.interp(steps[lacks], known, column[known])
        else:
            column[:] = column[np.maximum.accumulate(np.where(lacks, 0, steps))]
    return values
