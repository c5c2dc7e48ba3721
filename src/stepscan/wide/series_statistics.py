"""Standardisation of series, and statistics of each series.

Dimension letters: T time, D dimensions of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from stepscan.backends.batches import Array

STATISTICS = 7  # per dimension, including the length
_MAX_STANDARDISED = 1e6  # standardised values are clipped, so that no sum overflows
_CONSTANT = 1e-12  # standard deviation, relative to the mean, below which a dimension is constant up to rounding


class Standardiser(NamedTuple):
    """Mean and standard deviation of each dimension."""

    mean: Array  # [D] float64
    deviation: Array  # [D] float64, above 0; 1 for a constant dimension

    @classmethod
    def fit(cls, series: Sequence[Array]) -> Self:
        """Mean and deviation over all steps of all series `[T, D]`, whose values must be finite."""
        peak = np.max([np.abs(values).max(axis=0, initial=0) for values in series], axis=0)
        unit = np.where(peak > 0, peak, 1.0)  # so that squares do not overflow or underflow
        steps = max(1, sum(len(values) for values in series))
        mean = sum((values / unit).sum(axis=0) for values in series) / steps
        deviation = np.sqrt(sum(np.square(values / unit - mean).sum(axis=0) for values in series) / steps)
        constant = (deviation <= _CONSTANT * np.abs(mean)) | (deviation * unit == 0)
        return cls(mean * unit, np.where(constant, 1.0, deviation * unit))

    def transform(self, values: Array) -> Array:
        """`(x − mean) / deviation` of `[…, D]`, float64, clipped to ±10⁶."""
        with np.errstate(over="ignore"):
            return np.clip((values - self.mean) / self.deviation, -_MAX_STANDARDISED, _MAX_STANDARDISED)


def series_statistics(values: Array) -> Array:
    """Mean, deviation, minimum, maximum, first and last value of each dimension, and the logarithm of the length:
    `[7 · D]` for standardised values `[T, D]`; zeros for an empty series."""
    if not len(values):
        return np.zeros(STATISTICS * values.shape[1])
    moments = [values.mean(axis=0), values.std(axis=0)]
    length = np.full(values.shape[1], np.log(len(values)))
    return np.concatenate([*moments, values.min(axis=0), values.max(axis=0), values[0], values[-1], length])
