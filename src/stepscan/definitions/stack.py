"""Definition of `Stack`: layers in sequence; the outputs of each are the inputs of the next."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from stepscan.definitions.definition import definition
from stepscan.definitions.kinds import Layers
from stepscan.definitions.layer import CombinatorDefinition
from stepscan.kernels.native import library
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights


@definition("stack")
@dataclass(eq=False, repr=False)
class Stack(CombinatorDefinition):
    """See `stepscan.Stack`."""

    layers: Layers

    recurrent_class: ClassVar[type]

    def __new__(cls, layers: Any = ()) -> Any:
        return super().__new__(cls.choose_class(layers))  # copy and pickle call it without arguments

    def derive(self) -> None:
        if not self.layers:
            raise ValueError("Stack: expected at least one layer, got none")
        for below, above in pairwise(self.layers):
            if below.output_size != above.input_size:
                raise ValueError(
                    f"Stack: expected a layer of input size {below.output_size} after {below.signature}, "
                    f"got {above.signature}"
                )
        self.input_size, self.output_size = self.layers[0].input_size, self.layers[-1].output_size

    def nested(self) -> dict[str, Any]:
        return {f"layers.{index}": layer for index, layer in enumerate(self.layers)}

    def bind(self, weights: Weights) -> Any:
        if self.has_kernel:
            return super().bind(weights)
        self.layers = [layer.bind(weights.scope(path)) for path, layer in self.nested().items()]
        return self

    def native(self, weights: Weights) -> Any:
        """The native stack. Dropout, which does nothing here, is left out, and pointwise layers have no state, unless
        there is nothing else: then the first holds the last output, from which the others compute the readout."""
        is_pointwise = all(layer.is_pointwise for layer in self.layers)
        scopes = [weights.scope(path, keeps=is_pointwise and path == "layers.0") for path in self.nested()]
        pairs = [(layer, scope) for layer, scope in zip(self.layers, scopes, strict=True) if not layer.is_idle]
        chosen = list(zip(self.layers, scopes, strict=True)) if is_pointwise else pairs
        return library.make_stack([layer.native(scope) for layer, scope in chosen])

    def scan(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        states = [None] * len(self.layers) if state is None else state
        finals = []
        for layer, initial in zip(self.layers, states, strict=True):
            inputs, final = layer(inputs, initial)
            finals.append(final)
        return inputs, tuple(finals)

    def set_memory(self, state: State, memory: Any) -> State:
        return tuple(layer.set_memory(one, memory) for layer, one in zip(self.layers, state, strict=True))

    def with_room(self, state: State, items: int) -> State:
        return tuple(layer.with_room(layer_state, items) for layer, layer_state in zip(self.layers, state, strict=True))

    def readout(self, state: State) -> Any:
        """The readout of the last layer; trailing pointwise layers are applied to that of the layer before them."""
        top = len(self.layers) - 1
        while top > 0 and self.layers[top].is_pointwise:
            top -= 1
        vector = self.layers[top].readout(state[top])
        for layer, layer_state in zip(self.layers[top + 1 :], state[top + 1 :], strict=True):
            vector = layer.step(vector, layer_state)[0]
        return vector

    def renew(self, state: State) -> State:
        return tuple(layer.renew(layer_state) for layer, layer_state in zip(self.layers, state, strict=True))


class RecurrentStack(Stack):
    """A `Stack` of causal layers."""

    class_title = "Stack"

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> State:
        """See `stepscan.Recurrence.initial_state`."""
        return tuple(layer.initial_state(batch_size, device=device, dtype=dtype) for layer in self.layers)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """See `stepscan.Recurrence.step`."""
        states = []
        for layer, old in zip(self.layers, state, strict=True):
            x, new = layer.step(x, old)
            states.append(new)
        return x, tuple(states)

    def condition(self, vector: Any) -> State:
        """See `stepscan.Recurrence.condition`; each layer gets its slice of the vector."""
        self.check_condition(vector)
        states, end = [], 0
        for layer in self.layers:
            states.append(layer.condition(vector[:, end : end + layer.condition_size]))
            end += layer.condition_size
        return tuple(states)


Stack.recurrent_class = RecurrentStack
