"""Cells of text to finite numbers, as all readers of series need them."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stepscan.errors import DataError

logger = logging.getLogger(__name__)
Values = NDArray[np.float64]
_MISSING = {"?", "na", "n/a", "null", "none", "nan", "-nan", "+nan", "", "-", "--", ".", ":", "#n/a", "<na>", "nat"}
_SENTINELS = {-99, -999, -9999, -99999}  # often written for a missing value
FILL_HINT = "Fill the gaps or remove the series: missing values are not imputed."


_HINTS = (  # for what is often written instead of a number
    (re.compile(r"[+-]?\d{1,3}([,.' \u00a0\u202f_])\d{3}(\1\d{3})*([.,]\d+)?"), "Remove the thousands separators."),
    (re.compile(r"[+-]?[\d.,]*\d\s*[^\d\s.,][^\d]*|[^\d\s.,+-]\s*[+-]?[\d.,]*\d"), "Remove the unit."),
    (re.compile(r"true|false|yes|no", re.IGNORECASE), "Write 1 and 0."),
)


def is_number(text: str) -> bool:
    """Whether a text is a number, finite or not. `1_000`, which `float` accepts, is not."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def is_missing(text: str) -> bool:
    """Whether a cell marks a missing value."""
    return text.strip().lower() in _MISSING


def parse_values(cells: Sequence[str], path: str | Path, line: int, dimension: int | None = None) -> Values:
    """The cells of a line as finite numbers `[T]`.

    Args:
        cells: T texts.
        path, line, dimension: where they are, for errors.

    Raises:
        DataError: a cell is missing, not a number, or not finite; names the first.
    """
    try:
        values = np.array([float(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        values = np.full(len(cells), np.nan)
    if np.isfinite(values).all() and not any("_" in cell for cell in cells):
        return values
    index = next(i for i, cell in enumerate(cells) if not is_number(cell) or not math.isfinite(float(cell)))
    where = f"value {index + 1}" + (f" of dimension {dimension}" if dimension else "")
    text = cells[index].strip()
    if is_missing(text):
        reason = f"expected a number as {where}, got a missing value ({text or 'empty'})."
        raise DataError(reason, path=path, line=line, hint=FILL_HINT)
    hint = next((hint for pattern, hint in _HINTS if pattern.fullmatch(text)), "")
    raise DataError(f"expected a finite number as {where}, got {text[:40]!r}.", path=path, line=line, hint=hint)


def parse_values_with_gaps(cells: Sequence[str], path: str | Path, line: int) -> Values:
    """As `parse_values`, but a missing value is NaN."""
    missing = [is_missing(cell) for cell in cells]
    values = parse_values(["0" if lacks else cell for cell, lacks in zip(cells, missing, strict=True)], path, line)
    values[missing] = np.nan
    return values


def warn_of_suspect_values(values: Values, path: str | Path) -> None:
    """Log a warning about values `[T, D]` (NaN: missing) that may mark missing ones, or are too large to be exact."""
    for column in values.T:
        known = column[~np.isnan(column)]
        lowest = known.min(initial=0)
        others = known[known != lowest]
        if lowest in _SENTINELS and len(others) and others.min() > lowest / 2:
            count = len(known) - len(others)
            occurs = f"{lowest:g} occurs {count} time{'s' * (count > 1)}, far below all other values"
            logger.warning(f"{path}: {occurs}: if it marks missing values, write NA in their place")
    large = values[(np.abs(values) > 2**53) & (np.abs(values) < 2**63)]
    if large.size:
        logger.warning(f"{path}: whole numbers above 2^53, such as {large[0]:.0f}, lose their last digits")


def stack_dimensions(dimensions: Sequence[Values], path: str | Path, line: int) -> Values:
    """D dimensions of T values each as `[T, D]`.

    Raises:
        DataError: their lengths differ.
    """
    length = len(dimensions[0])
    for number, values in enumerate(dimensions, start=1):
        if len(values) != length:
            reason = f"expected {length} values in dimension {number}, as in dimension 1, got {len(values)}."
            raise DataError(reason, path=path, line=line)
    return np.stack(dimensions, axis=1)


def canonical_label(text: str) -> str:
    """A label without whitespace around it, and without decimals if it is a whole number: `1.000000` becomes `1`."""
    text = text.strip()
    if is_number(text) and math.isfinite(float(text)) and float(text).is_integer():
        return str(int(float(text)))
    return text
