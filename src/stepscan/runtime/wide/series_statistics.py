"""The scale of each dimension of series, and a few numbers that say where on it a series lies.

Dimension letters: T time, D dimensions of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from stepscan.runtime.batches import Array

LEVELS = 7  # numbers a dimension, the length among them
_FURTHEST = 1e6  # deviations from the mean: more is told apart no further, so that no sum overflows
_CONSTANT = 1e-12  # spread, relative to the mean, below which a dimension only differs by rounding


class Scale(NamedTuple):
    """Where each dimension lies, and how far it spreads."""

    mean: Array  # [D] float64
    deviation: Array  # [D] float64, above 0: 1 for a dimension that never changes

    @classmethod
    def of(cls, series: Sequence[Array]) -> Self:
        """Those of all steps of series `[T, D]` together, none of whose numbers may be infinite."""
        peak = np.max([np.abs(one).max(axis=0, initial=0) for one in series], axis=0)
        unit = np.where(peak > 0, peak, 1.0)  # so that no square overflows or is lost
        steps = max(1, sum(len(one) for one in series))
        mean = sum((one / unit).sum(axis=0) for one in series) / steps
        deviation = np.sqrt(sum(np.square(one / unit - mean).sum(axis=0) for one in series) / steps)
        constant = (deviation <= _CONSTANT * np.abs(mean)) | (deviation * unit == 0)
        return cls(mean * unit, np.where(constant, 1.0, deviation * unit))

    def standardised(self, values: Array) -> Array:
        """`(x − mean) / deviation`, float64."""
        with np.errstate(over="ignore"):
            return np.clip((values - self.mean) / self.deviation, -_FURTHEST, _FURTHEST)


def levels(values: Array) -> Array:
    """Mean, deviation, least, greatest, first and last value of each dimension, and the logarithm of the length:
    `[7 · D]` of standardised values `[T, D]`; zeros for a series without a step."""
    if not len(values):
        return np.zeros(LEVELS * values.shape[1])
    parts = [values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0), values[0], values[-1]]
    return np.concatenate([*parts, np.full(values.shape[1], np.log(len(values)))])
