"""CSV, TSV, JSON Lines, Parquet and data sets as rows of chosen columns, each with its line number."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn

from stepscan.data.arrow import is_arrow, records
from stepscan.data.bad_lines import BadLines, keep, refuse
from stepscan.data.lines import Line, read_lines, whole_lines
from stepscan.errors import DataError, SettingsError, nearest

TABLE_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl"}


class Column(NamedTuple):
    """A column to be found: what it holds, how the user names it (if at all), and names to guess.

    `wanted` is a name (case matters only between names that differ in nothing else), or a position from 1 (an integer
    or a string of digits) in a file without a header; in JSON Lines it is always a key. Without it the column named
    `role` is taken, or else the only one named as in `guesses`.
    """

    role: str
    wanted: str | int | None = None
    guesses: tuple[str, ...] = ()

    @property
    def position(self) -> int | None:
        """The position from 1, or None for a column that goes by name."""
        digits = str(self.wanted)
        return int(digits) if digits.isascii() and digits.isdigit() else None


@dataclass(frozen=True)
class Table:
    """Some columns of a file; `hint` tells the user how to name them.

    Blank lines at the end of the file hold nothing, and one between rows is an error; but in CSV and TSV of one column
    a blank line is a row with an empty text.
    """

    path: str | Path
    format: str
    columns: tuple[Column, ...]
    hint: str
    bad_lines: BadLines | None = None  # skips them; the header is always needed

    def rows(self) -> Iterator[tuple[int, list[object]]]:
        """Stream `(line where the row begins, values in the order of columns)`; CSV and TSV give strings.

        Raises:
            SettingsError: some columns go by position and others by name.
            DataError: a column is missing, a row is broken, or there is no row.
        """
        if self.format == "arrow":
            return keep(enumerate(records(self.path), start=1), self._picked, self.bad_lines)
        return self._objects() if self.format == "jsonl" else self._delimited()

    def _objects(self) -> Iterator[tuple[int, list[object]]]:
        return keep(filled_lines(self.path, self.bad_lines), self._values, self.bad_lines)

    def _values(self, row: tuple[int, str]) -> tuple[int, list[object]]:
        number, line = row
        return self._picked((number, _parse_object(line, self.path, number)))

    def _picked(self, row: tuple[int, dict[str, object]]) -> tuple[int, list[object]]:
        number, record = row
        names = list(record)
        return number, [record[names[self._find(names, column, number)]] for column in self.columns]

    def _delimited(self) -> Iterator[tuple[int, list[object]]]:
        by_position = self._by_position()
        rows = (_csv_rows if self.format == "csv" else _tsv_rows)(self.path, self.bad_lines)
        line, first = next(_without_blank_end(rows, self.path, self.bad_lines), (1, [""]))
        if len(first) > 1:
            rows = _without_blank_end(rows, self.path, self.bad_lines)
        find = self._place if by_position else self._find
        places = [find(first, column, line) for column in self.columns]
        found = False
        for number, row in chain([(line, first)], rows) if by_position else rows:
            found = True
            if len(row) == len(first):
                yield number, [row[place] for place in places]
                continue
            hint = "Put quotation marks around a field that contains a comma." if self.format == "csv" else ""
            reason = f"expected {len(first)} fields, as in line {line}, but got {len(row)}."
            refuse(DataError(reason, path=self.path, line=number, hint=hint), self.bad_lines)
        if not found:
            raise DataError("the file has a header but no rows.", path=self.path, line=line, hint=self.hint)

    def _by_position(self) -> bool:
        positions = [column.position is not None for column in self.columns]
        if any(positions) and not all(positions):
            given = ", ".join(f"{column.role}_column={column.wanted!r}" for column in self.columns)
            raise SettingsError(f"Expected every column by name or every column by position, but got {given}.")
        return all(positions)

    def _place(self, first: list[str], column: Column, line: int) -> int:
        position = column.position or 0
        if not 1 <= position <= len(first):
            reason = f"the {column.role} is to be in column {position}, but the columns go from 1 to {len(first)}."
            raise DataError(reason, path=self.path, line=line)
        return position - 1

    def _find(self, names: list[str], column: Column, line: int) -> int:
        names = [name.strip() for name in names]
        folded = [name.casefold() for name in names]
        name = column.role if column.wanted is None else str(column.wanted)
        places = [i for i, each in enumerate(names) if each == name]
        places = places or [i for i, each in enumerate(folded) if each == name.casefold()]
        if column.wanted is None:
            places = places or [i for i, each in enumerate(folded) if each in column.guesses]
        if len(places) != 1:
            self._not_found(name, [names[i] for i in places], names, line)
        return places[0]

    def _not_found(self, name: str, candidates: list[str], names: list[str], line: int) -> NoReturn:
        noun = "key" if self.format == "jsonl" else "column"
        quoted = ", ".join(map(repr, candidates or names))
        several = f"more than one {noun} could be {name!r}: {quoted}."
        reason = several if candidates else f"no {noun} {name!r}; the {noun}s are {quoted}."
        raise DataError(reason, path=self.path, line=line, hint=self.hint)


def choose_format(path: str | Path, format: str | None, suffixes: dict[str, str], otherwise: str) -> str:
    """`format` if it is known, else SettingsError; for None, what the file's suffix before any `.gz` stands for."""
    if is_arrow(path):
        format = format or "arrow"
    if format is None:
        return suffixes.get(Path(Path(path).name.lower().removesuffix(".gz")).suffix, otherwise)
    known = {*suffixes.values(), otherwise, "arrow"}
    if format not in known:
        raise SettingsError(f"There is no format {format!r} for this data.{nearest(format, known)}")
    return format


def filled_lines(path: str | Path, bad_lines: BadLines | None = None) -> Iterator[tuple[int, str]]:
    """The lines of a file without blank ones at the end; a DataError for a blank one between others."""
    rows = ((number, [line]) for number, line in read_lines(path, bad_lines))
    return ((number, line) for number, (line,) in _without_blank_end(rows, path, bad_lines))


def string_value(value: object, role: str, path: str | Path, line: int) -> str:
    """The value if it is a string, or a DataError that says what arrived."""
    if not isinstance(value, str):
        raise DataError(f"expected a string as the {role}, but got {json_kind(value)}.", path=path, line=line)
    return value


def text_value(value: object, role: str, path: str | Path, line: int) -> str:
    """The value if it is a string with something in it, or a DataError that says what arrived."""
    text = string_value(value, role, path, line)
    if not text.strip():
        raise DataError(f"the {role} is empty.", path=path, line=line)
    return text


def json_kind(value: object) -> str:
    """What a JSON value is, in words."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _csv_rows(path: str | Path, bad_lines: BadLines | None) -> Iterator[tuple[int, list[str]]]:
    # The csv module's own limit, 131,072 characters a field, is shorter than a long document.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    lines, taken = whole_lines(path), deque[Line]()

    def row_lines() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            if bad_lines is None and line.error:
                raise line.error
            yield hide_returns(line.text)

    while True:
        # strict: otherwise a quotation mark that is never closed swallows the rest of the file in silence.
        reader = csv.reader(row_lines(), strict=True)
        try:
            for row in reader:
                start, error = taken[0].number, next((line.error for line in taken if line.error), None)
                taken.clear()
                if error:
                    refuse(error, bad_lines)
                else:
                    yield start, shown_returns(row) or [""]
            return
        except csv.Error as error:
            bad, *rest = taken
            hint = "Is a quotation mark missing? Inside quotation marks, one is written twice."
            reason = f"the row that begins here is not CSV: {error}."
            refuse(DataError(reason, path=path, line=bad.number, hint=hint), bad_lines)
            lines = chain(rest, lines)  # a line that looks on its own like a row may be one
            taken.clear()


def hide_returns(text: str) -> str:
    """A line for the csv module, which takes a lone carriage return, a character like any other, for a line end."""
    return text.replace("\r", "\0")  # no text holds a NUL


def shown_returns(row: list[str]) -> list[str]:
    """Cells out of lines from `hide_returns`."""
    return [cell.replace("\0", "\r") for cell in row]


def _tsv_rows(path: str | Path, bad_lines: BadLines | None) -> Iterator[tuple[int, list[str]]]:
    # Split by hand: csv.reader, even without quoting, fails at a lone carriage return inside a line.
    return ((number, line.split("\t")) for number, line in read_lines(path, bad_lines))


def _without_blank_end(
    rows: Iterator[tuple[int, list[str]]], path: str | Path, bad_lines: BadLines | None
) -> Iterator[tuple[int, list[str]]]:
    blank: list[int] = []
    for line, row in rows:
        if len(row) == 1 and not row[0].strip():
            blank.append(line)
            continue
        for number in blank:
            reason = "expected an example, but the line is blank."
            refuse(DataError(reason, path=path, line=number, hint="Remove it."), bad_lines)
        blank.clear()
        yield line, row


def _parse_object(line: str, path: str | Path, number: int) -> dict[str, object]:
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
        if "\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair is not text
        problem = "" if isinstance(record, dict) else f"got {json_kind(record)}"
    except json.JSONDecodeError as error:
        problem = f"at character {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        problem = str(error)
    if problem:
        raise DataError(f"expected a JSON object, but {problem}.", path=path, line=number, hint="Write one a line.")
    return record


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
