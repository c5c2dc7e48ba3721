"""Cells of numbers in tables: what separates them, and decimal commas."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from stepscan.data.delimited import Dialect, Row
from stepscan.data.series.time_formats import looks_like_a_time
from stepscan.data.series.values import is_number
from stepscan.errors import DataError

logger = logging.getLogger(__name__)

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_GROUPED = {  # by the decimal mark: numbers whose thousands are parted by the other one, without doubt
    mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}(\{other}\d{{3}})+(\{mark}\d+|(?<=\{other}\d{{3}}\{other}\d{{3}}))")
    for mark, other in (".,", ",.")
}
_LIKE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)  # as spreadsheets write it above the first row
_SAMPLE = 50  # lines


def number_rows(lines: Iterable[tuple[int, str]], path: str | Path) -> list[Row]:
    """The cells of each line, none of a blank one; numbers with decimal commas have points.

    A semicolon, tab or vertical bar separates cells if each of the first lines has one, or else a comma, or else
    blanks, as `numpy.savetxt` writes them.

    Raises:
        DataError: nothing shows whether commas part decimals or thousands.
    """
    lines = _without_comments(list(lines), path)
    if lines and _SEPARATOR.fullmatch(lines[0][1].strip(" ")):
        lines = lines[1:]
    rows = _rows(lines, path)
    _warn_of_thousands(rows, path)
    filled = [row for _, row in rows if row]
    if filled and len(filled[0]) > 1 and not any(row[-1] for row in filled) and not any(map(is_number, filled[0])):
        return [(line, row[:-1]) for line, row in rows]  # a comma at the end of every row
    return rows


def _rows(lines: Sequence[tuple[int, str]], path: str | Path) -> list[Row]:
    mark = _mark([text for _, text in lines])
    if mark == " ":
        return [(line, text.split()) for line, text in lines]
    rows = [(line, _split(text, mark)) for line, text in lines]
    if mark != ",":
        logger.info("%s: %s separates cells", path, Dialect(mark).name)
    elif not any('"' in text for _, text in lines):
        return rows
    cells = iter(with_points([(line, cell) for line, row in rows for cell in row], path))
    return [(line, [next(cells) for _ in row]) for line, row in rows]


def _mark(texts: Sequence[str]) -> str:
    """What separates the cells of lines."""
    first = [text.strip(" ") for text in texts if text.strip()][:_SAMPLE]
    mark = next((mark for mark in ";\t|" if all(mark in text for text in first)), ",")
    return " " if mark == "," and not any("," in text for text in first) and _are_apart(first) else mark


def _without_comments(lines: list[tuple[int, str]], path: str | Path) -> list[tuple[int, str]]:
    """The lines without those that begin with `#`; one above the rows that names each column is the header."""
    marked = {line for line, text in lines if text.lstrip().startswith("#")}
    rest = [(line, text) for line, text in lines if line not in marked]
    start = next((line for line, text in rest if text.strip()), 0)
    if not marked or not start:
        return lines
    mark = _mark([text for _, text in rest])
    width = len(_cells(dict(rest)[start], mark))
    is_row = {line: len(_cells(text.lstrip(" #"), mark)) == width > 1 for line, text in lines if line in marked}
    header = max((line for line in marked if line < start), default=0)
    if is_row.get(header) and not all(_is_number_or_time(cell) for cell in _cells(dict(rest)[start], mark)):
        header = 0  # the names stand in the row below
    kept = {line for line in marked if is_row[line] and (line == header or line > start)}
    if out := [text for line, text in lines if line in marked - kept]:
        s = "s that begin" if len(out) > 1 else " that begins"
        are = "are left out, the first" if len(out) > 1 else "is left out"
        logger.info(f"{path}: {len(out)} line{s} with # {are}: {out[0][:60]!r}")
    return [
        (line, text.lstrip(" #") if line == header else text)
        for line, text in lines
        if line in kept or line not in marked
    ]


def _cells(text: str, mark: str) -> list[str]:
    return text.split() if mark == " " else _split(text, mark)


def _is_number_or_time(cell: str) -> bool:
    return is_number(cell) or looks_like_a_time(cell)


def _warn_of_thousands(rows: Sequence[Row], path: str | Path) -> None:
    """Log a warning where a point may part thousands: beside whole numbers of three digits, none has another point."""
    for column in range(len(rows[0][1]) if rows else 0):
        cells = [(line, row[column]) for line, row in rows if column < len(row)]
        pointed = [(line, cell) for line, cell in cells if "." in cell]
        if not pointed or not all(_LIKE_THOUSANDS.fullmatch(cell) for _, cell in pointed):
            continue
        if any(re.fullmatch(r"[+-]?\d{3}", cell) for _, cell in cells):
            line, cell = pointed[0]
            meant = f"if it is {cell.replace('.', '')}, remove the separators of thousands"
            logger.warning(f"{path}, line {line}: {cell!r} is read as {float(cell):g}; {meant}")


def _are_apart(texts: Sequence[str]) -> bool:
    """Whether blanks separate as many cells in each line, and below the first all but the last are numbers."""
    rows = [text.split() for text in texts]
    numbers = chain.from_iterable(row[:-1] for row in rows[1:] or rows)
    return all(len(row) == len(rows[0]) > 1 for row in rows) and all(map(_is_number_or_time, numbers))


def _split(text: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter))] if text.strip() else []


def with_points(numbers: Sequence[tuple[int, str]], path: str | Path) -> list[str]:
    """Numbers, each with its line, as they are with a decimal point: `10,5` is `10.5`.

    Raises:
        DataError: nothing shows whether the comma of a number such as `1,234` parts decimals or thousands.
    """
    if grouped := _without_groups([text.strip() for _, text in numbers]):
        return grouped
    commas = [(line, text.strip()) for line, text in numbers if _DECIMAL_COMMA.fullmatch(text.strip())]
    if not commas or any("." in text and is_number(text) for _, text in numbers):
        return [text for _, text in numbers]
    if all(_THOUSANDS.fullmatch(text) for _, text in commas):
        line, text = commas[0]
        reason = f"{text!r} may be {text.replace(',', '.')} or {text.replace(',', '')}."
        raise DataError(reason, path=path, line=line, hint="Write numbers with a decimal point.")
    logger.info("%s: commas in numbers are read as decimal points (%s)", path, commas[0][1])
    return [text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text.strip()) else text for _, text in numbers]


def _without_groups(cells: list[str]) -> list[str] | None:
    """Numbers without what parts their thousands, `1.000,5` or `1,000.5`; None where nothing shows which it is."""
    shown = [mark for mark, grouped in _GROUPED.items() if any(map(grouped.fullmatch, cells))]
    if len(shown) != 1:
        return None
    [mark], other = shown, {".": ",", ",": "."}[shown[0]]
    number = re.compile(rf"[+-]?(\d+|[1-9]\d{{0,2}}(\{other}\d{{3}})+)(\{mark}\d+)?")
    return [cell.replace(other, "").replace(mark, ".") if number.fullmatch(cell) else cell for cell in cells]
