"""Sorting numbers of which there are few (Delétang et al. 2023, appendix A): counting is enough."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length, read_then_answer

LETTERS = 5
SYMBOLS = CLASSES = LETTERS + 1  # the last one: nothing, to be read while answering and said while reading


def bucket_sort(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Numbers of 0 … 4, and then as many steps to answer in `[N, 2·length]` → nothing, and then the numbers from the
    least to the greatest, likewise."""
    check_length("bucket sort", length, 1)
    letters = np.random.default_rng(seed).integers(LETTERS, size=(count, length))
    return read_then_answer(letters, np.sort(letters, axis=1), blank=LETTERS)
