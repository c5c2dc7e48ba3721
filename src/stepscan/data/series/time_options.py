"""How the times of series are read."""

from __future__ import annotations

from typing import NamedTuple

from stepscan.data.series.time_step import parse_step
from stepscan.errors import SettingsError

FILL_METHODS = ("linear", "previous", "zero")


class TimeOptions(NamedTuple):
    """How the times of series are read.

    Attributes:
        column: the column of times: a name, a position from 1, or "none" (every column holds values); None: the columns
            that look like times.
        ignore: leave the columns of times out unread, and take the rows in their order.
        sort: sort the rows by time.
        fill: a method of `FILL_METHODS` that fills missing rows and values; None: they are errors.
        day_first: whether `01/02/2021` is in February; None: decided from the whole column.
        step: the step of the model, such as "1 month", which the times must follow; "": their own.
        series: the column that names the series of a row: a name, a position from 1, or "none"; None: a column that
            looks like it.
    """

    column: str | None = None
    ignore: bool = False
    sort: bool = False
    fill: str | None = None
    day_first: bool | None = None
    step: str = ""
    series: str | None = None

    def non_default(self) -> list[str]:
        """The command-line options of all fields that the user has set."""
        options: dict[str, object] = {"--day-first": self.day_first, "--month-first": self.day_first is False}
        options |= {"--time-column": self.column, "--ignore-time": self.ignore, "--sort": self.sort}
        options |= {"--fill": self.fill, "--series-column": self.series}
        return [option for option, value in options.items() if value]


DEFAULT_TIMES = TimeOptions()


def check_time_options(options: TimeOptions) -> None:
    """Check the options for times.

    Raises:
        SettingsError: an unknown fill method or step, or options that exclude each other.
    """
    if options.fill is not None and options.fill not in FILL_METHODS:
        raise SettingsError(f"--fill: expected one of {', '.join(FILL_METHODS)}, got {options.fill!r}")
    if options.ignore and (options.sort or options.column):
        raise SettingsError("--ignore-time excludes --sort and --time-column; omit it or them")
    parse_step(options.step)


def refuse_times(format: str, options: TimeOptions) -> None:
    """Raise a SettingsError if an option for times is set for a format without times."""
    if names := options.non_default():
        raise SettingsError(f"{', '.join(names)}: expected a format with times ('numbers' or 'ts'), got {format!r}")


def refuse_series_column(format: str, options: TimeOptions) -> None:
    """Raise a SettingsError if a column of series names is chosen for a format without columns."""
    if options.series is not None:
        raise SettingsError(f"--series-column: expected format 'numbers', got {format!r}, which has no columns")
