"""Residual: a layer's outputs added to its inputs (He et al. 2016), so that gradients can bypass the layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stepscan.contract import Layer, Recurrence, check_layers
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


class ResidualState(NamedTuple):
    inner: State
    x: Tensor  # [B, I], the last input: the readout adds it


@register("residual")
class Residual(Layer):
    """`y_t = x_t + layer(x)_t`. A `Recurrence` exactly when `layer` is.

    Args:
        layer: any Layer of equal input and output size.

    Raises:
        TypeError: `layer` is not a Layer.
        ValueError: its sizes differ.
    """

    def __new__(cls, layer: Layer | None = None) -> Residual:
        causal = cls is Residual and isinstance(layer, Recurrence)
        return super().__new__(RecurrentResidual if causal else cls)

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        check_layers("Residual", layer)
        if layer.input_size != layer.output_size:
            raise ValueError(
                f"Residual: expected a layer of equal input and output size, got {layer.signature}; "
                f"add a projection: Stack([layer, Linear({layer.output_size}, {layer.input_size})])"
            )
        self.layer = layer
        self.input_size = self.output_size = layer.input_size

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        inputs = self.check_input(inputs)
        inner, x = (None, None) if state is None else state
        outputs, final = self.layer(inputs, inner)
        return inputs.replace(outputs.zeroed().data + inputs.data, zeroed=True), ResidualState(
            final, inputs.last(default=x)
        )

    def readout(self, state: ResidualState) -> Tensor:
        return state.x + self.layer.readout(state.inner)

    def renew(self, state: ResidualState) -> ResidualState:
        return ResidualState(self.layer.renew(state.inner), state.x)


class RecurrentResidual(Residual, Recurrence):
    """A Residual around a Recurrence."""

    registered_name = "residual"
    layer: Recurrence

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> ResidualState:
        inner = self.layer.initial_state(batch_size, device=device, dtype=dtype)
        return ResidualState(inner, self.zeros(batch_size, self.input_size, device, dtype))

    def step(self, x: Tensor, state: ResidualState) -> tuple[Tensor, ResidualState]:
        y, inner = self.layer.step(x, state.inner)
        return x + y, ResidualState(inner, x)

    @property
    def condition_size(self) -> int:
        return self.layer.condition_size

    def condition(self, vector: Tensor) -> ResidualState:
        inner = self.layer.condition(vector)
        return ResidualState(inner, self.zeros(len(vector), self.input_size, vector.device, vector.dtype))
