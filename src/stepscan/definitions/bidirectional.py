"""Definition of `Bidirectional`: two layers over the same inputs, in opposite directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stepscan.definitions.definition import definition
from stepscan.definitions.kinds import LAYER, AnyLayer
from stepscan.definitions.layer import CombinatorDefinition
from stepscan.kernels.native import library
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights


class BidirectionalState(NamedTuple):
    forward: State
    backward: State  # after the first item, the last one that the backward layer reads


@definition("bidirectional")
@dataclass(eq=False, repr=False)
class Bidirectional(CombinatorDefinition):
    """See `stepscan.Bidirectional`."""

    causal = False
    condition_size = 0

    def __init__(self, forward: AnyLayer, backward: AnyLayer) -> None:  # not fields: `forward` is a method
        self.forward_layer, self.backward_layer = forward, backward
        self.__post_init__()

    def derive(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        for name, layer in (("forward", forward), ("backward", backward)):
            LAYER.check_field(self, name, layer)
        if forward.input_size != backward.input_size:
            raise ValueError(
                f"Bidirectional: expected two layers of equal input size, got {forward.signature} and "
                f"{backward.signature}"
            )
        self.input_size, self.output_size = forward.input_size, forward.output_size + backward.output_size

    def nested(self) -> dict[str, Any]:
        return {"forward_layer": self.forward_layer, "backward_layer": self.backward_layer}

    @property
    def blocking(self) -> str:
        return self.signature

    def native(self, weights: Weights) -> Any:
        layers = [layer.native(weights.scope(path)) for path, layer in self.nested().items()]
        return library.make_bidirectional(*layers)

    def scan(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        forward_state, backward_state = (None, None) if state is None else state
        inputs = self.check_input(inputs)
        forward, forward_final = self.forward_layer(inputs, forward_state)
        backward, backward_final = self.backward_layer(inputs.reversed(), backward_state)
        outputs = self.ops.concat([forward.zeroed().data, backward.reversed().data], axis=2)
        return inputs.replace(outputs, zeroed=True), BidirectionalState(forward_final, backward_final)

    def readout(self, state: BidirectionalState) -> Any:
        """The readouts of both directions, concatenated `[B, H]`."""
        forward, backward = self.forward_layer.readout(state.forward), self.backward_layer.readout(state.backward)
        return self.ops.concat([forward, backward], axis=1)

    def renew(self, state: BidirectionalState) -> BidirectionalState:
        return BidirectionalState(self.forward_layer.renew(state.forward), self.backward_layer.renew(state.backward))
