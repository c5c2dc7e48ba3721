"""Rows of CSV and TSV, and what separates their fields."""

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

Row = tuple[int, list[str]]
_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
__CSV_FIELD = re.compile(r'(?:^|\t)"(?:[^"\t]|"")*""(?:[^"\t]|"")*"(?=\t|$)')


class Dialect(NamedTuple):
    """What separates fields, and whether quotation marks enclose them (as in CSV) or are text (as in TSV)."""

    delimiter: str
    quoted: bool = True

    @property
    def name(self) -> str:
        return _NAMES.get(self.delimiter, repr(self.delimiter))


TAB = Dialect("\t", quoted=False)
_CSV = tuple(map(Dialect, ",;\t|"))
# By format, the usual dialect first; "table" is a file whose name does not say what it is.
DIALECTS = {"csv": _CSV, "tsv": (TAB, Dialect("\t"), *map(Dialect, ",;|")), "table": (TAB, *_CSV)}


def named_dialect(delimiter: str, format: str) -> Dialect:
    """The dialect of a delimiter that the user names.

    Raises:
        SettingsError: it is not one character.
    """
    character = _WORDS.get(delimiter, delimiter)
    if len(character) != 1 or character in '"\r\n':
        raise SettingsError(f"--delimiter: expected one character, such as ';', or tab, got {delimiter!r}")
    return TAB if character == "\t" and format != "csv" else Dialect(character)


def sample(lines: Sequence[Line], dialect: Dialect) -> list[list[str]]:
    """The rows in a few lines, as far as they can be told apart; blank and wrong lines are passed over."""
    texts = [line.text.removesuffix("\n") + "\n" for line in lines if line.text.strip() and not line.error]
    if not dialect.quoted:
        return [text[:-1].split(dialect.delimiter) for text in texts]
    try:
        blank_quoted = _blank_quoted(dialect)
        return list(csv.reader((_closed_up(text, blank_quoted) for text in texts), delimiter=dialect.delimiter))
    except csv.Error:
        return [text[:-1].split(dialect.delimiter) for text in texts]


def likely_dialects(lines: Sequence[Line], dialects: Sequence[Dialect]) -> list[Dialect]:
    """The dialects in which every row of a sample has as many fields as the first, two or more; if there is none, the
    one in which most rows have."""
    rows = {dialect: sample(lines, dialect) for dialect in dialects}
    alike = {dialect: sum(len(row) == len(found[0]) > 1 for row in found) for dialect, found in rows.items()}
    regular = [dialect for dialect in dialects if rows[dialect] and alike[dialect] == len(rows[dialect])]
    return regular or [max(dialects, key=alike.__getitem__)]


def rows(lines: Iterable[Line], dialect: Dialect, path: str | Path, bad_lines: BadLines | None) -> Iterator[Row]:
    """Stream `(line where the row begins, fields)`."""
    return (_quoted_rows if dialect.quoted else _plain_rows)(iter(lines), dialect, path, bad_lines)


def _plain_rows(lines: Iterator[Line], dialect: Dialect, path: str | Path, bad_lines: BadLines | None) -> Iterator[Row]:
    # Split by hand: csv.reader, even without quoting, fails at a lone carriage return inside a line.
    doubtful = True
    for line in lines:
        if line.error:
            raise_or_skip(line.error, bad_lines)
            continue
        text = line.text.removesuffix("\n")
        if doubtful and '""' in text and __CSV_FIELD.search(text):
            doubtful = False
            logger.warning(
                "%s, line %d: quotation marks are text in TSV; if they enclose fields here, add --format csv",
                path,
                line.number,
            )
        yield line.number, text.split(dialect.delimiter)


def _quoted_rows(
    lines: Iterator[Line], dialect: Dialect, path: str | Path, bad_lines: BadLines | None
) -> Iterator[Row]:
    # The csv module's own limit, 131,072 characters a field, is shorter than a long document.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    taken, blank_quoted = deque[Line](), _blank_quoted(dialect)

    def texts() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            if bad_lines is None and line.error:
                raise line.error
            yield _closed_up(line.text, blank_quoted) if len(taken) == 1 else line.text

    while True:
        # strict: otherwise a quotation mark that is never closed swallows the rest of the file in silence.
        reader = csv.reader(texts(), delimiter=dialect.delimiter, strict=True)
        try:
            for row in reader:
                start, error = taken[0].number, next((line.error for line in taken if line.error), None)
                taken.clear()
                if error:
                    raise_or_skip(error, bad_lines)
                else:
                    yield start, row or [""]
            return
        except csv.Error as error:
            bad, *rest = taken
            what, hint = _fault(error)
            reason = f"the row that begins here is not CSV: {what}."
            raise_or_skip(DataError(reason, path=path, line=bad.number, hint=hint), bad_lines)
            lines = chain(rest, lines)  # a line that looks on its own like a row may be one
            taken.clear()


def _fault(error: csv.Error) -> tuple[str, str]:
    """What is wrong with a row, and what to do."""
    if "new-line character" in str(error):
        return (
            "a lone carriage return (CR) outside quotation marks",
            "Put quotation marks around the field, or remove it.",
        )
    return str(error), "Is a quotation mark missing? Inside quotation marks, one is written twice."


def _blank_quoted(dialect: Dialect) -> re.Pattern[str]:
    """A field in quotation marks that blanks part from its delimiters."""
    delimiter, blank = re.escape(dialect.delimiter), " " if dialect.delimiter == "\t" else " \t"
    return re.compile(rf'(?:^|(?<={delimiter}))[{blank}]+("(?:[^"]|"")*")[{blank}]*(?={delimiter}|\r?\n?$)')


def _closed_up(text: str, blank_quoted: re.Pattern[str]) -> str:
    """The first line of a row without the blanks between a delimiter and a field's quotation mark."""

    def close(found: re.Match[str]) -> str:
        return found[0] if text.count('"', 0, found.start()) % 2 else found[1]  # odd: within a quoted field

    return blank_quoted.sub(close, text) if '"' in text else text
