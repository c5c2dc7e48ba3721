"""Where values lie that are kept for each item."""

from __future__ import annotations

from dataclasses import dataclass, field

from stepscan.programs.lowering import codes
from stepscan.programs.lowering.arrays import Arrays, Home
from stepscan.programs.lowering.backward import StatePart
from stepscan.programs.lowering.codes import PRODUCTS
from stepscan.programs.lowering.definitions import Definitions
from stepscan.programs.lowering.keeping import ForwardPlan
from stepscan.programs.lowering.matrices import Matrices
from stepscan.programs.lowering.stages import regions
from stepscan.programs.program import Program

__all__ = ["KeptHomes", "Unsupported", "state_parts"]


class Unsupported(ValueError):
    """Says in words why a program cannot run natively."""


def state_parts(program: Program, plan: ForwardPlan, definitions: Definitions, arrays: Arrays) -> list[StatePart]:
    """The parts that the state is written in, each with an array.

    Raises:
        Unsupported: a part that a step reads lies across two that it writes.
    """
    found = []
    sources = {value.attribute: index for index, value in enumerate(program.values) if value.op == "leaf"}
    for leaf, pieces in enumerate(program.next_state):
        offset = 0
        for value in pieces:
            width = definitions[value].width
            source = sources.pop((leaf, offset, offset + width), None)
            flat = source in plan.inputs or value in plan.inputs
            array = arrays.add(codes.STATE, 1, width, flat, of=leaf, offset=offset)
            found.append(StatePart(leaf, offset, width, value, source, array))
            offset += width
    if sources:
        leaf, start, stop = next(iter(sources))
        raise Unsupported(f"leaf {leaf} is read from {start} to {stop} and written in other parts")
    return found


@dataclass
class KeptHomes:
    """Finds homes for kept values; those of the next state have theirs in the state."""

    program: Program
    plan: ForwardPlan
    definitions: Definitions
    arrays: Arrays
    matrices: Matrices
    homes: dict[int, Home] = field(default_factory=dict)

    def place(self, kept: set[int], read: set[int]) -> dict[int, Home]:
        """Homes of kept values: what x makes for one input side by side; what a step makes over what it was made of."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for value in sorted(kept):
            definition = self.definitions[value]
            flat = value in self.plan.inputs
            if definition.op in PRODUCTS and value in self.plan.items and not flat:
                groups.setdefault((definition.args[0], *self.matrices.shape(definition)), []).append(value)
            elif value in self.plan.items or not self._overlaid(value):
                made = self.plan.items.get(value) or self.plan.step[value]
                slots = len(made.attribute) if made.is_reduction else 1
                array = self.arrays.add(codes.KEPT, slots, definition.width, flat and slots == 1)
                self.homes.setdefault(value, Home(array))
        self.homes.update(self.arrays.side_by_side(codes.KEPT, groups.values()))
        self._overlay(kept, read)
        return self.homes

    def _overlaid(self, value: int) -> bool:
        """Whether a kept value may find a place over another: `_overlay` decides."""
        definition = self.plan.step[value]
        return value not in self.plan.inputs and not definition.is_reduction and definition.op not in PRODUCTS

    def _overlay(self, kept: set[int], read: set[int]) -> None:
        where = regions(self.plan.step, lambda value: self.plan.step.get(value) or self.definitions[value])
        order = {value: (where[value], place) for place, value in enumerate(self.plan.step)}
        last: dict[int, int] = {}
        for value, definition in self.plan.step.items():
            for arg in definition.args:
                if arg not in last or order[value] > order[last[arg]]:
                    last[arg] = value
        ends = {*self.program.output, *(value for pieces in self.program.next_state for value in pieces)}
        taken: set[int] = set()
        for value in sorted(value for value in kept if value not in self.homes):
            for arg in self.plan.step[value].args:
                if (
                    arg in self.plan.kept and arg not in taken | read | ends | self.plan.inputs and last[arg] == value
                    and self.definitions[arg].width == self.definitions[value].width
                ):  # fmt: skip
                    taken.add(arg)
                    self.homes[value] = self.homes[arg]
                    break
            else:
                self.homes[value] = Home(self.arrays.add(codes.KEPT, 1, self.definitions[value].width))
