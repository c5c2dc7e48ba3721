"""Cells of tables of numbers: what separates them, decimal commas, thousands separators."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from stepscan.data.delimited import Dialect, Row
from stepscan.data.series.time_formats import looks_like_time
from stepscan.data.series.values import is_number
from stepscan.errors import DataError

logger = logging.getLogger(__name__)

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_COMMA_BEFORE_THREE_DIGITS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_POINT_BEFORE_THREE_DIGITS = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_GROUPED = {  # by the decimal mark: numbers whose thousands are clearly separated by the other mark
    mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}(\{other}\d{{3}})+(\{mark}\d+|(?<=\{other}\d{{3}}\{other}\d{{3}}))")
    for mark, other in (".,", ",.")
}
_DELIMITER_LINE = re.compile(r"sep=(.)", re.IGNORECASE)  # as spreadsheets write it above the first row
_SAMPLE_LINES = 50


def read_number_rows(lines: Iterable[tuple[int, str]], path: str | Path) -> list[Row]:
    """The cells of each line, none for a blank line; decimal commas become points.

    A semicolon, tab or vertical bar separates cells if each of the first lines has one; otherwise a comma, or if there
    is none, whitespace, as `numpy.savetxt` writes it. Lines that begin with `#` are comments.

    Args:
        lines: with their numbers.
        path: their file, for messages.

    Raises:
        DataError: nothing shows whether commas separate decimals or thousands.
    """
    lines = _without_comments(list(lines), path)
    if lines and _DELIMITER_LINE.fullmatch(lines[0][1].strip(" ")):
        lines = lines[1:]
    rows = _split_lines(lines, path)
    _warn_of_thousands(rows, path)
    cells = [row for _, row in rows if row]
    if cells and len(cells[0]) > 1 and not any(row[-1] for row in cells) and not any(map(is_number, cells[0])):
        return [(line, row[:-1]) for line, row in rows]  # a comma at the end of every row
    return rows


def _split_lines(lines: Sequence[tuple[int, str]], path: str | Path) -> list[Row]:
    delimiter = _find_delimiter([text for _, text in lines])
    if delimiter == " ":
        return [(line, text.split()) for line, text in lines]
    rows = [(line, _split_at(text, delimiter)) for line, text in lines]
    if delimiter != ",":
        logger.info("%s: %s separates cells", path, Dialect(delimiter).name)
    elif not any('"' in text for _, text in lines):
        return rows
    cells = iter(with_decimal_points([(line, cell) for line, row in rows for cell in row], path))
    return [(line, [next(cells) for _ in row]) for line, row in rows]


def _find_delimiter(texts: Sequence[str]) -> str:
    first = [text.strip(" ") for text in texts if text.strip()][:_SAMPLE_LINES]
    delimiter = next((mark for mark in ";\t|" if all(mark in text for text in first)), ",")
    has_no_comma = delimiter == "," and not any("," in text for text in first)
    return " " if has_no_comma and _are_split_by_spaces(first) else delimiter


def _without_comments(lines: list[tuple[int, str]], path: str | Path) -> list[tuple[int, str]]:
    """The lines without those that begin with `#`; but one above the rows that names each column is the header."""
    marked = {line for line, text in lines if text.lstrip().startswith("#")}
    rest = [(line, text) for line, text in lines if line not in marked]
    start = next((line for line, text in rest if text.strip()), 0)
    if not marked or not start:
        return lines
    delimiter = _find_delimiter([text for _, text in rest])
    first_row = _split(dict(rest)[start], delimiter)
    is_row = {
        line: len(_split(text.lstrip(" #"), delimiter)) == len(first_row) > 1 for line, text in lines if line in marked
    }
    header = max((line for line in marked if line < start), default=0)
    if is_row.get(header) and not all(_is_number_or_time(cell) for cell in first_row):
        header = 0  # the first row is the header
    kept = {line for line in marked if is_row[line] and (line == header or line > start)}
    if dropped := [text for line, text in lines if line in marked - kept]:
        s, are = ("s that begin", "are left out, the first") if len(dropped) > 1 else (" that begins", "is left out")
        logger.info(f"{path}: {len(dropped)} line{s} with # {are}: {dropped[0][:60]!r}")
    return [
        (line, text.lstrip(" #") if line == header else text)
        for line, text in lines
        if line in kept or line not in marked
    ]


def _split(text: str, delimiter: str) -> list[str]:
    return text.split() if delimiter == " " else _split_at(text, delimiter)


def _split_at(text: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter))] if text.strip() else []


def _is_number_or_time(cell: str) -> bool:
    return is_number(cell) or looks_like_time(cell)


def _warn_of_thousands(rows: Sequence[Row], path: str | Path) -> None:
    """Log a warning where a point may separate thousands: all points are before three digits, and some numbers in the
    column are whole numbers of three digits."""
    for column in range(len(rows[0][1]) if rows else 0):
        cells = [(line, row[column]) for line, row in rows if column < len(row)]
        with_point = [(line, cell) for line, cell in cells if "." in cell]
        if not with_point or not all(_POINT_BEFORE_THREE_DIGITS.fullmatch(cell) for _, cell in with_point):
            continue
        if any(re.fullmatch(r"[+-]?\d{3}", cell) for _, cell in cells):
            line, cell = with_point[0]
            remedy = f"if it is {cell.replace('.', '')}, remove the thousands separators"
            logger.warning(f"{path}, line {line}: {cell!r} is read as {float(cell):g}; {remedy}")


def _are_split_by_spaces(texts: Sequence[str]) -> bool:
    """Whether whitespace gives each line the same number of cells, all numbers but those of the first line and the
    last column."""
    rows = [text.split() for text in texts]
    numbers = chain.from_iterable(row[:-1] for row in rows[1:] or rows)
    return all(len(row) == len(rows[0]) > 1 for row in rows) and all(map(_is_number_or_time, numbers))


def with_decimal_points(numbers: Sequence[tuple[int, str]], path: str | Path) -> list[str]:
    """Numbers with decimal points: `10,5` becomes `10.5`, `1.000,5` becomes `1000.5`.

    Args:
        numbers: as text, with their lines.
        path: their file, for messages.

    Raises:
        DataError: nothing shows whether the comma of a number such as `1,234` separates decimals or thousands.
    """
    if ungrouped := _without_thousands([text.strip() for _, text in numbers]):
        return ungrouped
    with_comma = [(line, text.strip()) for line, text in numbers if _DECIMAL_COMMA.fullmatch(text.strip())]
    if not with_comma or any("." in text and is_number(text) for _, text in numbers):
        return [text for _, text in numbers]
    if all(_COMMA_BEFORE_THREE_DIGITS.fullmatch(text) for _, text in with_comma):
        line, text = with_comma[0]
        reason = f"expected a number, got {text!r}, which may be {text.replace(',', '.')} or {text.replace(',', '')}."
        raise DataError(reason, path=path, line=line, hint="Write numbers with a decimal point.")
    logger.info("%s: commas in numbers are read as decimal points (%s)", path, with_comma[0][1])
    return [text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text.strip()) else text for _, text in numbers]


def _without_thousands(cells: list[str]) -> list[str] | None:
    """Numbers without thousands separators, `1.000,5` or `1,000.5`; None if nothing shows which of the two it is."""
    decimal_marks = [mark for mark, grouped in _GROUPED.items() if any(map(grouped.fullmatch, cells))]
    if len(decimal_marks) != 1:
        return None
    [mark] = decimal_marks
    other = {".": ",", ",": "."}[mark]
    number = re.compile(rf"[+-]?(\d+|[1-9]\d{{0,2}}(\{other}\d{{3}})+)(\{mark}\d+)?")
    return [cell.replace(other, "").replace(mark, ".") if number.fullmatch(cell) else cell for cell in cells]
