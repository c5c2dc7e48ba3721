"""Reversing a string (Delétang et al. 2023, appendix A): deterministic context-free."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length, read_then_answer

LETTERS = 2
SYMBOLS = CLASSES = LETTERS + 1  # the last one: nothing, to be read while answering and said while reading


def reverse(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Letters, and then as many steps to answer in `[N, 2·length]` → nothing, and then the letters from the last to the
    first, likewise."""
    check_length("reverse", length, 1)
    letters = np.random.default_rng(seed).integers(LETTERS, size=(count, length))
    return read_then_answer(letters, letters[:, ::-1], blank=LETTERS)
