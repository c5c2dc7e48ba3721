"""The adding problem (Hochreiter & Schmidhuber 1997, §5.4; as in Le et al. 2015 and Arjovsky et al. 2016)."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length

BASELINE = 1 / 6  # mean squared error of always predicting 1: the variance of the sum of two uniform numbers


def adding(seed: Seed, count: int, steps: int) -> GeneratedExamples:
    """Sequences of pairs (number, marker): two numbers are marked, one in each half; the target is their sum.

    Args:
        seed: of the draw.
        count: N.
        steps: T, at least 2.

    Returns:
        inputs `[N, T, 2]`: a uniform number from 0 to 1, and 1 where it is marked, else 0; targets `[N]`.

    Raises:
        SettingsError: fewer than 2 steps.
    """
    check_length("adding", steps, 2)
    random = np.random.default_rng(seed)
    numbers = random.random((count, steps))
    markers = np.zeros((count, steps))
    rows = np.arange(count)
    for start, end in ((0, steps // 2), (steps // 2, steps)):
        markers[rows, random.integers(start, end, count)] = 1
    return GeneratedExamples(np.stack([numbers, markers], axis=2), (numbers * markers).sum(axis=1))
