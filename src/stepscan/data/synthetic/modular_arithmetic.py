"""Modular arithmetic without brackets (Delétang et al. 2023, appendix A): a regular language."""

from __future__ import annotations

import numpy as np

from stepscan.data.synthetic.generated_examples import GeneratedExamples, Seed, check_length

MODULUS = CLASSES = 5
PLUS, MINUS, TIMES = MODULUS, MODULUS + 1, MODULUS + 2
SYMBOLS = MODULUS + 3


def modular_arithmetic(seed: Seed, count: int, length: int) -> GeneratedExamples:
    """Expressions of numbers 0 … 4 and +, −, ·, where · is evaluated first; the target is their value modulo 5.

    Args:
        seed: of the draw.
        count: N.
        length: symbols per sequence, at least 1; an even length is reduced by one, to T.

    Returns:
        inputs `[N, T]`: numbers and, between them, the ids `PLUS`, `MINUS`, `TIMES`; targets `[N]`.

    Raises:
        SettingsError: a length below 1.
    """
    check_length("modular arithmetic", length, 1)
    random = np.random.default_rng(seed)
    numbers = random.integers(MODULUS, size=(count, (length + 1) // 2))
    signs = random.integers(PLUS, SYMBOLS, size=(count, numbers.shape[1] - 1))
    inputs = np.empty((count, numbers.shape[1] + signs.shape[1]), dtype=np.int64)
    inputs[:, ::2], inputs[:, 1::2] = numbers, signs
    return GeneratedExamples(inputs, values(inputs))


def values(expressions: np.ndarray) -> np.ndarray:
    """The values `[N]`, modulo 5, of expressions `[N, T]`."""
    total, term = np.zeros(len(expressions), dtype=np.int64), expressions[:, 0]
    for sign, number in zip(expressions[:, 1::2].T, expressions[:, 2::2].T, strict=True):
        total = np.where(sign == TIMES, total, total + term)
        term = np.where(sign == TIMES, term * number, np.where(sign == MINUS, -number, number)) % MODULUS
    return (total + term) % MODULUS
