"""Parity (Delétang et al. 2023, appendix A): a regular language."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length

SYMBOLS = CLASSES = 2


def parity(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Zeros and ones `[N, length]` → `[N]`: 1 if the ones are odd in number, else 0."""
    check_length("parity", length, 1)
    inputs = np.random.default_rng(seed).integers(SYMBOLS, size=(count, length))
    return GeneratedExamples(inputs, inputs.sum(axis=1) % 2)
