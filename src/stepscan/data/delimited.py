"""Rows of CSV and TSV, and which delimiter separates their fields."""

from __future__ import annotations

import csv
import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from stepscan.data.bad_lines import BadLines, raise_or_skip
from stepscan.data.lines import Line
from stepscan.errors import DataError, SettingsError

logger = logging.getLogger(__name__)

Row = tuple[int, list[str]]  # the number of the line where the row begins, and its fields
_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_OPTION_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
_CSV_FIELD_IN_TSV = re.compile(r'(?:^|\t)"(?:[^"\t]|"")*""(?:[^"\t]|"")*"(?=\t|$)')


class Dialect(NamedTuple):
    """The delimiter, and whether quotation marks enclose fields (as in CSV) or are text (as in TSV)."""

    delimiter: str
    quoted: bool = True

    @property
    def name(self) -> str:
        """The delimiter in words, such as "a comma"."""
        return _NAMES.get(self.delimiter, repr(self.delimiter))


TAB = Dialect("\t", quoted=False)
_CSV = tuple(map(Dialect, ",;\t|"))
# Per format, the usual dialect first; "table" is a file whose name does not tell its format.
DIALECTS = {"csv": _CSV, "tsv": (TAB, Dialect("\t"), *map(Dialect, ",;|")), "table": (TAB, *_CSV)}


def parse_delimiter(delimiter: str, format: str) -> Dialect:
    """The dialect of a delimiter given by the user.

    Args:
        delimiter: one character, or its name ("tab", "comma", "semicolon", "space").
        format: a key of `DIALECTS`.

    Raises:
        SettingsError: it is not one character.
    """
    character = _OPTION_NAMES.get(delimiter, delimiter)
    if len(character) != 1 or character in '"\r\n':
        raise SettingsError(f"--delimiter: expected one character, such as ';', or tab, got {delimiter!r}")
    return TAB if character == "\t" and format != "csv" else Dialect(character)


def split_sample(lines: Sequence[Line], dialect: Dialect) -> list[list[str]]:
    """The fields of the rows in a few lines, as far as they can be split; blank and bad lines are ignored."""
    texts = [line.text.removesuffix("\n") + "\n" for line in lines if line.text.strip() and not line.error]
    if not dialect.quoted:
        return [text[:-1].split(dialect.delimiter) for text in texts]
    try:
        padded_field = _padded_field(dialect)
        return list(csv.reader((_strip_padding(text, padded_field) for text in texts), delimiter=dialect.delimiter))
    except csv.Error:
        return [text[:-1].split(dialect.delimiter) for text in texts]


def likely_dialects(lines: Sequence[Line], dialects: Sequence[Dialect]) -> list[Dialect]:
    """The dialects in which all rows of a sample have the same number of fields, two or more; if there is none, the
    one in which most rows do."""
    samples = {dialect: split_sample(lines, dialect) for dialect in dialects}
    regular_rows = {dialect: sum(len(row) == len(rows[0]) > 1 for row in rows) for dialect, rows in samples.items()}
    regular = [dialect for dialect in dialects if samples[dialect] and regular_rows[dialect] == len(samples[dialect])]
    return regular or [max(dialects, key=regular_rows.__getitem__)]


def read_rows(lines: Iterable[Line], dialect: Dialect, path: str | Path, bad_lines: BadLines | None) -> Iterator[Row]:
    """Yield `(line where the row begins, fields)`.

    Raises:
        DataError: without `bad_lines`, a bad line, or a row that is not CSV.
    """
    return (_quoted_rows if dialect.quoted else _plain_rows)(iter(lines), dialect, path, bad_lines)


def _plain_rows(lines: Iterator[Line], dialect: Dialect, path: str | Path, bad_lines: BadLines | None) -> Iterator[Row]:
    # Split by hand: csv.reader, even without quoting, fails at a lone carriage return inside a line.
    may_warn = True
    for line in lines:
        if line.error:
            raise_or_skip(line.error, bad_lines)
            continue
        text = line.text.removesuffix("\n")
        if may_warn and '""' in text and _CSV_FIELD_IN_TSV.search(text):
            may_warn = False
            logger.warning(
                "%s, line %d: quotation marks are text in TSV; if they enclose fields here, add --format csv",
                path,
                line.number,
            )
        yield line.number, text.split(dialect.delimiter)


def _quoted_rows(
    lines: Iterator[Line], dialect: Dialect, path: str | Path, bad_lines: BadLines | None
) -> Iterator[Row]:
    # The csv module's own limit, 131,072 characters per field, is shorter than a long document.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    row_lines, padded_field = deque[Line](), _padded_field(dialect)

    def texts() -> Iterator[str]:
        for line in lines:
            row_lines.append(line)
            if bad_lines is None and line.error:
                raise line.error
            yield _strip_padding(line.text, padded_field) if len(row_lines) == 1 else line.text

    while True:
        # strict: otherwise a quotation mark that is never closed swallows the rest of the file without an error.
        reader = csv.reader(texts(), delimiter=dialect.delimiter, strict=True)
        try:
            for row in reader:
                start, error = row_lines[0].number, next((line.error for line in row_lines if line.error), None)
                row_lines.clear()
                if error:
                    raise_or_skip(error, bad_lines)
                else:
                    yield start, row or [""]
            return
        except csv.Error as error:
            first, *rest = row_lines
            problem, hint = _explain(error)
            reason = f"expected a row of CSV to begin here, got {problem}."
            raise_or_skip(DataError(reason, path=path, line=first.number, hint=hint), bad_lines)
            lines = chain(rest, lines)  # the other lines of the bad row may be rows by themselves
            row_lines.clear()


def _explain(error: csv.Error) -> tuple[str, str]:
    """What is wrong with a row, and what to do."""
    if "new-line character" in str(error):
        return (
            "a lone carriage return (CR) outside quotation marks",
            "Put quotation marks around the field, or remove it.",
        )
    return f"invalid CSV: {error}", "Is a quotation mark missing? Inside quotation marks, double each quotation mark."


def _padded_field(dialect: Dialect) -> re.Pattern[str]:
    """Matches a quoted field with whitespace between its quotation marks and the delimiters."""
    delimiter, blank = re.escape(dialect.delimiter), " " if dialect.delimiter == "\t" else " \t"
    return re.compile(rf'(?:^|(?<={delimiter}))[{blank}]+("(?:[^"]|"")*")[{blank}]*(?={delimiter}|\r?\n?$)')


def _strip_padding(text: str, padded_field: re.Pattern[str]) -> str:
    """The first line of a row without whitespace between delimiters and quotation marks."""

    def strip(match: re.Match[str]) -> str:
        is_inside_field = text.count('"', 0, match.start()) % 2
        return match[0] if is_inside_field else match[1]

    return padded_field.sub(strip, text) if '"' in text else text
