"""Text to finite numbers: what every reader of numeric sequences shares."""

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
_SENTINELS = {-99, -999, -9999, -99999}  # often written in place of a missing value
NO_GUESSES = "Fill the gaps, or leave the series out: Stepscan does not guess values."


_HINTS = (  # what is often written in place of a number
    (re.compile(r"[+-]?\d{1,3}([,.' \u00a0\u202f_])\d{3}(\1\d{3})*([.,]\d+)?"), "Remove the separators of thousands."),
    (re.compile(r"[+-]?[\d.,]*\d\s*[^\d\s.,][^\d]*|[^\d\s.,+-]\s*[+-]?[\d.,]*\d"), "Remove the unit."),
    (re.compile(r"true|false|yes|no", re.IGNORECASE), "Write 1 and 0."),
)


def is_number(text: str) -> bool:
    """Whether the text is written as a number, finite or not; `1_000`, which Python takes, is not."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no number."""
    return text.strip().lower() in _MISSING


def values_of(cells: Sequence[str], path: str | Path, line: int, dimension: int | None = None) -> Values:
    """The cells of a line as finite numbers `[T]`.

    Raises:
        DataError: names the first cell that is missing, no number, or not finite.
    """
    try:
        values = np.array([float(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        values = np.full(len(cells), np.nan)
    if np.isfinite(values).all() and not any("_" in cell for cell in cells):
        return values
    place = next(i for i, cell in enumerate(cells) if not is_number(cell) or not math.isfinite(float(cell)))
    where = f"value {place + 1}" + (f" of dimension {dimension}" if dimension else "")
    text = cells[place].strip()
    if is_missing(text):
        raise DataError(f"{where} is missing ({text or 'empty'}).", path=path, line=line, hint=NO_GUESSES)
    reason = f"{where} is {text[:40]!r}, not a finite number."
    raise DataError(reason, path=path, line=line, hint=next((hint for way, hint in _HINTS if way.fullmatch(text)), ""))


def values_with_gaps(cells: Sequence[str], path: str | Path, line: int) -> Values:
    """As `values_of`, but a missing value is NaN."""
    missing = [is_missing(cell) for cell in cells]
    values = values_of(["0" if lacks else cell for cell, lacks in zip(cells, missing, strict=True)], path, line)
    values[missing] = np.nan
    return values


def warn_of_odd(values: Values, path: str | Path) -> None:
    """Log a warning about numbers `[T, D]` (NaN: missing) that may stand for missing ones, or are not kept exactly."""
    for column in values.T:
        known = column[~np.isnan(column)]
        lowest = known.min(initial=0)
        others = known[known != lowest]
        if lowest in _SENTINELS and len(others) and others.min() > lowest / 2:
            count = len(known) - len(others)
            what = f"the number {lowest:g} is there {count} time{'s' * (count > 1)}, far below all others"
            logger.warning(f"{path}: {what}: if it says that a value is missing, write NA in its place")
    large = values[(np.abs(values) > 2**53) & (np.abs(values) < 2**63)]
    if large.size:
        logger.warning(f"{path}: whole numbers above 2^53, such as {large[0]:.0f}, lose their last digits")


def stacked(dimensions: Sequence[Values], path: str | Path, line: int) -> Values:
    """D dimensions of T values each → `[T, D]`; a DataError if their lengths differ."""
    for number, values in enumerate(dimensions, start=1):
        if len(values) != len(dimensions[0]):
            reason = f"dimension {number} has {len(values)} values, but dimension 1 has {len(dimensions[0])}."
            raise DataError(reason, path=path, line=line)
    return np.stack(dimensions, axis=1)


def canonical_label(text: str) -> str:
    """A label as it is meant: `1.000000` is `1`; what is no whole number stays as it is written."""
    text = text.strip()
    if is_number(text) and math.isfinite(float(text)) and float(text).is_integer():
        return str(int(float(text)))
    return text
