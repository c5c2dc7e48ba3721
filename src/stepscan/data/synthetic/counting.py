"""The language aⁿbⁿ (Gers & Schmidhuber 2001; Weiss et al. 2018): to predict its end, a model must count."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, check_length

A, B = 0, 1
SYMBOLS = 2
A_OR_B, ONLY_B, THE_END = 0, 1, 2  # what may follow
CLASSES = 3


def counting(numbers: Iterable[int]) -> GeneratedExamples:
    """aⁿbⁿ for each n; the target is what may follow each symbol.

    Args:
        numbers: the n, each at least 1.

    Returns:
        inputs: rows `[2n]`; targets: rows `[2n]`: after an a either symbol, after the first n − 1 b's only b, then the
        end.

    Raises:
        SettingsError: an n below 1.
    """
    numbers = list(numbers)
    for n in numbers:
        check_length("counting", n, 1)
    inputs = [np.repeat([A, B], n) for n in numbers]
    targets = [np.array([A_OR_B] * n + [ONLY_B] * (n - 1) + [THE_END]) for n in numbers]
    return GeneratedExamples(inputs, targets)
