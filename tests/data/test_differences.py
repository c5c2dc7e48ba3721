"""The lag at which a series is differenced where none is given."""

from __future__ import annotations

import numpy as np
import pytest

from stepscan.data.series.differences import steadiest_lag

STEPS, NOISE = np.arange(240.0), np.random.default_rng(0).normal(size=240)
SEASON = np.tile([0, 3, 5, 9, 4, 2, 8, 1, 7, 3, 2, 6], 20)
SERIES = {
    "noise": (NOISE, 0),
    "season in much noise": (SEASON + 4 * NOISE, 0),
    "season alone": (SEASON + 0.1 * STEPS, 12),
    "season": (SEASON + 0.5 * NOISE, 12),
    "season and trend": (SEASON + STEPS + NOISE, 12),
    "trend": (STEPS + NOISE, 1),
    "walk": (np.cumsum(NOISE), 1),
    "constant": (np.ones(240), 0),
    "overflow": (np.where(NOISE > 0, 1e300, 0.0), 0),
}


@pytest.mark.parametrize("name", SERIES)
def test_the_lag_is_that_of_the_structure(name):
    values, expected = SERIES[name]
    assert steadiest_lag([values[:, None]], 240) == expected


def test_of_several_series_and_dimensions_the_mean_counts():
    both = np.stack([SEASON, np.ones(240)], axis=1)
    assert steadiest_lag([both, both[12:]], 228) == 12
    assert steadiest_lag([both, both[12:]], 35) == 0  # a third of them is less than a period
    assert steadiest_lag([SEASON[:, None], *[NOISE[:, None]] * 9], 240) == 0
    assert steadiest_lag([STEPS[:29, None]], 29) == 0
    assert steadiest_lag([STEPS[:30, None]], 30) == 1
