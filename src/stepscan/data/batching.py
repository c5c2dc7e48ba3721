"""From examples to batches: which examples form a batch, and how ragged ids and series become `Sequences`.

Dimension letters: B batch, T time, D dimensions of a time step.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.backends import batches as ragged
from stepscan.backends.batches import by_length
from stepscan.backends.tensors import to_sequences
from stepscan.data.ragged_rows import Lengths
from stepscan.sequences import Sequences

__all__ = ["TrainingBatch", "Windows", "bptt_windows", "bucket_by_length", "by_length", "pad", "pad_numbers"]

_BATCHES_PER_POOL = 50


class TrainingBatch(NamedTuple):
    """Inputs and targets of a pattern's `loss`, and the counts that the progress bar shows.

    Attributes:
        inputs, targets: tensors or `Sequences`, or tuples of them.
        sequences: number of sequences.
        tokens: number of items, padding excluded.
        padded_tokens: number of items, padding included.
    """

    inputs: Any
    targets: Any
    sequences: int
    tokens: int
    padded_tokens: int

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The same batch on another device."""
        return self._replace(inputs=_move(self.inputs, device), targets=_move(self.targets, device))


NO_ROWS = TrainingBatch((), (), 0, 0, 0)  # of a process that has no row of a batch


def _move(value: Any, device: torch.device | str) -> Any:
    return tuple(_move(part, device) for part in value) if type(value) is tuple else value.to(device)


def bucket_by_length(
    lengths: Lengths, batch_size: int, *, seed: int, epoch: int, scratch: str | Path | None = None
) -> Iterator[np.ndarray]:
    """Group examples of similar length into batches, in an order that depends only on (seed, epoch).

    The examples are shuffled, each pool of 50 batches is sorted by length and cut into batches, and the batches are
    shuffled.

    Args:
        lengths: number of items of each example.
        batch_size: examples per batch; the last batch of a pool may have fewer.
        seed, epoch: seed the shuffles.
        scratch: a folder, where the order of the examples is kept in a file without a name, not in memory.

    Yields:
        The indices of the examples of each batch.
    """
    random = np.random.default_rng([seed, epoch])
    order = _numbers(len(lengths), scratch)
    random.shuffle(order)
    pool_size = _BATCHES_PER_POOL * batch_size
    for start in range(0, len(order), pool_size):
        pool = order[start : start + pool_size]
        pool[:] = pool[np.argsort(lengths[pool], kind="stable")]
    for batch in random.permutation(-(-len(order) // batch_size)):
        yield order[batch * batch_size : (batch + 1) * batch_size]


def _numbers(count: int, scratch: str | Path | None) -> np.ndarray:
    """The numbers 0 … count − 1; in a file, 4 MB at a time. They are in memory if the folder cannot be written to."""
    dtype = np.dtype(np.int32 if count < 2**31 else np.int64)
    if scratch is None or not count:
        return np.arange(count, dtype=dtype)
    try:
        with tempfile.TemporaryFile(dir=scratch) as file:
            os.posix_fallocate(file.fileno(), 0, count * dtype.itemsize)  # a full disk now is an error, later a signal
            numbers = np.memmap(file, dtype, "r+", shape=(count,)).view(np.ndarray)
    except (OSError, AttributeError):  # no such call on macOS
        return np.arange(count, dtype=dtype)
    for start in range(0, count, 2**20):
        end = min(start + 2**20, count)
        numbers[start:end] = np.arange(start, end)
    return numbers


def pad(rows: Sequence[Sequence[int] | np.ndarray]) -> Sequences:
    """Pad rows of ids to `Sequences` `[B, T]` of int64."""
    return to_sequences(ragged.pad(rows))


def pad_numbers(rows: Sequence[np.ndarray]) -> Sequences:
    """Pad series `[T, D]` of different lengths, at least one, to `Sequences` `[B, T, D]` of float64."""
    return to_sequences(ragged.pad_numbers(rows))


class Windows(Sequence[tuple[torch.Tensor, torch.Tensor]]):
    """Windows of a text in parallel streams: inputs and targets `[B, T]` int64 of each, made when they are asked for.

    Args:
        inputs, targets: the streams `[B, L]`, whole numbers.
        bounds: where windows begin, and the end of the last.
    """

    def __init__(self, inputs: np.ndarray, targets: np.ndarray, bounds: np.ndarray) -> None:
        self.inputs, self.targets, self.bounds = inputs, targets, bounds

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, index: Any) -> Any:
        """The inputs and targets of a window; of a slice, a list of them."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start, end = self.bounds[range(len(self))[index]], self.bounds[range(1, len(self) + 1)[index]]
        return tuple(torch.from_numpy(ids[:, start:end].astype(np.int64)) for ids in (self.inputs, self.targets))


def bptt_windows(ids: np.ndarray, batch_size: int, window: int, random: np.random.Generator | None = None) -> Windows:
    """Cut one long text into windows of truncated back-propagation through time.

    The text is split into `batch_size` streams of equal length, which are read in parallel. Fewer than `batch_size`
    symbols at the end are dropped.

    Args:
        ids: the text `[L]`, whole numbers, with L > `batch_size`.
        batch_size: B, the number of streams.
        window: T, the number of steps per window; the last window may be shorter.
        random: randomises where windows begin, so that no symbol is always the first of its window (after the variable
            windows of Merity et al. 2018, §4.1). All cuts are shifted together by up to half a window, and each by up
            to another quarter; there are at most as many windows as without.

    Returns:
        inputs and targets `[B, T]` of each window, in reading order. Targets are the inputs shifted by one.
    """
    columns = (len(ids) - 1) // batch_size
    inputs = ids[: batch_size * columns].reshape(batch_size, columns)
    targets = ids[1 : batch_size * columns + 1].reshape(batch_size, columns)
    cuts = np.arange(window, columns, window)
    if random is not None:
        shifted = cuts + window * (random.uniform(-0.5, 0.5) + random.uniform(-0.25, 0.25, len(cuts)))
        cuts = np.unique(np.clip(shifted.astype(int), 1, columns - 1))
    return Windows(inputs, targets, np.concatenate([[0], cuts, [columns]]))
