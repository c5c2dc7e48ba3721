"""Bucket sort (Delétang et al. 2023, appendix A): sorting numbers of a small range, for which counting is enough."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length, read_then_answer

LETTERS = 5
SYMBOLS = CLASSES = LETTERS + 1  # the last one is the blank


def bucket_sort(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Numbers 0 … 4 to sort in ascending order, after all of them are read.

    Args:
        seed: of the draw.
        count: N.
        length: how many numbers there are per sequence, at least 1.

    Returns:
        inputs `[N, 2·length]`: the numbers, then blanks; targets `[N, 2·length]`: blanks, then the sorted numbers.

    Raises:
        SettingsError: a length below 1.
    """
    check_length("bucket sort", length, 1)
    letters = np.random.default_rng(seed).integers(LETTERS, size=(count, length))
    return read_then_answer(letters, np.sort(letters, axis=1), blank=LETTERS)
