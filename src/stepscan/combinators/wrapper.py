"""The base class of combinators that keep the state of the recurrence that they wrap."""

from __future__ import annotations

import torch
from torch import Tensor

from stepscan.contract import Recurrence
from stepscan.state import State


class Wrapper(Recurrence):
    """A recurrence around another one, with the same state. Override `step`, `scan` or both.

    Args:
        layer: any Recurrence.

    Raises:
        TypeError: `layer` is not a Recurrence.
    """

    def __init__(self, layer: Recurrence) -> None:
        super().__init__()
        if not isinstance(layer, Recurrence):
            raise TypeError(f"{type(self).__name__}: expected a Recurrence, got {type(layer).__name__}")
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
