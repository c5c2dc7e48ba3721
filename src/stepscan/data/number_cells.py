"""Cells of numbers in tables: what separates them, and decimal commas."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from stepscan.data.delimited import Dialect, Row
from stepscan.data.numbers import is_number
from stepscan.errors import DataError

logger = logging.getLogger(__name__)

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_SAMPLE = 50  # lines


def number_rows(lines: Iterable[tuple[int, str]], path: str | Path) -> list[Row]:
    """The cells of each line, none of a blank one; numbers with decimal commas have points.

    A semicolon, tab or vertical bar separates cells if each of the first lines has one, or else a comma, or else
    blanks, as `numpy.savetxt` writes them.

    Raises:
        DataError: nothing shows whether commas part decimals or thousands.
    """
    lines = list(lines)
    first = [text.strip(" ") for _, text in lines[:_SAMPLE] if text.strip()]
    mark = next((mark for mark in ";\t|" if all(mark in text for text in first)), None)
    if mark is None and not any("," in text for text in first) and _are_apart(first):
        return [(line, text.split()) for line, text in lines]
    rows = [(line, _split(text, mark or ",")) for line, text in lines]
    if mark is None:
        return rows
    logger.info("%s: %s separates cells", path, Dialect(mark).name)
    cells = iter(with_points([(line, cell) for line, row in rows for cell in row], path))
    return [(line, [next(cells) for _ in row]) for line, row in rows]


def _are_apart(texts: Sequence[str]) -> bool:
    """Whether blanks separate as many cells in each line, and below the first all but the last are numbers."""
    rows = [text.split() for text in texts]
    numbers = chain.from_iterable(row[:-1] for row in rows[1:] or rows)
    return all(len(row) == len(rows[0]) > 1 for row in rows) and all(map(is_number, numbers))


def _split(text: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter))] if text.strip() else []


def with_points(numbers: Sequence[tuple[int, str]], path: str | Path) -> list[str]:
    """Numbers, each with its line, as they are with a decimal point: `10,5` is `10.5`.

    Raises:
        DataError: nothing shows whether the comma of a number such as `1,234` parts decimals or thousands.
    """
    commas = [(line, text.strip()) for line, text in numbers if _DECIMAL_COMMA.fullmatch(text.strip())]
    if not commas or any("." in text and is_number(text) for _, text in numbers):
        return [text for _, text in numbers]
    if all(_THOUSANDS.fullmatch(text) for _, text in commas):
        line, text = commas[0]
        reason = f"{text!r} may be {text.replace(',', '.')} or {text.replace(',', '')}."
        raise DataError(reason, path=path, line=line, hint="Write numbers with a decimal point.")
    logger.info("%s: commas in numbers are read as decimal points (%s)", path, commas[0][1])
    return [text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text.strip()) else text for _, text in numbers]
