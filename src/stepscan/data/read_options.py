"""How the data files of a task are read, where their names do not tell it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from stepscan.data.bad_lines import BadLines
from stepscan.data.format_detection import labelled_format
from stepscan.data.labelled_trees import SUBTREES, TREES
from stepscan.data.series.time_options import TimeOptions
from stepscan.errors import SettingsError
from stepscan.options import TASKS, ReadingOptions, settings_of

Files = Sequence[str | Path]


class ReadOptions(NamedTuple):
    """How data files are read, where their names do not tell it.

    Attributes:
        format: of the files; None: by their names and first lines.
        text_column, label_column, source_column, target_column: columns of tables, by name or by position from 1; None:
            by their usual names.
        delimiter: separates the fields of CSV and TSV; None: what fits the first lines.
        header: whether the first row of CSV and TSV names the columns; None: if it looks like names.
        field: the CoNLL-U field to tag with.
        token_column, tag_column: columns of CoNLL files.
        problem_type: how labels are parsed, a key of `stepscan.data.labels.PARSERS`.
        time_column, ignore_time, sort, fill, day_first, step, series_column: of numeric series; see
            `stepscan.data.series.time_options.TimeOptions`.
        bad_lines: skips and counts bad lines; None: the first one is an error.
    """

    format: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    source_column: str | None = None
    target_column: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    field: str = "upos"
    token_column: str | None = None
    tag_column: str | None = None
    problem_type: str = "classification"
    time_column: str | None = None
    ignore_time: bool = False
    sort: bool = False
    fill: str | None = None
    day_first: bool | None = None
    step: str = ""
    series_column: str | None = None
    bad_lines: BadLines | None = None

    @property
    def times(self) -> TimeOptions:
        """The options for the times of series."""
        return TimeOptions(
            self.time_column, self.ignore_time, self.sort, self.fill, self.day_first, self.step, self.series_column
        )

    def non_default(self, without: Collection[str] = ()) -> list[str]:
        """The command-line options of all fields that differ from their defaults, except the fields in `without`."""
        names = [name for name, default in self._field_defaults.items() if getattr(self, name) != default]
        return [self._option(name) for name in names if name not in {"bad_lines", *without}]

    def _option(self, name: str) -> str:
        negated = {"header": "no_header", "day_first": "month_first"} if getattr(self, name) is False else {}
        return f"--{negated.get(name, name).replace('_', '-')}"


_TASK_OPTIONS = {
    task: {name for name, one in settings_of(ReadingOptions).items() if task in (one.option.tasks or TASKS)}
    for task in TASKS
}
_TASK_OPTIONS["classify"].add("problem_type")
_TASK_OPTIONS["forecast"].add("step")
TEXT_OPTIONS = ("text_column", "source_column", "target_column", "delimiter", "header")


def check_task_options(task: str, options: ReadOptions) -> None:
    """Check that all options that were set are options of the task.

    Raises:
        SettingsError: one is not.
    """
    if unused := options.non_default(_TASK_OPTIONS[task]):
        raise SettingsError(f"{unused[0]} is not an option of {task}")


def check_text_options(path: str | Path, options: ReadOptions) -> None:
    """Check that no option for the times of series is set for a file of text.

    Raises:
        SettingsError: one is.
    """
    if names := options.times.non_default():
        raise SettingsError(f"{', '.join(names)}: expected series of numbers (--format numbers), got text in {path}")


def check_series_options(path: str | Path, options: ReadOptions) -> None:
    """Check that no option for text is set for a file of numbers.

    Raises:
        SettingsError: one is.
    """
    if options.bad_lines is not None:
        raise SettingsError(f"--skip-bad-lines: expected texts, got numbers in {path}; correct the file instead")
    if names := [name for name in TEXT_OPTIONS if getattr(options, name) is not None]:
        raise SettingsError(f"--{names[0].replace('_', '-')}: expected texts, got numbers in {path}; omit it")
    if options.token_column is not None or options.tag_column is not None:
        raise SettingsError("--token-column and --tag-column are for tagging words; for numbers use --label-column")


class TableOptions(TypedDict):
    """The arguments that every reader of texts has for tables."""

    format: str | None
    delimiter: str | None
    header: bool | None


def table_options(options: ReadOptions) -> TableOptions:
    """The options that are arguments of every reader of texts."""
    return TableOptions(format=options.format, delimiter=options.delimiter, header=options.header)


def options_for(files: Files, options: ReadOptions) -> ReadOptions:
    """The options for other files of the same data: a file of `label text` lines has no columns to name, and whole
    trees are predicted, whether or not a model learns from their parts."""
    if options.format == SUBTREES:
        return options._replace(format=TREES)
    if (options.text_column or options.label_column) and labelled_format(files[0], options.format) == "lines":
        return options._replace(text_column=None, label_column=None, delimiter=None, header=None)
    return options
