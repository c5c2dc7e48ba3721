"""Reversing a string (Delétang et al. 2023, appendix A): a deterministic context-free language."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length, read_then_answer

LETTERS = 2
SYMBOLS = CLASSES = LETTERS + 1  # the last one is the blank


def reverse(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Letters to repeat in reverse order, after all of them are read.

    Args:
        seed: of the draw.
        count: N.
        length: letters per sequence, at least 1.

    Returns:
        inputs `[N, 2·length]`: the letters, then blanks; targets `[N, 2·length]`: blanks, then the letters reversed.

    Raises:
        SettingsError: a length below 1.
    """
    check_length("reverse", length, 1)
    letters = np.random.default_rng(seed).integers(LETTERS, size=(count, length))
    return read_then_answer(letters, letters[:, ::-1], blank=LETTERS)
