"""Bidirectional: two layers over the same inputs, in opposite directions (Schuster & Paliwal 1997)."""

from __future__ import annotations

from stepscan.cells.cell import Cell
from stepscan.contract import Layer, Recurrence
from stepscan.definitions import bidirectional as definitions
from stepscan.definitions.bidirectional import BidirectionalState
from stepscan.definitions.layer import start
from stepscan.kernels import programs
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
        layers, states = (self.forward_layer, self.backward_layer), (None, None) if state is None else state
        if all(map(_scans_by_steps, layers)):
            self.check_shape(inputs)
            starts = [start(layer, inputs, state) for layer, state in zip(layers, states, strict=True)]
            directions = map(programs.Direction, layers, starts, (False, True))
            if (found := programs.scan_directions(inputs, list(directions))) is not None:  # at once, nothing reversed
                return inputs.replace(found[0], zeroed=True), BidirectionalState(*found[1])
        return super().scan(inputs, state)


def _scans_by_steps(layer: Layer) -> bool:
    """Whether a layer's scan is that of a recurrence or of a classic cell, and no hook expects that it is called."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return type(layer).scan in (Recurrence.scan, Cell.scan) and not any(hooks)
