"""Text to finite numbers: what every reader of numeric sequences shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stepscan.errors import DataError

Values = NDArray[np.float64]
_MISSING = {"?", "na", "n/a", "null", "none", "nan", "-nan", "+nan", ""}
NO_GUESSES = "Fill the gaps, or leave the series out: Stepscan does not guess values."


def is_number(text: str) -> bool:
    """Whether the text is written as a number, finite or not; `1_000`, which Python takes, is not."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


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
    if text.lower() in _MISSING:
        raise DataError(f"{where} is missing ({text or 'empty'}).", path=path, line=line, hint=NO_GUESSES)
    raise DataError(f"{where} is {text[:40]!r}, not a finite number.", path=path, line=line)


def values_with_gaps(cells: Sequence[str], path: str | Path, line: int) -> Values:
    """As `values_of`, but a missing value is NaN."""
    missing = [cell.strip().lower() in _MISSING for cell in cells]
    values = values_of(["0" if lacks else cell for cell, lacks in zip(cells, missing, strict=True)], path, line)
    values[missing] = np.nan
    return values


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
