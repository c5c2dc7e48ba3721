"""Hashes of pieces of text: a polynomial in the code points, so that one cumulative sum gives the hash of any piece."""

from __future__ import annotations

import numpy as np

from stepscan.runtime.batches import Array

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2⁶⁴
_INVERSE = pow(_BASE, -1, 2**64)


def code_points(text: str) -> Array:
    """Those of a text, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class Hashes:
    """Hashes of all pieces of a text: Σ mixed(code_j) · B^(j − begin), modulo 2⁶⁴."""

    def __init__(self, codes: Array) -> None:
        powers = np.cumprod(np.full(len(codes), _BASE, np.uint64))
        self._sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(mixed(codes.astype(np.uint64)) * powers, out=self._sums[1:])
        self._inverses = np.cumprod(np.full(len(codes) + 1, _INVERSE, np.uint64))

    def of(self, begin: Array, end: Array) -> Array:
        """Of the pieces from `begin` to `end`, uint64."""
        return (self._sums[end] - self._sums[begin]) * self._inverses[begin]


def mixed(numbers: Array) -> Array:
    """The last steps of SplitMix64: numbers that differ little become ones that differ in half of their bits."""
    numbers = (numbers + np.uint64(1)) * np.uint64(_BASE)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return numbers ^ (numbers >> np.uint64(27))
