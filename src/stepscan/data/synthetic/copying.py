"""Copy memory (Hochreiter & Schmidhuber 1997; as in Arjovsky et al. 2016)."""

from __future__ import annotations

import math

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length

LETTERS, LENGTH = 8, 10  # different symbols to remember, and symbols per sequence
BLANK, CUE = LETTERS, LETTERS + 1
SYMBOLS = LETTERS + 2


def copying(seed: Seed, count: int, delay: int) -> GeneratedExamples:
    """Ten symbols to repeat after a delay.

    Args:
        seed: of the draw.
        count: N.
        delay: steps between the last symbol and the first answer, at least 1; the last of them is the cue.

    Returns:
        inputs `[N, delay + 20]`: ten of eight symbols, blanks, the cue, ten blanks; targets `[N, delay + 20]`: blanks,
        then the ten symbols.

    Raises:
        SettingsError: a delay below 1.
    """
    check_length("copy", delay, 1)
    symbols = np.random.default_rng(seed).integers(LETTERS, size=(count, LENGTH))
    inputs = np.full((count, delay + 2 * LENGTH), BLANK)
    targets = inputs.copy()
    inputs[:, :LENGTH] = symbols
    inputs[:, -LENGTH - 1] = CUE
    targets[:, -LENGTH:] = symbols
    return GeneratedExamples(inputs, targets)


def memoryless(delay: int) -> float:
    """Cross-entropy of a model without memory, which guesses the symbols: 10 ln 8 / (delay + 20) nats per step."""
    return LENGTH * math.log(LETTERS) / (delay + 2 * LENGTH)
