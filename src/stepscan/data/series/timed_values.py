"""Values with times, `(2007-05-14 00:00:00,23.2),(…)`, as `.ts` files have them under `@timeStamps true`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from stepscan.data.series.regular_series import TimedSeries, align_rows, fill_gaps
from stepscan.data.series.time_options import TimeOptions, check_time_options
from stepscan.data.series.time_parser import read_times
from stepscan.data.series.time_step import TimeStep, expected_step
from stepscan.data.series.values import parse_values, parse_values_with_gaps, stack_dimensions
from stepscan.errors import DataError

_PAIRS = re.compile(r"\(([^()]*),([^(),]*)\)")
_COLON = re.compile(r":(?![^()]*\))")  # not within a time


def split_dimensions(row: str) -> list[str]:
    """The dimensions of a series and its label, which colons separate."""
    return _COLON.split(row)


def parse_timed_series(
    dimensions: Sequence[str], path: str | Path, line: int, options: TimeOptions, step: TimeStep | None
) -> TimedSeries:
    """Parse a series whose dimensions have the same times.

    Args:
        dimensions: `(time,value)` pairs, as text.
        path, line: where they are, for messages.
        options: how times are read.
        step: that of the series before it in the file; None: of the model, or its own.

    Raises:
        SettingsError: options that exclude each other.
        DataError: something other than pairs, dimensions with different times, times that do not follow the step.
    """
    check_time_options(options)
    pairs = [_parse_pairs(text, path, line, number) for number, text in enumerate(dimensions, start=1)]
    parse = parse_values_with_gaps if options.fill else parse_values
    values = stack_dimensions([parse(cells, path, line) for _, cells in pairs], path, line)
    first = pairs[0][0]
    for number, (texts, _) in enumerate(pairs, start=1):
        if texts != first:
            index = next(i for i, (a, b) in enumerate(zip(texts, first, strict=True)) if a != b)
            reason = (
                f"expected the time {first[index]} for value {index + 1} of dimension {number}, as in dimension 1, "
                f"got {texts[index]}."
            )
            raise DataError(reason, path=path, line=line)
    if options.ignore or not len(values):
        return TimedSeries(values)
    times = read_times([(line, time) for time in first], path, options.day_first)
    step = step or expected_step([times], path, options.step)
    aligned = align_rows(times, step, path, options).apply(values)
    return TimedSeries(fill_gaps(aligned, options.fill, path), times, step)


def _parse_pairs(text: str, path: str | Path, line: int, dimension: int) -> tuple[list[str], list[str]]:
    """The times and the values of a dimension."""
    rest = _PAIRS.sub("", text)
    if rest.strip(", \t"):
        got = rest.strip(", ")[:40]
        reason = f"expected (time,value) pairs in dimension {dimension} (@timeStamps true), got {got!r}."
        raise DataError(reason, path=path, line=line)
    pairs = _PAIRS.findall(text)
    return [time.strip() for time, _ in pairs], [value.strip() for _, value in pairs]
