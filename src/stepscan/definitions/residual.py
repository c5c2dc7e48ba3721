"""Definition of `Residual`: a layer's outputs added to its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from stepscan.definitions.definition import definition
from stepscan.definitions.kinds import AnyLayer
from stepscan.definitions.layer import CombinatorDefinition
from stepscan.kernels.native import library
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights


class ResidualState(NamedTuple):
    inner: State
    x: Any  # [B, I], the last input: the readout adds it


@definition("residual")
@dataclass(eq=False, repr=False)
class Residual(CombinatorDefinition):
    """See `stepscan.Residual`."""

    layer: AnyLayer

    recurrent_class: ClassVar[type]

    def __new__(cls, layer: Any = None) -> Any:
        return super().__new__(cls.choose_class([layer]))  # copy and pickle call it without arguments

    def derive(self) -> None:
        layer = self.layer
        if layer.input_size != layer.output_size:
            raise ValueError(
                f"Residual: expected a layer of equal input and output size, got {layer.signature}; "
                f"add a projection: Stack([layer, Linear({layer.output_size}, {layer.input_size})])"
            )
        self.input_size = self.output_size = layer.input_size

    def native(self, weights: Weights) -> Any:
        return library.make_residual(self.layer.native(weights.scope("layer")))

    def scan(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        inputs = self.check_input(inputs)
        inner, x = (None, None) if state is None else state
        outputs, final = self.layer(inputs, inner)
        total = inputs.replace(outputs.zeroed().data + inputs.data, zeroed=True)
        return total, ResidualState(final, inputs.last(default=x))

    def set_memory(self, state: ResidualState, memory: Any) -> ResidualState:
        return state._replace(inner=self.layer.set_memory(state.inner, memory))

    def with_room(self, state: ResidualState, items: int) -> ResidualState:
        return state._replace(inner=self.layer.with_room(state.inner, items))

    def readout(self, state: ResidualState) -> Any:
        return state.x + self.layer.readout(state.inner)

    def renew(self, state: ResidualState) -> ResidualState:
        return ResidualState(self.layer.renew(state.inner), state.x)


class RecurrentResidual(Residual):
    """A `Residual` around a causal layer."""

    class_title = "Residual"

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> ResidualState:
        """See `stepscan.Recurrence.initial_state`."""
        return self._with_zeros(self.layer.initial_state(batch_size, device=device, dtype=dtype), batch_size)

    def step(self, x: Any, state: ResidualState) -> tuple[Any, ResidualState]:
        """See `stepscan.Recurrence.step`."""
        y, inner = self.layer.step(x, state.inner)
        return x + y, ResidualState(inner, x)

    def condition(self, vector: Any) -> ResidualState:
        """See `stepscan.Recurrence.condition`."""
        return self._with_zeros(self.layer.condition(vector), len(vector))

    def _with_zeros(self, inner: State, rows: int) -> ResidualState:
        return ResidualState(inner, self.ops.zeros(self.layer.readout(inner), rows, self.input_size))


Residual.recurrent_class = RecurrentResidual
