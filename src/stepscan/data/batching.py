"""From examples to batches: which examples go together, and how ragged ids and numbers become `Sequences`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.runtime import batches as ragged
from stepscan.runtime.batches import by_length
from stepscan.sequences import Sequences

__all__ = ["TrainingBatch", "bucketed", "by_length", "pad", "pad_numbers", "streams"]

_BATCHES_A_POOL = 50


class TrainingBatch(NamedTuple):
    """What a pattern's `loss` takes, and what the progress bar counts."""

    inputs: Any
    targets: Any
    sequences: int
    tokens: int  # items that count
    padded_tokens: int  # items and padding

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The same batch on another device."""
        return self._replace(inputs=_move(self.inputs, device), targets=_move(self.targets, device))


def _move(value: Any, device: torch.device | str) -> Any:
    return tuple(_move(part, device) for part in value) if type(value) is tuple else value.to(device)


def bucketed(lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """Indices of the examples of each batch, of like lengths together, in an order that (seed, epoch) alone decide.

    The examples are shuffled, each pool of 50 batches is sorted by length and cut, and the batches are shuffled again.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    pool = _BATCHES_A_POOL * batch_size
    sizes = np.asarray(lengths)
    batches = []
    for start in range(0, len(order), pool):
        chosen = order[start : start + pool]
        chosen = chosen[np.argsort(sizes[chosen], kind="stable")]
        batches += [chosen[i : i + batch_size] for i in range(0, len(chosen), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def pad(rows: Sequence[Sequence[int] | np.ndarray]) -> Sequences:
    """Rows of ids → `Sequences` `[B, T]` of int64."""
    return _sequences(ragged.pad(rows))


def pad_numbers(rows: Sequence[np.ndarray]) -> Sequences:
    """Series `[T, D]` of any lengths, at least one → `Sequences` `[B, T, D]` of float64."""
    return _sequences(ragged.pad_numbers(rows))


def _sequences(batch: ragged.Batch) -> Sequences:
    return Sequences(torch.from_numpy(batch.data), torch.from_numpy(batch.lengths))


def streams(
    ids: np.ndarray, rows: int, window: int, random: np.random.Generator | None = None
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """One long text in `rows` parallel streams, cut into windows: inputs and targets `[rows, window]` in reading order.

    Targets are the inputs shifted by one. What does not fill the last column of all rows is left over (fewer than
    `rows` symbols); the last window may be shorter. With `random`, there are as many windows, but all cuts are moved
    together by up to half a window and each by up to a quarter more, so that no symbol is always the first of its
    window (after the variable windows of Merity et al. 2018, §4.1).
    """
    columns = (len(ids) - 1) // rows
    inputs = torch.from_numpy(ids[: rows * columns].reshape(rows, columns))
    targets = torch.from_numpy(ids[1 : rows * columns + 1].reshape(rows, columns))
    cuts = np.arange(window, columns, window)
    if random is not None:
        moved = cuts + window * (random.uniform(-0.5, 0.5) + random.uniform(-0.25, 0.25, len(cuts)))
        cuts = np.unique(np.clip(moved.astype(int), 1, columns - 1))
    bounds = [0, *cuts.tolist(), columns]
    return [(inputs[:, a:b], targets[:, a:b]) for a, b in itertools.pairwise(bounds)]
