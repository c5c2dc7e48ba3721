"""A random order of n items that is computed where it is needed, so that it takes no memory."""

from __future__ import annotations

import numpy as np

_ROUNDS = 6
_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)  # of splitmix64 (Steele et al. 2014), which mixes the bits of a number


class ShuffledOrder:
    """A permutation of 0 … n − 1 by a Feistel network: its two halves of bits are mixed with one another in rounds; a
    result past the end is mixed again until it is within (Black & Rogaway 2002).

    Args:
        size: n.
        seed, epoch: choose the permutation.
    """

    def __init__(self, size: int, *, seed: int, epoch: int) -> None:
        self.size = size
        self._bits = np.uint64(max(1, -(-(max(size - 1, 1)).bit_length() // 2)))  # of a half
        self._mask = np.uint64((1 << int(self._bits)) - 1)
        self._keys = np.random.SeedSequence([seed, epoch]).generate_state(_ROUNDS, np.uint64)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, places: slice) -> np.ndarray:
        """The items at places `start:stop` of the order, int64."""
        items = np.arange(*places.indices(self.size), dtype=np.uint64)
        items = self._mix(items)
        while (outside := items >= self.size).any():
            items[outside] = self._mix(items[outside])
        return items.astype(np.int64)

    def _mix(self, items: np.ndarray) -> np.ndarray:
        left, right = items >> self._bits, items & self._mask
        for key in self._keys:
            hashed = (right + key) * _MULTIPLIER
            hashed = (hashed ^ (hashed >> np.uint64(31))) * _MULTIPLIER
            left, right = right, left ^ ((hashed >> np.uint64(33)) & self._mask)
        return (left << self._bits) | right
