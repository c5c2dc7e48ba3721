"""Scores of symbols, computed in pieces: `[T, V]` of a long text and a large vocabulary would take gigabytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Array, pad
from stepscan.backends.probabilities import nats
from stepscan.state import State


def total_nats(network: Any, inputs: Sequence[Any], targets: Sequence[Any], state: State | None) -> tuple[float, State]:
    """The total negative log-likelihood of `targets` in nats, and the final state.

    Args:
        network: a generator, of the runtime or of torch.
        inputs: rows of ids.
        targets: for each row of `inputs`, the ids that follow each of its ids.
        state: the initial state; None: the generator's own.
    """
    scores, _, state = network.scan_rows(inputs, state)
    padded = pad(targets)
    return float(nats(scores, padded.data)[padded.mask].sum()), state


def last_scores(network: Any, rows: Sequence[Sequence[int]], steps: int) -> Array:
    """The scores `[N, V]` after the last id of each row, which has at least one; computed `steps` at a time."""
    state, last = None, np.zeros(0)
    for t in range(0, max(map(len, rows)), steps):
        scores, lengths, state = network.scan_rows([row[t : t + steps] for row in rows], state)
        last = np.zeros((len(rows), scores.shape[2]), scores.dtype) if t == 0 else last
        has_items = lengths > 0
        last[has_items] = scores[has_items, lengths[has_items] - 1]
    return last
