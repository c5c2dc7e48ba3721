"""From examples to batches: which examples go together, and how ragged ids and numbers become `Sequences`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.sequences import Sequences

_BATCHES_A_POOL = 50


class Batch(NamedTuple):
    """What a pattern's `loss` takes, and what the progress bar counts."""

    inputs: Any
    targets: Any
    sequences: int
    tokens: int  # items that count
    places: int  # items and padding

    def to(self, device: torch.device | str) -> Batch:
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


def by_length(lengths: Sequence[int], batch_size: int) -> list[np.ndarray]:
    """Indices of the examples of each batch, longest first: for prediction, where only speed matters."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def pad(rows: Sequence[Sequence[int] | np.ndarray]) -> Sequences:
    """Rows of ids → `Sequences` `[B, T]` of int64."""
    lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    data = np.zeros((len(rows), int(lengths.max(initial=0))), dtype=np.int64)
    if data.size:
        data[np.arange(data.shape[1]) < lengths[:, None]] = np.concatenate(
            [np.asarray(row, dtype=np.int64) for row in rows]
        )
    return Sequences(torch.from_numpy(data), torch.from_numpy(lengths))


def pad_numbers(rows: Sequence[np.ndarray]) -> Sequences:
    """Series `[T, D]` of any lengths, at least one → `Sequences` `[B, T, D]` of float64."""
    lengths = torch.tensor([len(row) for row in rows])
    data = torch.zeros(len(rows), int(lengths.max()), rows[0].shape[1], dtype=torch.float64)
    for place, row in enumerate(rows):
        data[place, : len(row)] = torch.from_numpy(row)
    return Sequences(data, lengths)


def streams(ids: np.ndarray, rows: int, window: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """One long text in `rows` parallel streams, cut into windows: inputs and targets `[rows, window]` in reading order.

    Targets are the inputs shifted by one. What does not fill the last column of all rows is left over (fewer than
    `rows` symbols); the last window may be shorter.
    """
    columns = (len(ids) - 1) // rows
    inputs = torch.from_numpy(ids[: rows * columns].reshape(rows, columns))
    targets = torch.from_numpy(ids[1 : rows * columns + 1].reshape(rows, columns))
    return [(inputs[:, t : t + window], targets[:, t : t + window]) for t in range(0, columns, window)]
