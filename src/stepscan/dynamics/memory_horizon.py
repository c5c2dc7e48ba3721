"""The memory horizon: the lag at which a gradient has fallen to a small fraction of its value at lag 0."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class MemoryHorizon(NamedTuple):
    """Lags, in steps, at which a relative gradient first falls to 1/e and to 1 %; inf if it does not within the lags
    measured."""

    one_over_e: float
    one_percent: float


def memory_horizon(lags: np.ndarray, median: np.ndarray) -> MemoryHorizon:
    """The memory horizon of a curve, interpolated between lags on a logarithmic scale.

    Args:
        lags: `[K]`, ascending, in steps.
        median: `[K]`, gradient norms relative to lag 0; NaN is ignored.

    Raises:
        ValueError: the two arrays are not of one length.
    """
    lags, median = np.asarray(lags, dtype=float), np.asarray(median, dtype=float)
    if lags.ndim != 1 or lags.shape != median.shape:
        raise ValueError(f"expected lags [K] and median [K], got {list(lags.shape)} and {list(median.shape)}")
    known = ~np.isnan(median)
    return MemoryHorizon(*(_crossing(level, lags[known], median[known]) for level in (1 / math.e, 0.01)))


def _crossing(level: float, lags: np.ndarray, values: np.ndarray) -> float:
    """The lag at which the values first are `level` or less."""
    below = np.flatnonzero(values <= level)
    if not len(below):
        return math.inf
    index = int(below[0])
    if index == 0:
        return float(lags[0])
    (before, after), (high, low) = lags[index - 1 : index + 1], values[index - 1 : index + 1]
    if low == 0:  # it has no logarithm: interpolate linearly
        return float(before + (high - level) / (high - low) * (after - before))
    return float(before + math.log(high / level) / math.log(high / low) * (after - before))
