"""Even pairs (Delétang et al. 2023, appendix A): a regular language."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length

SYMBOLS = CLASSES = 2


def even_pairs(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Bits; the target is whether an odd number of adjacent bits differ, that is, whether the first and the last do.

    Args:
        seed: of the draw.
        count: N.
        length: bits per sequence, at least 1.

    Returns:
        inputs `[N, length]` of 0 and 1; targets `[N]` of 0 and 1.

    Raises:
        SettingsError: a length below 1.
    """
    check_length("even pairs", length, 1)
    inputs = np.random.default_rng(seed).integers(SYMBOLS, size=(count, length))
    return GeneratedExamples(inputs, (inputs[:, 1:] != inputs[:, :-1]).sum(axis=1) % 2)
