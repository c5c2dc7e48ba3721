"""Bidirectional: one layer forwards, one backwards, side by side (Schuster & Paliwal 1997)."""

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
    backward: State  # after the first item: the backward layer ends where the sequence begins


@register("bidirectional")
class Bidirectional(Layer):
    """`y_t = [forward(x)_t ; backward(reversed x)_t]`, reversed within each row's length. Never a `Recurrence`.

    Args:
        forward: reads from left to right.
        backward: reads from right to left; takes the same input width.
    """

    def __init__(self, forward: Layer, backward: Layer) -> None:
        super().__init__()
        check_layers("Bidirectional", forward, backward)
        if forward.input_size != backward.input_size:
            raise ValueError(
                f"Bidirectional needs two layers of equal input width, but {forward.described} takes "
                f"{forward.input_size} and {backward.described} takes {backward.input_size}"
            )
        self.forward_layer, self.backward_layer = forward, backward
        self.input_size = forward.input_size
        self.output_size = forward.output_size + backward.output_size

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        of_forward, of_backward = (None, None) if state is None else state
        both = self.forward_layer, self.backward_layer
        if all(isinstance(layer, Cell) and layer.runs_natively(inputs) for layer in both):
            return self._scan_natively(inputs, of_forward, of_backward)
        inputs = self.check_input(inputs)
        ahead, final_forward = self.forward_layer(inputs, of_forward)
        back, final_backward = self.backward_layer(inputs.reversed(), of_backward)
        outputs = torch.cat([ahead.zeroed().data, back.reversed().data], dim=2)
        return inputs.replace(outputs, zeroed=True), BidirectionalState(final_forward, final_backward)

    def _scan_natively(self, inputs: Sequences, ahead: State, back: State) -> tuple[Sequences, State]:
        """Both directions at once, on a thread each where there are two; the kernel itself reads from right to left."""
        self.check_shape(inputs)
        directions = [
            scans.Direction(layer, reverse, cast(Cell, layer).start(inputs) if state is None else state)
            for layer, reverse, state in ((self.forward_layer, False, ahead), (self.backward_layer, True, back))
        ]
        outputs, finals = scans.scan(inputs, directions)
        return inputs.replace(outputs, zeroed=True), BidirectionalState(*finals)

    def readout(self, state: BidirectionalState) -> Tensor:
        """Both directions' final outputs, joined: forward after the last item, backward after the first."""
        ahead, back = self.forward_layer.readout(state.forward), self.backward_layer.readout(state.backward)
        return torch.cat([ahead, back], dim=1)

    def renew(self, state: BidirectionalState) -> BidirectionalState:
        return BidirectionalState(self.forward_layer.renew(state.forward), self.backward_layer.renew(state.backward))
