"""Series whose times must follow a step: unsorted rows, gaps and duplicates are errors, or are sorted and filled."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stepscan.data.series.time_options import TimeOptions
from stepscan.data.series.time_step import TimeStep, are_month_ends, infer_step
from stepscan.data.series.times import SECOND, Times, to_datetime
from stepscan.data.series.values import Values
from stepscan.errors import DataError

logger = logging.getLogger(__name__)
_HOUR = 3600 * SECOND


class TimedSeries(NamedTuple):
    """A series `[T, D]`, its times and their step (None if it has none), and its name in the file."""

    values: Values
    times: Times | None = None
    step: TimeStep | None = None
    name: str = ""


class Alignment(NamedTuple):
    """How the rows of a file become a series without gaps.

    Attributes:
        order: the rows, sorted by time.
        positions: the position of each of them in the series.
    """

    order: list[int]
    positions: list[int]

    def apply(self, values: Values) -> Values:
        """The values `[T, D]` in order, with NaN for missing rows."""
        aligned = np.full((self.positions[-1] + 1, values.shape[1]), np.nan)
        aligned[self.positions] = values[self.order]
        return aligned


def align_rows(times: Times, step: TimeStep | None, path: str | Path, options: TimeOptions) -> Alignment:
    """Check that each row of a series is one step after the one before it; sort and fill as the options say.

    Raises:
        DataError: names the first row that is not, and the remedy.
    """
    order = list(range(len(times.ticks)))
    if any(_is_unsorted(times, a, b, step) for a, b in itertools.pairwise(order)):
        if not options.sort:
            raise _unsorted(times, path, step)
        order.sort(key=times.ticks.__getitem__)
        logger.info(f"{path}: the rows were sorted by time")
    positions = [0]
    for before, after in itertools.pairwise(order):
        steps = _steps(times, before, after, step)
        if steps != 1 and not (options.fill and steps):
            raise _irregular(times, before, after, steps, step, path, options)
        positions.append(positions[-1] + steps)
    missing = positions[-1] + 1 - len(positions)
    if missing > 1000 + 10 * len(positions):
        raise DataError(
            f"expected few gaps to fill, got {missing:,} missing rows for {len(positions):,} rows.",
            path=path,
            line=times.lines[0],
            hint="Is the step right, and the file sorted?",
        )
    if missing:
        logger.info(f"{path}: {missing} missing rows were filled (--fill {options.fill})")
    return Alignment(order, positions)


def is_regular(times: Times) -> bool:
    """Whether each time is one step after the one before it."""
    step = infer_step(times)
    return all(_steps(times, before, before + 1, step) == 1 for before in range(len(times.ticks) - 1))


def _steps(times: Times, before: int, after: int, step: TimeStep | None) -> int | None:
    """The number of steps from one row to a later one; None if it is not a whole number."""
    a, b = times.ticks[before], times.ticks[after]
    if step is None or a == b:
        return 1 if step and _clocks_change(times, a, b, step) else 0
    return 1 if _clocks_change(times, a, b, step) else step.between(a, b)


def _is_unsorted(times: Times, before: int, after: int, step: TimeStep | None) -> bool:
    a, b = times.ticks[before], times.ticks[after]
    return b < a and not (step and _clocks_change(times, a, b, step))


def _clocks_change(times: Times, before: int, after: int, step: TimeStep) -> bool:
    """Whether local time without a zone jumps an hour ahead or back, on a Sunday when daylight saving changes."""
    ahead = after - before - step.size == _HOUR
    if times.style != "moment" or times.zone is not None or step.size > _HOUR or step.unit != "time":
        return False
    if not ahead and after - before - step.size != -_HOUR:
        return False
    a, b = to_datetime(before), to_datetime(after)
    if a.weekday() != 6 or a.date() != b.date() or max(a.hour, b.hour) > 4:
        return False
    first, second, last = a.day <= 7, 8 <= a.day <= 14, a.day >= (24 if a.month == 9 else 25)
    if ahead:
        return {3: second or last, 9: last, 10: first}.get(a.month, False)
    return {4: first, 10: last, 11: first}.get(a.month, False)


_DUPLICATE_HINT = "Remove one of the two rows, name the column of several series with --series-column, or "
_IGNORE_HINT = "keep the rows as they are with --ignore-time."


def _unsorted(times: Times, path: str | Path, step: TimeStep | None) -> DataError:
    pairs = itertools.pairwise(range(len(times.ticks)))
    before, after = next(pair for pair in pairs if _is_unsorted(times, *pair, step))
    is_descending = all(b < a for a, b in itertools.pairwise(times.ticks))
    newest = ": the newest row is first" if is_descending else ""
    reason = f"expected ascending times, got {_at(times, after)} after {_at(times, before, with_line=True)}{newest}."
    return DataError(reason, path=path, line=times.lines[after], hint=f"Sort the rows with --sort, or {_IGNORE_HINT}")


def _irregular(
    times: Times,
    before: int,
    after: int,
    steps: int | None,
    step: TimeStep | None,
    path: str | Path,
    options: TimeOptions,
) -> DataError:
    previous = _at(times, before, with_line=True)
    expected = f"a time after {previous}"
    if step is not None:
        due = times.write(step.after(times.ticks[before], 1, are_month_ends(times, step)))
        if due == times.write(times.ticks[before]):  # the step is finer than the style can write
            due = f"a time {step}"
        whose = "the model's" if options.step else "a"
        expected = f"{due} after {previous}, with {whose} step of {step}"
    got, hint = f"got {_at(times, after)}", f"Bring the rows to this step, or {_IGNORE_HINT}"
    if times.ticks[before] == times.ticks[after]:
        got, hint = f"{got} again", _DUPLICATE_HINT + _IGNORE_HINT
    elif steps and steps > 1:
        count = f"{steps - 1} rows are" if steps > 2 else "1 row is"
        got, hint = f"{got}: {count} missing", f"Fill gaps with --fill linear, previous or zero, or {_IGNORE_HINT}"
    return DataError(f"expected {expected}, {got}.", path=path, line=times.lines[after], hint=hint)


def _at(times: Times, row: int, *, with_line: bool = False) -> str:
    return times.write(times.ticks[row]) + (f" (line {times.lines[row]})" if with_line else "")


def fill_gaps(values: Values, fill: str | None, path: str | Path) -> Values:
    """A copy of the values `[T, D]` in which NaN is filled.

    Args:
        values: a series.
        fill: "linear" interpolates, "previous" repeats the value before, "zero" writes 0; None if no value is NaN.
        path: its file, for errors.

    Raises:
        DataError: a dimension begins (or, for "linear", ends) with NaN.
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
            reason = f"expected a value to fill from, got a dimension whose {end} value is missing."
            raise DataError(reason, path=path)
        elif fill == "linear":
            column[lacks] = np.interp(steps[lacks], known, column[known])
        else:
            column[:] = column[np.maximum.accumulate(np.where(lacks, 0, steps))]
    return values
