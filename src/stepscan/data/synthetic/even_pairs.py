"""Even pairs (Delétang et al. 2023, appendix A): a regular language."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length

SYMBOLS = CLASSES = 2


def even_pairs(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Zeros and ones `[N, length]` → `[N]`: 1 if neighbours differ at an odd number of places, else 0.

    That is so exactly if the first and the last symbol differ.
    """
    check_length("even pairs", length, 1)
    inputs = np.random.default_rng(seed).integers(SYMBOLS, size=(count, length))
    return GeneratedExamples(inputs, (inputs[:, 1:] != inputs[:, :-1]).sum(axis=1) % 2)
