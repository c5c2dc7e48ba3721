"""Stack: layers in sequence, as in `nn.Sequential`; the outputs of each are the inputs of the next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from stepscan.contract import Layer, Pointwise, Recurrence, check_layers
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


@register("stack")
class Stack(Layer):
    """Layers in sequence. A `Recurrence` exactly when all of them are; its state is the tuple of theirs.

    Args:
        layers: at least one; the input size of each is the output size of the previous one.

    Raises:
        TypeError: `layers` is not a list of Layers.
        ValueError: it is empty, or two sizes do not match.
    """

    layers: Any  # an nn.ModuleList of Layers

    def __new__(cls, layers: Sequence[Layer] = ()) -> Stack:
        # copy and pickle call this without arguments, for the class of the copied object
        nonempty = isinstance(layers, list | tuple) and layers
        causal = cls is Stack and nonempty and all(isinstance(layer, Recurrence) for layer in layers)
        return super().__new__(RecurrentStack if causal else cls)

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        if not isinstance(layers, list | tuple):
            raise TypeError(f"Stack: expected a list of layers, got {type(layers).__name__}")
        if not layers:
            raise ValueError("Stack: expected at least one layer, got none")
        check_layers("Stack", *layers)
        for below, above in pairwise(layers):
            if below.output_size != above.input_size:
                raise ValueError(
                    f"Stack: expected a layer of input size {below.output_size} after {below.signature}, "
                    f"got {above.signature}"
                )
        self.layers = nn.ModuleList(layers)
        self.input_size, self.output_size = layers[0].input_size, layers[-1].output_size

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        states = [None] * len(self.layers) if state is None else state
        finals = []
        for layer, start in zip(self.layers, states, strict=True):
            inputs, final = layer(inputs, start)
            finals.append(final)
        return inputs, tuple(finals)

    def readout(self, state: State) -> Tensor:
        """The readout of the last layer; trailing pointwise layers are applied to that of the layer before them."""
        top = len(self.layers) - 1
        while top > 0 and isinstance(self.layers[top], Pointwise):
            top -= 1
        vector = self.layers[top].readout(state[top])
        for layer, layer_state in zip(self.layers[top + 1 :], state[top + 1 :], strict=True):
            vector = layer.transform(vector, layer_state)
        return vector

    def renew(self, state: State) -> State:
        return tuple(layer.renew(layer_state) for layer, layer_state in zip(self.layers, state, strict=True))


class RecurrentStack(Stack, Recurrence):
    """A Stack of Recurrences."""

    registered_name = "stack"

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        return tuple(layer.initial_state(batch_size, device=device, dtype=dtype) for layer in self.layers)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        states = []
        for layer, old in zip(self.layers, state, strict=True):
            x, new = layer.step(x, old)
            states.append(new)
        return x, tuple(states)

    @property
    def condition_size(self) -> int:
        return sum(layer.condition_size for layer in self.layers)

    def condition(self, vector: Tensor) -> State:
        self.check_condition(vector)
        pieces = vector.split([layer.condition_size for layer in self.layers], dim=1)
        return tuple(layer.condition(piece) for layer, piece in zip(self.layers, pieces, strict=True))
