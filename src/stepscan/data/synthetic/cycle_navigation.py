"""Cycle navigation (Delétang et al. 2023, appendix A): a regular language."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length

CLASSES = 5  # places on the cycle
SYMBOLS = 3  # a step back, none, one forward


def cycle_navigation(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Steps on a cycle of five places, from place 0 `[N, length]` → `[N]`: where they end."""
    check_length("cycle navigation", length, 1)
    inputs = np.random.default_rng(seed).integers(SYMBOLS, size=(count, length))
    return GeneratedExamples(inputs, (inputs - 1).sum(axis=1) % CLASSES)
