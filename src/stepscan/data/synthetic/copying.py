"""Copy memory (Hochreiter & Schmidhuber 1997; as in Arjovsky et al. 2016)."""

from __future__ import annotations

import math

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length

LETTERS, LENGTH = 8, 10  # how many symbols there are to remember, and how many are remembered
BLANK, CUE = LETTERS, LETTERS + 1
SYMBOLS = LETTERS + 2


def copying(seed: Seed, count: int, delay: int) -> GeneratedExamples:
    """Ten symbols, `delay` steps of nothing, and then the ten are wanted again.

    Args:
        seed: of the draw.
        count: N.
        delay: steps between the last symbol and the first answer, at least 1; the last of them says go.

    Returns:
        inputs `[N, delay + 20]`: ten of eight symbols, blanks, the cue, ten blanks; targets likewise: blanks, then the
        ten symbols.
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
    """Nats a step of who knows when to answer, and guesses: 10 ln 8 / (delay + 20)."""
    return LENGTH * math.log(LETTERS) / (delay + 2 * LENGTH)
