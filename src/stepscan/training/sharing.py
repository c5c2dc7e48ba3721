"""What the processes of a training share at every step, and the state that they share in a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any, NamedTuple

from safetensors.torch import load, save
from torch import Tensor

from stepscan.processes.team import Team
from stepscan.training.checkpoints import Checkpoint


class Requests(NamedTuple):
    """What processes ask of all: that they stop, or write a checkpoint. Numbers of processes, of this one alone 0 or
    1."""

    interrupt: float = 0
    terminate: float = 0
    checkpoint: float = 0

    @property
    def signal(self) -> int:
        """The signal that a process received; 0 for none."""
        return signal.SIGTERM if self.terminate else signal.SIGINT if self.interrupt else 0


class StepSums(NamedTuple):
    """Figures of a step, summed over the processes."""

    loss: float  # summed over the items
    items: float
    sequences: float
    tokens: float
    padded_tokens: float
    seconds: float  # on the clock of process 0
    requests: Requests


def sum_step(team: Team, figures: Sequence[float], seconds: float, requests: Requests) -> StepSums:
    """Sum the figures of a step over the processes.

    Args:
        team: of the training.
        figures: loss, items, sequences, tokens and padded tokens of this process.
        seconds: since the start, by this process.
        requests: of this process.
    """
    loss, items, sequences, tokens, padded_tokens, time, interrupt, terminate, checkpoint = team.sum(
        [*figures, seconds if team.is_first else 0.0, *map(float, requests)]
    )
    return StepSums(loss, items, sequences, tokens, padded_tokens, time, Requests(interrupt, terminate, checkpoint))


def gather_rows(team: Team, leaves: Sequence[Tensor]) -> list[Tensor]:
    """The leaves `[B, …]` of a state that is cut into rows: those of all processes, one after the other. A process
    without rows has no leaves."""
    if team.size == 1:
        return list(leaves)
    mine = {str(i): leaf.detach().cpu().contiguous() for i, leaf in enumerate(leaves)}
    parts = [load(content) for content in team.gather_bytes(save(mine))]
    parts = [part for part in parts if part]
    return [_joined([part[str(i)] for part in parts]) for i in range(len(parts[0]))] if parts else []


def _joined(parts: list[Tensor]) -> Tensor:
    """Rows of several states, one after the other; a cache has room for the longest."""
    room = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    rows = sum(len(part) for part in parts)
    joined, start = parts[0].new_zeros(rows, *room), 0
    for part in parts:
        joined[(slice(start, start + len(part)), *(slice(size) for size in part.shape[1:]))] = part
        start += len(part)
    return joined


def receive(team: Team, checkpoint: Checkpoint | None) -> Checkpoint | None:
    """The checkpoint of process 0, or None if it has none."""
    if team.size == 1:
        return checkpoint
    state: Any = team.broadcast(None if checkpoint is None else checkpoint.state)
    if state is None:
        return None
    content = b"" if checkpoint is None else save(checkpoint.tensors)
    return Checkpoint(load(team.broadcast_bytes(content)), state)
