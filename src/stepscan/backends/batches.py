"""Ragged batches without torch: padded arrays with the lengths of their rows, and how rows are batched.

Dimension letters: B batch, T time, D dimensions of a time step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepscan.memory import enough_memory

__all__ = [
    *("PLACES", "SCORES", "Array", "Batch", "Words"),
    *("as_arrays", "by_length", "enough_memory_for", "is_batch", "make_words", "pad", "pad_numbers"),
]

Array = NDArray[Any]

PLACES = 2**15  # items, padding included, per batch of prediction at most, unless one sequence alone has more
SCORES = 2**23  # scores of symbols that are computed together: 32 MB of float32


class Batch:
    """Right-padded rows of different lengths, as `stepscan.Sequences` is with torch.

    Args:
        data: `[B, T, …]`; values in the padding are arbitrary.
        lengths: `[B]` int64, 0 … T.
        zeroed: whether the padding is known to be zero.
    """

    __slots__ = ("_is_zeroed", "data", "lengths")

    def __init__(self, data: Array, lengths: Array, *, zeroed: bool = False) -> None:
        self.data, self.lengths, self._is_zeroed = data, lengths, zeroed

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Array]:
        """Its two fields, so that `data, lengths = batch`."""
        return iter((self.data, self.lengths))

    @property
    def steps(self) -> int:
        """T, the padded length."""
        return self.data.shape[1]

    @property
    def mask(self) -> Array:
        """`[B, T]` booleans: true where there is an item, false in the padding."""
        return np.arange(self.steps) < self.lengths[:, None]

    @property
    def is_ragged(self) -> bool:
        """Whether any row is shorter than T."""
        return bool((self.lengths < self.steps).any())

    def replace(self, data: Array, *, zeroed: bool = False) -> Batch:
        """Other data `[B, T, …]` with the same lengths; `zeroed`: whether its padding is zero."""
        return Batch(data, self.lengths, zeroed=zeroed)

    def zeroed(self) -> Batch:
        """The same items with zeros in the padding, by selection, since NaN · 0 is NaN."""
        if self._is_zeroed or not self.is_ragged:
            return self
        mask = self.mask.reshape(*self.data.shape[:2], *[1] * (self.data.ndim - 2))
        return Batch(np.where(mask, self.data, np.zeros((), self.data.dtype)), self.lengths, zeroed=True)

    def map(self, function: Callable[[Array], Array]) -> Batch:
        """The result of a function that maps items on their own, `[B, T, …]` → `[B, T, …]`; its padding is zeroed."""
        return self.replace(function(self.zeroed().data)).zeroed()

    def last(self, default: Array | None = None) -> Array:
        """`[B, …]`: each row's last item; for a row of length 0 the row of `default`, or zeros."""
        rows, steps = self.data.shape[:2]
        fallback = np.zeros((rows, *self.data.shape[2:]), self.data.dtype) if default is None else default
        if not steps:
            return fallback
        last_items = self.data[np.arange(rows), np.maximum(self.lengths - 1, 0)]
        return np.where((self.lengths > 0).reshape(-1, *[1] * (last_items.ndim - 1)), last_items, fallback)

    def reversed(self) -> Batch:
        """The items of each row in reverse order within its length; the padding stays."""
        position = np.arange(self.steps)
        source = self.lengths[:, None] - 1 - position
        rows = np.arange(len(self))[:, None]
        return self.replace(self.data[rows, np.where(source >= 0, source, position)], zeroed=self._is_zeroed)

    def select(self, rows: Any) -> Batch:
        """The rows `rows` (indices `[N]`), cut to the longest of them."""
        lengths = self.lengths[rows]
        return Batch(self.data[rows, : lengths.max(initial=0)], lengths)


class Words(NamedTuple):
    """Words with their characters: the input of `WordAndCharacterEmbedding`. Each distinct word occurs once."""

    words: Batch  # [B, T] ids of words
    spellings: tuple[Batch, ...]  # [U, C] each, ids of characters of the distinct words, grouped by length
    spelling_index: Array  # [B, T] index of each word's row in the concatenated `spellings`; 0 in the padding


def is_batch(rows: Any) -> bool:
    """Whether inputs are a batch already, of arrays or of tensors, and not rows."""
    return hasattr(rows, "lengths") or hasattr(rows, "spellings")


def as_arrays(batch: Any) -> Batch:
    """A batch of arrays or of tensors, as one of arrays."""
    if isinstance(batch, Batch):
        return batch
    return Batch(*(tensor.detach().cpu().numpy() for tensor in (batch.data, batch.lengths)))


def make_words(words: Batch, word_rows: Array, spellings: Sequence[Sequence[int]]) -> Words:
    """Words with their characters.

    Args:
        words: `[B, T]` ids of words.
        word_rows: `[B, T]`, the index of each word in `spellings`.
        spellings: ids of characters of each distinct word.
    """
    used, inverse = np.unique(word_rows[words.mask], return_inverse=True)
    rows = [spellings[row] for row in used.tolist()]
    groups = by_length([len(row) for row in rows], max(1, len(rows))) or [used]
    spelling_index = np.zeros(word_rows.shape, dtype=np.int64)
    spelling_index[words.mask] = np.concatenate(groups).argsort()[inverse]
    return Words(words, tuple(pad([rows[i] for i in indices]) for indices in groups), spelling_index)


def pad(rows: Sequence[Sequence[int] | Array]) -> Batch:
    """Pad rows of ids: `[B, T]` of int64."""
    lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    data = np.zeros((len(rows), int(lengths.max(initial=0))), dtype=np.int64)
    if data.size:
        data[np.arange(data.shape[1]) < lengths[:, None]] = np.concatenate(
            [np.asarray(row, dtype=np.int64) for row in rows]
        )
    return Batch(data, lengths)


def pad_numbers(rows: Sequence[Array]) -> Batch:
    """Pad series `[T, D]` of any lengths, at least one: `[B, T, D]` of float64."""
    lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    dimensions = rows[0].shape[1] if len(rows) else 0
    data = np.zeros((len(rows), int(lengths.max(initial=0)), dimensions))
    for index, row in enumerate(rows):
        data[index, : len(row)] = row
    return Batch(data, lengths)


def by_length(lengths: Sequence[int], batch_size: int, max_items: int = PLACES) -> list[Array]:
    """Indices of the examples of each batch, longest first: for prediction, where only speed matters.

    A batch has at most `batch_size` examples and, if it has more than one, at most `max_items` items, padding included,
    so that a long example does not pad many short ones.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    batches, start = [], 0
    while start < len(order):
        longest = max(1, int(sizes[order[start]]))
        end = start + max(1, min(batch_size, max_items // longest))
        batches.append(order[start:end])
        start = end
    return batches


def enough_memory_for(lengths: Sequence[int], what: str) -> AbstractContextManager[None]:
    """A context in which running out of memory is a `NotEnoughMemory` that names the lengths of the batch."""
    subject = f"{len(lengths):,} {what}s, the longest" if len(lengths) > 1 else f"one {what}"
    return enough_memory(
        f"{subject} of {max(lengths, default=0):,} items", f"split long {what}s into shorter ones, or free memory"
    )
