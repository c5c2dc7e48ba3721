"""Rows of numbers of different lengths, one after the other in a flat array, in memory or mapped from a file.

A Python list of 8 numbers takes up to 400 bytes, 8 numbers of 16 bits and the place where they end take 24.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Protocol, Self

import numpy as np

from stepscan.backends.batches import Array, Batch, pad_numbers

_PORTION = 2**20  # numbers that are looked at together


class Lengths(Protocol):
    """The lengths of examples: an array `[N]`, or what computes them from an array of indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any) -> Array: ...


class RowLengths:
    """The lengths of rows.

    Args:
        ends: `[N]` int64, where each row ends.
    """

    def __init__(self, ends: Array) -> None:
        self.ends = ends

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, indices: Array) -> Array:
        """The lengths of some rows, int64."""
        return self.ends[indices] - starts(self.ends, indices)


class RaggedRows:
    """Rows of whole numbers.

    Args:
        values: of all rows, one after the other.
        ends: `[N]` int64, where each row ends.
    """

    def __init__(self, values: Array, ends: Array) -> None:
        self.values, self.ends = values, ends

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], dtype: Any) -> Self:
        """Rows that are lists of numbers, each within `dtype`."""
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        ends = lengths.cumsum()
        return cls(np.fromiter(chain.from_iterable(rows), dtype, int(lengths.sum())), ends)

    @classmethod
    def joined(cls, parts: Sequence[RaggedRows]) -> Self:
        """The rows of all parts, one after the other."""
        offsets = np.cumsum([0, *(len(part.values) for part in parts[:-1])])
        ends = [part.ends + offset for part, offset in zip(parts, offsets, strict=True)]
        return cls(np.concatenate([part.values for part in parts]), np.concatenate(ends))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> Array:
        """One row."""
        return self.values[self.ends[index - 1] if index else 0 : self.ends[index]]

    @property
    def lengths(self) -> Lengths:
        """The lengths of the rows."""
        return RowLengths(self.ends)

    def padded(self, indices: Array) -> Batch:
        """Some rows, padded with zeros: `[B, T]` int64."""
        first = starts(self.ends, indices)
        lengths = self.ends[indices] - first
        steps = np.arange(lengths.max(initial=0))
        mask = steps < lengths[:, None]
        data = np.zeros(mask.shape, dtype=np.int64)
        data[mask] = self.values[(first[:, None] + steps)[mask]]
        return Batch(data, lengths, zeroed=True)


class SeriesRows:
    """Series `[T, D]` in memory, with the methods of `RaggedRows`.

    Args:
        series: the rows.
    """

    def __init__(self, series: Sequence[Array]) -> None:
        self.series = series

    @classmethod
    def joined(cls, parts: Sequence[SeriesRows]) -> Self:
        """The rows of all parts, one after the other."""
        return cls([series for part in parts for series in part.series])

    def __len__(self) -> int:
        return len(self.series)

    @property
    def lengths(self) -> Lengths:
        """The numbers of time steps."""
        return np.fromiter(map(len, self.series), dtype=np.int64, count=len(self.series))

    def padded(self, indices: Array) -> Batch:
        """Some rows, padded with zeros: `[B, T, D]` float64."""
        return pad_numbers([self.series[i] for i in indices])


def starts(ends: Array, indices: Array) -> Array:
    """Where some rows start, by where all end."""
    return np.where(indices > 0, ends[np.maximum(indices, 1) - 1], 0)


def total(lengths: Lengths) -> int:
    """The sum of all lengths."""
    return sum(int(part.sum()) for part in _portions(lengths))


def largest(lengths: Lengths) -> int:
    """The largest length; 0 if there is none."""
    return max((int(part.max()) for part in _portions(lengths)), default=0)


def occurrences(numbers: Array, size: int) -> Array:
    """How often each of 0 … size − 1 occurs in `numbers` `[N]`: `[size]` int64."""
    result = np.zeros(size, dtype=np.int64)
    for start in range(0, len(numbers), _PORTION):
        result += np.bincount(numbers[start : start + _PORTION], minlength=size)
    return result


def smallest_dtype(size: int) -> np.dtype[Any]:
    """The smallest type for the numbers 0 … size − 1."""
    return np.min_scalar_type(max(size - 1, 0))


def _portions(lengths: Lengths) -> Iterator[Array]:
    for start in range(0, len(lengths), _PORTION):
        yield lengths[np.arange(start, min(start + _PORTION, len(lengths)))]
