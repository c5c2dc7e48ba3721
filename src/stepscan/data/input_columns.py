"""The column of a model's input in tables whose rows hold values: JSON Lines, Parquet, data sets of Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from stepscan.data.example_lines import require_string
from stepscan.data.headers import Column
from stepscan.data.json_lines import json_kind
from stepscan.data.parallel_texts import SOURCE_NAMES
from stepscan.data.read_options import ReadOptions, check_task_options
from stepscan.data.series.checks import checked_series
from stepscan.errors import DataError, SettingsError

COLUMNS = ("text_column", "source_column", "token_column")  # options that name the column of the inputs
TEXT_NAMES = ("sentence", "review", "content")
TOKEN_NAMES = ("words", "text")  # of lists in JSON Lines and data sets
_SERIES_NAMES = ("values", "signal", "target", "input")
TEXT_HINT = "Name it with --text-column (text_column), by name or by position from 1."
SOURCE_HINT = "Name it with --source-column (source_column), by name or by position from 1."
_SERIES_HINT = "Call it series or values; or name it: predict --text-column, in Python text_column."
LISTS_HINT = (
    "JSON Lines and data sets have a list of tokens and one of their tags; name them with --token-column and "
    "--tag-column."
)


class InputColumn(NamedTuple):
    """How a model's input is read from a row.

    Attributes:
        column: which column it is.
        hint: tells the user how to name it, for errors.
        read: value, file and row → the input; raises a DataError that names file and row.
    """

    column: Column
    hint: str
    read: Callable[[Any, str | Path, int], Any]

    def find(self, names: list[str], path: str | Path) -> str:
        """The name of the column among those of a table; for `outer.inner` that of `outer`.

        Raises:
            DataError: none or several of the names may be the column.
        """
        outer, dot, _ = str(self.column.selector).partition(".")
        if dot and str(self.column.selector) not in names and outer in names:
            return outer
        return names[self.column.index_by_name(names, path, 1, noun="column", hint=self.hint)]

    def value(self, cell: Any, name: str) -> Any:
        """The value that is chosen in a cell of the column `name`: itself, or what `outer.inner` names in it."""
        selector = str(self.column.selector)
        if "." not in selector or name == selector or name.casefold() == selector.casefold():
            return cell
        for key in selector.split(".")[1:]:
            cell = cell.get(key) if isinstance(cell, dict) else None
        return cell


def text_column(selector: str | int | None) -> Column:
    """The column of texts."""
    return Column("text", selector, TEXT_NAMES)


def source_column(selector: str | int | None) -> Column:
    """The column of texts to translate."""
    return Column("source", selector, (*SOURCE_NAMES, *TEXT_NAMES), 1)


def token_column(selector: str | int | None) -> Column:
    """The column of lists of tokens."""
    return Column("tokens", selector, TOKEN_NAMES)


def input_column(task: str, dimensions: int | None, options: ReadOptions) -> InputColumn:
    """The column that models of a task predict from.

    Args:
        task: of the model.
        dimensions: numbers per step of the series that the model reads; None for a model of texts.
        options: `text_column` also names the source of a translation, and the column of series.

    Raises:
        SettingsError: an option that is not one of the task, or is for files of another kind.
    """
    series = dimensions is not None
    check_task_options(task, options._replace(text_column=None) if task == "translate" or series else options)
    if other := options.non_default(without=COLUMNS):
        raise SettingsError(f"{', '.join(other)}: expected files of text, got a table of values; omit it")
    if series:
        return InputColumn(
            Column("series", options.text_column, _SERIES_NAMES),
            _SERIES_HINT,
            lambda value, path, row: _series(value, dimensions, path, row),
        )
    if task == "tag":
        return InputColumn(
            token_column(options.token_column),
            LISTS_HINT,
            lambda value, path, row: require_strings(value, "tokens", path, row),
        )
    if task == "translate":
        selector = options.source_column if options.source_column is not None else options.text_column
        return InputColumn(
            source_column(selector), SOURCE_HINT, lambda value, path, row: require_string(value, "source", path, row)
        )
    return InputColumn(
        text_column(options.text_column), TEXT_HINT, lambda value, path, row: require_string(value, "text", path, row)
    )


def require_strings(value: object, role: str, path: str | Path, line: int) -> list[str]:
    """The value if it is a list of strings, none of them empty.

    Raises:
        DataError: it is not; names the first item that is no string.
    """
    if not isinstance(value, list):
        raise DataError(f"expected a list of strings as the {role}, got {json_kind(value)}.", path=path, line=line)
    for number, item in enumerate(value, start=1):
        if not isinstance(item, str) or not item:
            got = f"{json_kind(item)} ({item!r})" if item != "" else "an empty string"
            reason = f"expected a list of strings as the {role}, got {got} as item {number}."
            hint = "Replace numbers by their names." if isinstance(item, int) else ""
            raise DataError(reason, path=path, line=line, hint=hint)
    return value


def _series(value: object, dimensions: int | None, path: str | Path, row: int) -> Any:
    if not isinstance(value, list):
        reason = f"expected a list of numbers (or of lists of them) as the series, got {json_kind(value)}."
        raise DataError(reason, path=path, line=row)
    try:
        return checked_series([value], dimensions, "the series")[0]
    except SettingsError as error:
        raise DataError(f"{str(error).replace('the series 1', 'the series')}.", path=path, line=row) from None
