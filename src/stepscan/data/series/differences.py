"""At which distance in time the values of series differ least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_MAX_RATIO = 0.4  # of the spread of differences to that of values, for differences to be worth modelling
_TOLERANCE, _NEGLIGIBLE = 1.2, 0.01  # a smaller lag is preferred if its ratio is at most 1.2 times the least, or 0.01
_FEWEST_STEPS = 30  # of the shortest series; fewer say too little
_MOST_STEPS, _MOST_SERIES, _MOST_LAGS = 5000, 100, 1000  # that are looked at


def steadiest_lag(series: Sequence[np.ndarray], shortest: int) -> int:
    """The lag s at which the differences z_t − z_(t − s) spread least, 0 if hardly less than the values z themselves.

    Of a trend that is lag 1, of a strong season its period: the order of differencing with the least standard deviation
    is the one to take (Box & Jenkins 1976). Spread is the standard deviation relative to that of the values, on average
    over series and dimensions.

    Args:
        series: `[T, D]` each.
        shortest: the fewest steps of any series that must have differences; a lag is at most a third of them.
    """
    if shortest < _FEWEST_STEPS:
        return 0
    some = [one[:_MOST_STEPS] for one in series[:_MOST_SERIES]]
    with np.errstate(all="ignore"):  # constant series, and values that are refused later
        spreads = np.concatenate([one.std(axis=0) for one in some])

        def ratio(lag: int) -> float:
            found = np.concatenate([(one[lag:] - one[:-lag]).std(axis=0) for one in some]) / spreads
            return float(found[np.isfinite(found)].mean()) if np.isfinite(found).any() else np.inf

        ratios = {lag: ratio(lag) for lag in range(1, min(shortest // 3, _MOST_LAGS) + 1)}
    least = min(ratios.values())
    if least > _MAX_RATIO:
        return 0
    return next(lag for lag, found in ratios.items() if found <= max(_TOLERANCE * least, _NEGLIGIBLE))
