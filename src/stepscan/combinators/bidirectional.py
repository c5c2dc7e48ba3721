"""Bidirectional: two layers over the same inputs, in opposite directions (Schuster & Paliwal 1997)."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor

from stepscan.cells.cell import Cell
from stepscan.contract import Layer, check_layers
from stepscan.kernels import scans
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


class BidirectionalState(NamedTuple):
    forward: State
    backward: State  # after the first item, the last one that the backward layer reads


@register("bidirectional")
class Bidirectional(Layer):
    """`y_t = [forward(x)_t ; backward(reversed x)_t]`, reversed within each row's length. Not a `Recurrence`.

    Args:
        forward: reads from the first item to the last.
        backward: reads from the last item to the first; of the same input size.

    Raises:
        TypeError: one of them is not a Layer.
        ValueError: their input sizes differ.
    """

    def __init__(self, forward: Layer, backward: Layer) -> None:
        super().__init__()
        check_layers("Bidirectional", forward, backward)
        if forward.input_size != backward.input_size:
            raise ValueError(
                f"Bidirectional: expected two layers of equal input size, got {forward.signature} and "
                f"{backward.signature}"
            )
        self.forward_layer, self.backward_layer = forward, backward
        self.input_size = forward.input_size
        self.output_size = forward.output_size + backward.output_size

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        forward_state, backward_state = (None, None) if state is None else state
        layers = self.forward_layer, self.backward_layer
        if all(isinstance(layer, Cell) and layer.runs_natively(inputs) for layer in layers):
            return self._native_scan(inputs, forward_state, backward_state)
        inputs = self.check_input(inputs)
        forward, forward_final = self.forward_layer(inputs, forward_state)
        backward, backward_final = self.backward_layer(inputs.reversed(), backward_state)
        outputs = torch.cat([forward.zeroed().data, backward.reversed().data], dim=2)
        return inputs.replace(outputs, zeroed=True), BidirectionalState(forward_final, backward_final)

    def _native_scan(self, inputs: Sequences, forward_state: State, backward_state: State) -> tuple[Sequences, State]:
        """Both directions in one call of the kernel, which runs them in parallel; it needs no reversed inputs."""
        self.check_shape(inputs)
        directions = [
            scans.Direction(layer, reverse, cast(Cell, layer).start(inputs) if state is None else state)
            for layer, reverse, state in (
                (self.forward_layer, False, forward_state),
                (self.backward_layer, True, backward_state),
            )
        ]
        outputs, finals = scans.scan(inputs, directions)
        return inputs.replace(outputs, zeroed=True), BidirectionalState(*finals)

    def readout(self, state: BidirectionalState) -> Tensor:
        """The readouts of both directions, concatenated `[B, H]`."""
        forward, backward = self.forward_layer.readout(state.forward), self.backward_layer.readout(state.backward)
        return torch.cat([forward, backward], dim=1)

    def renew(self, state: BidirectionalState) -> BidirectionalState:
        return BidirectionalState(self.forward_layer.renew(state.forward), self.backward_layer.renew(state.backward))
