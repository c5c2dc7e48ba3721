"""CSV, TSV, JSON Lines, Parquet and data sets as rows of chosen columns, each with its line number."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn

from stepscan.data import delimited
from stepscan.data.arrow import is_arrow, records
from stepscan.data.bad_lines import BadLines, convert, raise_or_skip
from stepscan.data.delimited import DIALECTS, Dialect, named_dialect
from stepscan.data.headers import Column, Header, candidates, places_by_name
from stepscan.data.json_lines import Record, json_kind, nested, parse_array, parse_object
from stepscan.data.lines import Line, checked_lines, read_lines, valid_lines
from stepscan.errors import DataError, SettingsError, nearest

__all__ = ["TABLE_SUFFIXES", "Column", "Table", "choose_format", "filled", "filled_lines", "string_value", "text_value"]
logger = logging.getLogger(__name__)

TABLE_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl"}


_NAMED_DELIMITER = re.compile(r"sep=(.)\n")  # the first line of what Excel is to open
_SAMPLE = 50  # lines that show what separates fields, and whether the first row is a header


class _Layout(NamedTuple):
    """How a delimited file is read."""

    dialect: Dialect
    places: list[int]  # of the chosen columns, from 0
    header: list[str] | None  # the first row, where it names the columns
    width: int  # fields of a row
    line: int  # the first row's


@dataclass(frozen=True)
class Table:
    """Some columns of a file; `hint` tells the user how to name them.

    Blank lines at the end of the file hold nothing, and one between rows is an error; but in CSV and TSV of one column
    a blank line is a row with an empty text.

    Attributes:
        format: "csv", "tsv", "jsonl", "arrow", or "table": CSV or TSV, as its content shows.
        delimiter: what separates fields; None: as the format says, or else what the first lines show.
        header: whether the first row of CSV and TSV names the columns; None: if any column goes by name, or else if
            it looks like it.
    """

    path: str | Path
    format: str
    columns: tuple[Column, ...]
    hint: str
    bad_lines: BadLines | None = None  # skips them; the header is always needed
    delimiter: str | None = None
    header: bool | None = None

    def rows(self, lines: Iterator[Line] | None = None) -> Iterator[tuple[int, list[object]]]:
        """Stream `(line where the row begins, values in the order of columns)`; CSV and TSV give strings.

        Args:
            lines: the file's, if it has been opened already.

        Raises:
            SettingsError: settings that contradict each other.
            DataError: a column is missing, a row is broken, or there is no row.
        """
        if lines is None:
            lines = checked_lines(self.path)
        if self.format in DIALECTS:
            return self._delimited(lines)
        if self.delimiter is not None or self.header is not None:
            raise SettingsError(f"--delimiter and --header are for CSV and TSV, but {self.path} is {self.format}")
        if self.format == "arrow":
            return convert(enumerate(records(self.path), start=1), self._picked, self.bad_lines)
        return self._objects(valid_lines(lines, self.bad_lines))

    def _objects(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[object]]]:
        head = []
        for line in lines:
            head.append(line)
            if line[1].strip():
                break
        if head and head[-1][1].lstrip().startswith("["):
            return convert(parse_array(chain(head[-1:], lines), self.path), self._picked, self.bad_lines)
        return convert(filled(chain(head, lines), self.path, self.bad_lines), self._values, self.bad_lines)

    def _values(self, row: tuple[int, str]) -> tuple[int, list[object]]:
        number, line = row
        return self._picked((number, parse_object(line, self.path, number)))

    def _picked(self, row: tuple[int, Record]) -> tuple[int, list[object]]:
        number, record = row
        if any("." in str(column.wanted) for column in self.columns):
            record = nested(record)
        names = list(record)
        return number, [record[names[self._find(names, column, number)]] for column in self.columns]

    def _delimited(self, lines: Iterator[Line]) -> Iterator[tuple[int, list[object]]]:
        first = [line for line in (next(lines, None),) if line is not None]
        if self.format == "csv" and first and (named := _NAMED_DELIMITER.fullmatch(first[0].text)):
            first, self = [], replace(self, delimiter=self.delimiter or named[1])
        lines = chain(first, lines)
        head = self._head(lines)
        layout = self._layout(head)
        found = delimited.rows(chain(head, lines), layout.dialect, self.path, self.bad_lines)
        rows = _without_blank_end(found, self.path, self.bad_lines)
        if layout.width == 1:  # a blank line is an empty text, but none comes first
            rows = chain(itertools.islice(rows, 1), found)
        names = [_folded(name) for name in layout.header or ()]
        none = True
        for number, row in rows:
            if names and number == layout.line:
                continue
            none = False
            if len(row) != layout.width:
                raise_or_skip(self._ragged(row, layout, number), self.bad_lines)
            elif names and _folded(row[0]) == names[0] and [_folded(cell) for cell in row] == names:
                reason = f"this row repeats the header of line {layout.line}."
                raise_or_skip(DataError(reason, path=self.path, line=number, hint="Remove it."), self.bad_lines)
            else:
                yield number, [row[place] for place in layout.places]
        if none:
            reason = "the file has a header but no rows."
            raise DataError(reason, path=self.path, line=layout.line)

    def _head(self, lines: Iterator[Line]) -> list[Line]:
        """The lines up to the first row; where columns go by position, so many more that they show the layout."""
        by_position = all(column.place is not None for column in self.columns)
        needed = _SAMPLE if by_position and (self.delimiter is None or self.header is None) else 1
        head: list[Line] = []
        marks = 0
        for line in lines:
            if line.error and self.bad_lines is None and not any(one.text.strip() for one in head):
                raise line.error
            head.append(line)
            marks += line.text.count('"') if self.format == "csv" else 0
            needed -= bool(line.text.strip()) and not line.error
            if needed <= 0 and (marks % 2 == 0 or len(head) > _SAMPLE):  # a header's quotation marks are closed
                break
        return head

    def _layout(self, head: list[Line]) -> _Layout:
        dialects: Sequence[Dialect] = DIALECTS[self.format]
        if self.delimiter is not None:
            dialects = [named_dialect(self.delimiter, self.format)]
        [first] = [line for line in head if line.text.strip() and not line.error][:1] or [Line(1, "\n")]
        by_name = self.header is not False and any(column.position is None for column in self.columns)
        for dialect in dialects if by_name else ():
            names = _first_row(head, dialect)
            if places := places_by_name(names, self.columns):
                self._tell(dialect, dialects, ())
                return _Layout(dialect, places, names, len(names), first.number)
        if any(column.place is None for column in self.columns):
            self._refuse_names(head, first.number, dialects)
        return self._by_position(head, first, dialects)

    def _by_position(self, head: list[Line], first: Line, dialects: Sequence[Dialect]) -> _Layout:
        likely = delimited.likely_dialects(head, dialects)
        if self.format == "tsv" and dialects[0] == delimited.TAB:
            likely = [delimited.TAB]  # nobody called it CSV
        dialect = likely[0]
        self._tell(dialect, dialects, [other for other in likely if other.delimiter != dialect.delimiter])
        rows = delimited.sample(head, dialect) or [[""]]
        free = all(column.wanted is None for column in self.columns)  # all fields, in this order
        width = len(self.columns) if free else len(rows[0])
        places = [self._place(width, column, first.number) for column in self.columns]
        header = None if len(rows[0]) != width else self._header(rows, places, first.number)
        return _Layout(dialect, places, header, width, first.number)

    def _header(self, rows: list[list[str]], places: list[int], line: int) -> list[str] | None:
        header = Header(rows, self.columns, places)
        if self.header is not False and header.is_swapped():
            roles = " and ".join(column.role for column in self.columns)
            numbers, names = ", ".join(str(i + 1) for i in places), ", ".join(repr(rows[0][i].strip()) for i in places)
            reason = f"expected {roles} in columns {numbers}, but their names are swapped: {names}."
            raise DataError(reason, path=self.path, line=line)
        if self.header is None and header.is_one():
            names = ", ".join(repr(name.strip()) for name in rows[0])
            logger.info("%s, line %d is read as a header: %s (if not: --no-header)", self.path, line, names)
            return rows[0]
        return rows[0] if self.header else None

    def _tell(self, dialect: Dialect, dialects: Sequence[Dialect], others: Sequence[Dialect]) -> None:
        if others:
            said = f"{dialect.name} separates fields, but {others[0].name} might too: name it with --delimiter"
            logger.warning("%s: %s", self.path, said)
        elif dialect != dialects[0] or self.format == "table":
            quoting = ", quotation marks enclose them" if dialect.delimiter == "\t" and dialect.quoted else ""
            logger.info("%s: %s separates fields%s (if not: --delimiter)", self.path, dialect.name, quoting)

    def _ragged(self, row: list[str], layout: _Layout, line: int) -> DataError:
        if all(column.wanted is None and column.otherwise for column in self.columns) and layout.header is None:
            roles = " and ".join(column.role for column in self.columns)
            count = f"{len(row)} field{'s' * (len(row) > 1)}"
            reason = f"expected {roles} with {layout.dialect.name} between, but got {count}."
            hint = self.hint if len(row) > 1 else f"If {roles} are two files, give both."
            return DataError(reason, path=self.path, line=line, hint=hint)
        hint = f"Put quotation marks around a field that contains {layout.dialect.name}."
        reason = f"expected {layout.width} fields, as in line {layout.line}, but got {len(row)}."
        return DataError(reason, path=self.path, line=line, hint=hint if layout.dialect.quoted else "")

    def _place(self, width: int, column: Column, line: int) -> int:
        position = column.place or 0
        if not 1 <= position <= width:
            reason = f"the {column.role} is to be in column {position}, but the columns go from 1 to {width}."
            raise DataError(reason, path=self.path, line=line)
        return position - 1

    def _refuse_names(self, head: list[Line], line: int, dialects: Sequence[Dialect]) -> NoReturn:
        """Say which column is missing, in the dialect that shows most of them."""
        if self.header is False:
            roles = " and ".join(column.role for column in self.columns)
            raise SettingsError(f"--no-header needs positions from 1 of {roles}, got {self._given()}")
        names = max((_first_row(head, dialect) for dialect in dialects), key=len)
        for column in self.columns:
            if column.position is not None:
                self._place(len(names), column, line)
            else:
                self._find(names, column, line)
        self._not_found(self.columns[0], [], names, line)

    def _given(self) -> str:
        return ", ".join(f"{column.role}_column={column.wanted!r}" for column in self.columns)

    def _find(self, names: list[str], column: Column, line: int) -> int:
        places = candidates(names, column)
        if len(places) != 1:
            self._not_found(column, places, [name.strip() for name in names], line)
        return places[0]

    def _not_found(self, column: Column, places: list[int], names: list[str], line: int) -> NoReturn:
        noun, name = "key" if self.format == "jsonl" else "column", column.wanted or column.role
        if places:
            which = ", ".join(f"{names[i]!r} ({noun} {i + 1})" for i in places)
            reason = f"more than one {noun} could be {name!r}: {which}."
        else:
            reason = f"no {noun} {name!r}; the {noun}s are {', '.join(map(repr, names))}."
        raise DataError(reason, path=self.path, line=line, hint=self.hint)


def choose_format(path: str | Path, format: str | None, suffixes: dict[str, str], otherwise: str) -> str:
    """`format` if it is known, else SettingsError; for None, what the file's suffix before any `.gz` stands for."""
    if is_arrow(path):
        format = format or "arrow"
    if format is None:
        return suffixes.get(Path(Path(path).name.lower().removesuffix(".gz")).suffix, otherwise)
    known = {*suffixes.values(), otherwise, "arrow"} - {"table"}
    if format not in known:
        raise SettingsError(f"There is no format {format!r} for this data.{nearest(format, known)}")
    return format


def filled_lines(path: str | Path, bad_lines: BadLines | None = None) -> Iterator[tuple[int, str]]:
    """The lines of a file without blank ones at the end; a DataError for a blank one between others."""
    return filled(read_lines(path, bad_lines), path, bad_lines)


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


def _folded(name: str) -> str:
    """A name in a header, which files that were joined repeat, each with a byte order mark."""
    return name.removeprefix("\ufeff").strip().casefold()


def _first_row(head: list[Line], dialect: Dialect) -> list[str]:
    return next(iter(delimited.sample(head, dialect)), [""])


def filled(
    lines: Iterable[tuple[int, str]], path: str | Path, bad_lines: BadLines | None = None
) -> Iterator[tuple[int, str]]:
    """Numbered lines without blank ones at the end; a DataError for a blank one between others."""
    rows = ((number, [line]) for number, line in lines)
    return ((number, line) for number, (line,) in _without_blank_end(rows, path, bad_lines))


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
            raise_or_skip(DataError(reason, path=path, line=number, hint="Remove it."), bad_lines)
        blank.clear()
        yield line, row
