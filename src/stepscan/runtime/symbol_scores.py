"""Scores of symbols, looked at piece by piece: `[T, V]` of a long text and a large vocabulary would be gigabytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.runtime.batches import Array, pad
from stepscan.runtime.probabilities import nats
from stepscan.state import State


def total_nats(network: Any, inputs: Sequence[Any], targets: Sequence[Any], state: State | None) -> tuple[float, State]:
    """Nats of all `targets` together, rows of ids each of which comes after that of `inputs`; and the state.

    Args:
        network: a generator, of the runtime or of torch.
    """
    scores, _, state = network.scan(inputs, state)
    wanted = pad(targets)
    return float(nats(scores, wanted.data)[wanted.mask].sum()), state


def last_scores(network: Any, rows: Sequence[Sequence[int]], steps: int) -> Array:
    """The scores `[N, V]` after the last symbol of each row, of one or more; so many `steps` are read at once."""
    state, found = None, np.zeros(0)
    for t in range(0, max(map(len, rows)), steps):
        scores, lengths, state = network.scan([row[t : t + steps] for row in rows], state)
        found = np.zeros((len(rows), scores.shape[2]), scores.dtype) if t == 0 else found
        reached = lengths > 0
        found[reached] = scores[reached, lengths[reached] - 1]
    return found
