"""Definitions of the layers around a recurrence that keep its state: zoneout and weight drop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepscan.definitions.definition import definition
from stepscan.definitions.kinds import Causal, Probability
from stepscan.definitions.layer import CombinatorDefinition, scan_by_steps
from stepscan.errors import shown
from stepscan.kernels.native import library
from stepscan.state import State, map_state

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights


class WrapperDefinition(CombinatorDefinition):
    """Base of the layers around a recurrence, with the same state; all that is not overridden is that layer's."""

    layer: Any

    def derive(self) -> None:
        self.input_size, self.output_size = self.layer.input_size, self.layer.output_size

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> State:
        """See `stepscan.Recurrence.initial_state`."""
        return self.layer.initial_state(batch_size, device=device, dtype=dtype)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """See `stepscan.Recurrence.step`."""
        return self.layer.step(x, state)

    def set_memory(self, state: State, memory: Any) -> State:
        return self.layer.set_memory(state, memory)

    def with_room(self, state: State, items: int) -> State:
        return self.layer.with_room(state, items)

    def readout(self, state: State) -> Any:
        return self.layer.readout(state)

    def condition(self, vector: Any) -> State:
        """See `stepscan.Recurrence.condition`."""
        return self.layer.condition(vector)

    def renew(self, state: State) -> State:
        return self.layer.renew(state)


@definition("zoneout")
@dataclass(eq=False, repr=False)
class Zoneout(WrapperDefinition):
    """See `stepscan.Zoneout`."""

    layer: Causal
    p: Probability

    def derive(self) -> None:
        super().derive()
        if self.layer.caches:
            raise ValueError(
                "Zoneout: expected a layer whose state has only floating-point leaves [B, H], got "
                f"{self.layer.signature}"
            )

    def scan(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        return scan_by_steps(self, inputs, state)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """See `stepscan.Recurrence.step`; around a layer without a kernel."""
        _, new = self.layer.step(x, state)
        mixed = map_state(lambda old, new: self.p * old + (1 - self.p) * new, state, new)
        return self.layer.readout(mixed), mixed

    def native(self, weights: Weights) -> Any:
        return library.make_zoneout(self.layer.native(weights.scope("layer")), self.p)


@definition("weight_drop")
@dataclass(eq=False, repr=False)
class WeightDrop(WrapperDefinition):
    """See `stepscan.WeightDrop`."""

    layer: Causal
    p: Probability
    name: str = "weight_hh"

    def derive(self) -> None:
        super().derive()
        self.dropped = [path for path in self.layer.weight_paths() if path.split(".")[-1] == self.name]
        if not self.dropped:
            raise ValueError(
                f"WeightDrop: expected a layer with parameters named {shown(self.name)}, got {self.layer.signature}"
            )

    def scan(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        return self.layer(inputs, state)

    def native(self, weights: Weights) -> Any:
        layer = self.layer.native(weights.scope("layer"))
        # Around a pointwise layer it is none itself: a stack above reads out of its state, not out of that below it.
        return library.make_stack([layer]) if layer.pointwise else layer
