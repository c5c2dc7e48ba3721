"""Polynomial hashes of substrings (Karp & Rabin 1987): a cumulative sum gives the hash of any substring in O(1)."""

from __future__ import annotations

import numpy as np

from stepscan.backends.batches import Array

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2⁶⁴
_INVERSE = pow(_BASE, -1, 2**64)


def code_points(text: str) -> Array:
    """The code points of a text, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class SubstringHashes:
    """Hashes of the substrings of a text: Σ mix64(code_j) · B^(j − begin), modulo 2⁶⁴.

    Args:
        codes: code points of the text, uint32.
    """

    def __init__(self, codes: Array) -> None:
        powers = np.cumprod(np.full(len(codes), _BASE, np.uint64))
        self._sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(mix64(codes.astype(np.uint64)) * powers, out=self._sums[1:])
        self._inverses = np.cumprod(np.full(len(codes) + 1, _INVERSE, np.uint64))

    def between(self, begin: Array, end: Array) -> Array:
        """The hashes, uint64, of the substrings from `begin` to `end` (exclusive), arrays of positions."""
        return (self._sums[end] - self._sums[begin]) * self._inverses[begin]


def mix64(values: Array) -> Array:
    """The finalizer of SplitMix64 (Steele et al. 2014), without its last step: similar inputs get unrelated outputs."""
    values = (values + np.uint64(1)) * np.uint64(_BASE)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return values ^ (values >> np.uint64(27))
