"""Values that each have a time, `(2007-05-14 00:00:00,23.2),(…)`, as `.ts` files have them with `@timeStamps true`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from stepscan.data.series.regular_series import History, filled, regular
from stepscan.data.series.time_formats import read_times
from stepscan.data.series.time_step import TimeOptions, TimeStep, checked, common_step
from stepscan.data.series.values import stacked, values_of, values_with_gaps
from stepscan.errors import DataError

_PAIRS = re.compile(r"\(([^()]*),([^(),]*)\)")
_COLON = re.compile(r":(?![^()]*\))")  # not one within a time


def parts(row: str) -> list[str]:
    """The dimensions of a series, and its label."""
    return _COLON.split(row)


def series(
    dimensions: Sequence[str], path: str | Path, line: int, reading: TimeOptions, step: TimeStep | None
) -> History:
    """A series whose dimensions have the same times, each `step` after the last: that of the series before, if any.

    Raises:
        DataError: what is not pairs, times that differ between dimensions, and as `read_times` and `regular` do.
    """
    checked(reading)
    found = [_times_and_cells(text, path, line, number) for number, text in enumerate(dimensions, start=1)]
    read = values_with_gaps if reading.fill else values_of
    values = stacked([read(cells, path, line) for _, cells in found], path, line)
    for number, (written, _) in enumerate(found, start=1):
        if written != found[0][0]:
            place = next(i for i, (a, b) in enumerate(zip(written, found[0][0], strict=True)) if a != b)
            reason = f"expected dimension {number} to have the times of dimension 1, but value {place + 1} has "
            raise DataError(f"{reason}{written[place]} and not {found[0][0][place]}.", path=path, line=line)
    if reading.ignore or not len(values):
        return History(values)
    times = read_times([(line, time) for time in found[0][0]], path, reading.day_first)
    step = step or common_step([times], path, reading)
    return History(filled(regular(times, step, path, reading).of(values), reading.fill, path), times, step)


def _times_and_cells(text: str, path: str | Path, line: int, number: int) -> tuple[list[str], list[str]]:
    rest = _PAIRS.sub("", text)
    if rest.strip(", \t"):
        got = rest.strip(", ")[:40]
        reason = f"expected (time,value) pairs in dimension {number}, as @timeStamps says, got {got!r}."
        raise DataError(reason, path=path, line=line)
    pairs = _PAIRS.findall(text)
    return [time.strip() for time, _ in pairs], [value.strip() for _, value in pairs]
