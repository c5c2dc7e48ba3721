"""Bidirectional: two layers over the same inputs, in opposite directions (Schuster & Paliwal 1997)."""

from __future__ import annotations

from stepscan.cells.cell import Cell
from stepscan.contract import Layer
from stepscan.definitions import bidirectional as definitions
from stepscan.definitions.bidirectional import BidirectionalState
from stepscan.definitions.layer import start
from stepscan.kernels import scans
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


@register("bidirectional")
class Bidirectional(definitions.Bidirectional, Layer):
    """`y_t = [forward(x)_t ; backward(reversed x)_t]`, reversed within each row's length. Not a `Recurrence`.

    Args:
        forward: reads from the first item to the last.
        backward: reads from the last item to the first; of the same input size.

    Raises:
        TypeError: one of them is not a Layer.
        ValueError: their input sizes differ.
    """

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        forward_state, backward_state = (None, None) if state is None else state
        layers = self.forward_layer, self.backward_layer
        if all(isinstance(layer, Cell) and layer.runs_natively(inputs) for layer in layers):
            return self._native_scan(inputs, forward_state, backward_state)
        return super().scan(inputs, state)

    def _native_scan(self, inputs: Sequences, forward_state: State, backward_state: State) -> tuple[Sequences, State]:
        """Both directions in one call of the kernel, which runs them in parallel; it needs no reversed inputs."""
        self.check_shape(inputs)
        directions = [
            scans.Direction(layer, reverse, start(layer, inputs, state))
            for layer, reverse, state in (
                (self.forward_layer, False, forward_state),
                (self.backward_layer, True, backward_state),
            )
        ]
        outputs, finals = scans.scan(inputs, directions)
        return inputs.replace(outputs, zeroed=True), BidirectionalState(*finals)
