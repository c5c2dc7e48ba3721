"""States after beginnings of prompts, so that a prompt that begins like an earlier one is not read again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stepscan.backends.batches import Array

BLOCK = 64  # symbols; a prefix of whole blocks has a key that follows from that of one block less
_EVERY = 8  # blocks, after which a state is kept; and after the last whole block, and at the end


class PrefixState(NamedTuple):
    """The state after a prefix."""

    layers: Array  # [1, S]
    y: Array  # [H], the layers' last output

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.layers.nbytes + self.y.nbytes


class PrefixTree:
    """States by prefix; those that were not used for longest go first. Used by one thread.

    The key of a prefix is a hash over the key of the prefix one block shorter and the symbols of the last block, so
    that the keys form a tree.

    Args:
        budget: bytes of states, at most.
    """

    def __init__(self, budget: int) -> None:
        self._budget, self.nbytes = budget, 0
        self._states: OrderedDict[bytes, PrefixState] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def longest(self, ids: Sequence[int]) -> tuple[int, PrefixState | None]:
        """The length of the longest known prefix of ids, and the state after it; 0 and None if there is none."""
        for length, key in reversed(list(_keys(ids))):
            if (state := self._states.get(key)) is not None:
                self._states.move_to_end(key)
                return length, state
        return 0, None

    def worth_keeping(self, position: int, length: int) -> bool:
        """Whether the state after `position` of a prompt's `length` ids is to be kept."""
        whole = length // BLOCK * BLOCK
        return position in (whole, length) or position % (BLOCK * _EVERY) == 0

    def keep(self, ids: Sequence[int], state: PrefixState) -> None:
        """Keep the state after ids."""
        if not len(ids) or state.nbytes > self._budget:
            return
        *_, (_, key) = _keys(ids)
        if key in self._states:
            self.nbytes -= self._states.pop(key).nbytes
        self._states[key] = state
        self.nbytes += state.nbytes
        while self.nbytes > self._budget:
            self.nbytes -= self._states.popitem(last=False)[1].nbytes


def _keys(ids: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The keys of the prefixes of whole blocks, shortest first, and of all ids, each with its length."""
    data, key = np.asarray(ids, np.int64), b""
    for end in range(BLOCK, len(data) + BLOCK, BLOCK):
        block = data[end - BLOCK : end]
        if len(block):
            key = hashlib.blake2b(key + block.tobytes(), digest_size=16).digest()
            yield min(end, len(data)), key
