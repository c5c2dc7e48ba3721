"""Chosen columns of CSV, TSV, JSON Lines, Parquet and data sets, as rows with line numbers."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn

from stepscan.data.arrow import records
from stepscan.data.bad_lines import BadLines, convert, raise_or_skip
from stepscan.data.delimited import (
    DIALECTS,
    TAB,
    Dialect,
    Row,
    likely_dialects,
    parse_delimiter,
    read_rows,
    split_sample,
)
from stepscan.data.example_lines import rows_without_blank_end, without_blank_end
from stepscan.data.headers import Column, HeaderDetector, find_columns
from stepscan.data.json_lines import Record, flatten_keys, parse_array, parse_object
from stepscan.data.lines import Line, checked_lines, valid_lines
from stepscan.errors import DataError, SettingsError

logger = logging.getLogger(__name__)

_DELIMITER_LINE = re.compile(r"sep=(.)\n")  # the first line of files for Excel
_SAMPLE_LINES = 50  # show which delimiter separates fields, and whether the first row is a header


class _Layout(NamedTuple):
    """How a delimited file is read."""

    dialect: Dialect
    indices: list[int]  # of the chosen columns, from 0
    header: list[str] | None  # the first row, if it names the columns
    width: int  # fields per row
    line: int  # the number of the first row's line


@dataclass(frozen=True)
class Table:
    """Chosen columns of a file.

    Blank lines at the end of the file are ignored; one between rows is an error. But in CSV and TSV of one column, a
    blank line is a row with an empty text.

    Attributes:
        path: the file.
        format: "csv", "tsv", "jsonl", "arrow", or "table": CSV or TSV, whichever the first lines fit.
        columns: the columns to read.
        hint: tells the user how to name them, for errors.
        bad_lines: skips and counts bad rows; a bad header is always an error.
        delimiter: separates fields; None: as the format has it, or else what fits the first lines.
        header: whether the first row of CSV and TSV names the columns; None: if any column is chosen by name, or else
            if the row looks like names.
    """

    path: str | Path
    format: str
    columns: tuple[Column, ...]
    hint: str
    bad_lines: BadLines | None = None
    delimiter: str | None = None
    header: bool | None = None

    def rows(self, lines: Iterator[Line] | None = None) -> Iterator[tuple[int, list[object]]]:
        """Yield `(line where the row begins, values in the order of columns)`; CSV and TSV give strings.

        Args:
            lines: the file's lines, if it is open already.

        Raises:
            SettingsError: settings that contradict each other.
            DataError: a column is missing, a row is bad, or there is no row.
        """
        lines = checked_lines(self.path) if lines is None else lines
        if self.format in DIALECTS:
            return self._delimited_rows(lines)
        if self.delimiter is not None or self.header is not None:
            raise SettingsError(
                f"--delimiter and --header: expected CSV or TSV, got {self.format} in {self.path}; omit them"
            )
        if self.format == "arrow":
            return convert(enumerate(records(self.path), start=1), self._select, self.bad_lines)
        return self._json_rows(valid_lines(lines, self.bad_lines))

    def _json_rows(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[object]]]:
        head = []
        for line in lines:
            head.append(line)
            if line[1].strip():
                break
        if head and head[-1][1].lstrip().startswith("["):
            return convert(parse_array(chain(head[-1:], lines), self.path), self._select, self.bad_lines)
        return convert(without_blank_end(chain(head, lines), self.path, self.bad_lines), self._parse, self.bad_lines)

    def _parse(self, row: tuple[int, str]) -> tuple[int, list[object]]:
        number, line = row
        return self._select((number, parse_object(line, self.path, number)))

    def _select(self, row: tuple[int, Record]) -> tuple[int, list[object]]:
        number, record = row
        if any("." in str(column.selector) for column in self.columns):
            record = flatten_keys(record)
        names = list(record)
        return number, [record[names[self._index_by_name(names, column, number)]] for column in self.columns]

    def _delimited_rows(self, lines: Iterator[Line]) -> Iterator[tuple[int, list[object]]]:
        first = [line for line in (next(lines, None),) if line is not None]
        if self.format == "csv" and first and (match := _DELIMITER_LINE.fullmatch(first[0].text)):
            first, self = [], replace(self, delimiter=self.delimiter or match[1])
        lines = chain(first, lines)
        head = self._head(lines)
        layout = self._layout(head)
        all_rows = read_rows(chain(head, lines), layout.dialect, self.path, self.bad_lines)
        rows = rows_without_blank_end(all_rows, self.path, self.bad_lines)
        if layout.width == 1:  # a blank line is an empty text, except before the first row
            rows = chain(itertools.islice(rows, 1), all_rows)
        yield from self._body(rows, layout)

    def _body(self, rows: Iterator[Row], layout: _Layout) -> Iterator[tuple[int, list[object]]]:
        """The chosen columns of each row below the header."""
        names = [_normalise(name) for name in layout.header or ()]
        empty = True
        for number, row in rows:
            if names and number == layout.line:
                continue
            empty = False
            if len(row) != layout.width:
                raise_or_skip(self._wrong_width(row, layout, number), self.bad_lines)
            elif names and _normalise(row[0]) == names[0] and [_normalise(cell) for cell in row] == names:
                reason = f"expected an example, got the header of line {layout.line} again."
                raise_or_skip(DataError(reason, path=self.path, line=number, hint="Remove it."), self.bad_lines)
            else:
                yield number, [row[index] for index in layout.indices]
        if empty:
            raise DataError("expected rows below the header, got none.", path=self.path, line=layout.line)

    def _head(self, lines: Iterator[Line]) -> list[Line]:
        """The lines up to the first row; if columns are chosen by position, enough more to find the layout."""
        by_position = all(column.position is not None for column in self.columns)
        needed = _SAMPLE_LINES if by_position and (self.delimiter is None or self.header is None) else 1
        head: list[Line] = []
        quotation_marks = 0
        for line in lines:
            if line.error and self.bad_lines is None and not any(previous.text.strip() for previous in head):
                raise line.error
            head.append(line)
            quotation_marks += line.text.count('"') if self.format == "csv" else 0
            needed -= bool(line.text.strip()) and not line.error
            if needed <= 0 and (quotation_marks % 2 == 0 or len(head) > _SAMPLE_LINES):  # a header may span lines
                break
        return head

    def _layout(self, head: list[Line]) -> _Layout:
        dialects: Sequence[Dialect] = DIALECTS[self.format]
        if self.delimiter is not None:
            dialects = [parse_delimiter(self.delimiter, self.format)]
        [first] = [line for line in head if line.text.strip() and not line.error][:1] or [Line(1, "\n")]
        by_name = self.header is not False and any(column.selected_position is None for column in self.columns)
        for dialect in dialects if by_name else ():
            names = _first_row(head, dialect)
            if indices := find_columns(names, self.columns):
                self._log_dialect(dialect, dialects, ())
                return _Layout(dialect, indices, names, len(names), first.number)
        if any(column.position is None for column in self.columns):
            self._raise_missing_name(head, first.number, dialects)
        return self._layout_by_position(head, first, dialects)

    def _layout_by_position(self, head: list[Line], first: Line, dialects: Sequence[Dialect]) -> _Layout:
        likely = likely_dialects(head, dialects)
        if self.format == "tsv" and dialects[0] == TAB:
            likely = [TAB]  # the user did not ask for CSV
        dialect = likely[0]
        self._log_dialect(dialect, dialects, [other for other in likely if other.delimiter != dialect.delimiter])
        rows = split_sample(head, dialect) or [[""]]
        is_default = all(column.selector is None for column in self.columns)  # all fields, in this order
        width = len(self.columns) if is_default else len(rows[0])
        indices = [column.index_by_position(width, self.path, first.number) for column in self.columns]
        header = None if len(rows[0]) != width else self._header(rows, indices, first.number)
        return _Layout(dialect, indices, header, width, first.number)

    def _header(self, rows: list[list[str]], indices: list[int], line: int) -> list[str] | None:
        detector = HeaderDetector(rows, self.columns, indices)
        if self.header is not False and detector.is_swapped():
            positions = ", ".join(str(i + 1) for i in indices)
            names = ", ".join(repr(rows[0][i].strip()) for i in indices)
            reason = f"expected {self._roles()} in columns {positions}, got them swapped: {names}."
            raise DataError(reason, path=self.path, line=line)
        if self.header is None and detector.is_header():
            names = ", ".join(repr(name.strip()) for name in rows[0])
            logger.info("%s, line %d is read as a header: %s (if not: --no-header)", self.path, line, names)
            return rows[0]
        return rows[0] if self.header else None

    def _log_dialect(self, dialect: Dialect, dialects: Sequence[Dialect], others: Sequence[Dialect]) -> None:
        if others:
            message = f"{dialect.name} separates fields, but {others[0].name} may too: choose one with --delimiter"
            logger.warning("%s: %s", self.path, message)
        elif dialect != dialects[0] or self.format == "table":
            quoting = ", quotation marks enclose them" if dialect.delimiter == "\t" and dialect.quoted else ""
            logger.info("%s: %s separates fields%s (if not: --delimiter)", self.path, dialect.name, quoting)

    def _wrong_width(self, row: list[str], layout: _Layout, line: int) -> DataError:
        if all(column.selector is None and column.default_position for column in self.columns) and not layout.header:
            roles, count = self._roles(), f"{len(row)} field{'s' * (len(row) > 1)}"
            reason = f"expected {roles} separated by {layout.dialect.name}, got {count}."
            hint = self.hint if len(row) > 1 else f"If {roles} are two files, give both."
            return DataError(reason, path=self.path, line=line, hint=hint)
        hint = f"Put quotation marks around a field that contains {layout.dialect.name}."
        reason = f"expected {layout.width} fields, as in line {layout.line}, got {len(row)}."
        return DataError(reason, path=self.path, line=line, hint=hint if layout.dialect.quoted else "")

    def _roles(self) -> str:
        return " and ".join(column.role for column in self.columns)

    def _index_by_name(self, names: list[str], column: Column, line: int) -> int:
        noun = "key" if self.format == "jsonl" else "column"
        return column.index_by_name(names, self.path, line, noun=noun, hint=self.hint)

    def _raise_missing_name(self, head: list[Line], line: int, dialects: Sequence[Dialect]) -> NoReturn:
        """Raise for the column that is missing, in the dialect with the most columns."""
        if self.header is False:
            selected = ", ".join(f"{column.role}_column={column.selector!r}" for column in self.columns)
            raise SettingsError(f"--no-header: expected positions from 1 for {self._roles()}, got {selected}")
        names = max((_first_row(head, dialect) for dialect in dialects), key=len)
        for column in self.columns:
            if column.selected_position is not None:
                column.index_by_position(len(names), self.path, line)
            else:
                self._index_by_name(names, column, line)
        raise self.columns[0].no_match([], names, self.path, line, "column", self.hint)


def _normalise(name: str) -> str:
    """A header's name for comparison; files that were concatenated repeat the header, with its byte order mark."""
    return name.removeprefix("\ufeff").strip().casefold()


def _first_row(head: list[Line], dialect: Dialect) -> list[str]:
    return next(iter(split_sample(head, dialect)), [""])
