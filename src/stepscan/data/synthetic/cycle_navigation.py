"""Cycle navigation (Delétang et al. 2023, appendix A): a regular language."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length

CLASSES = 5  # positions on the cycle
SYMBOLS = 3  # a step back, no step, a step forward


def cycle_navigation(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Steps on a cycle of five positions; the target is the position where they end.

    Args:
        seed: of the draw.
        count: N.
        length: steps per sequence, at least 1.

    Returns:
        inputs `[N, length]`: 0, 1, 2 for a step back, no step, a step forward; targets `[N]`, from position 0.

    Raises:
        SettingsError: a length below 1.
    """
    check_length("cycle navigation", length, 1)
    inputs = np.random.default_rng(seed).integers(SYMBOLS, size=(count, length))
    return GeneratedExamples(inputs, (inputs - 1).sum(axis=1) % CLASSES)
