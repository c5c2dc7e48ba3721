"""A recurrence around another, whose state is the other's."""

from __future__ import annotations

import torch
from torch import Tensor

from stepscan.contract import Recurrence
from stepscan.state import State


class Wrapper(Recurrence):
    """Base of what changes how a recurrence runs, but not what its state is. Write `step`, or `scan`, or both.

    Args:
        layer: any Recurrence.

    Raises:
        TypeError: `layer` is none.
    """

    def __init__(self, layer: Recurrence) -> None:
        super().__init__()
        if not isinstance(layer, Recurrence):
            raise TypeError(f"{type(self).__name__} needs a Recurrence, got {type(layer).__name__}")
        self.layer = layer
        self.input_size, self.output_size = layer.input_size, layer.output_size

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        return self.layer.initial_state(batch_size, device=device, dtype=dtype)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self.layer.step(x, state)

    def readout(self, state: State) -> Tensor:
        return self.layer.readout(state)

    def renew(self, state: State) -> State:
        return self.layer.renew(state)

    @property
    def condition_size(self) -> int:
        return self.layer.condition_size

    def condition(self, vector: Tensor) -> State:
        return self.layer.condition(vector)
