"""A step of a cell as data: values, each made by an operation from earlier ones.

There is nothing in it but whole numbers and names, so that it may lie in a model folder; what comes from one is checked
by `Program.check` before anything is computed. Joins and slices are not operations: what a cell splits or joins is
several values, side by side.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

from stepscan.programs.checks import check_program
from stepscan.programs.form import check_form
from stepscan.programs.operations import BY_NAME, SOURCE

__all__ = ["Program", "Value", "WeightShape", "dependence"]

VERSION = 1  # of the data in a file
STEPS, ITEMS, WEIGHTS = "state", "x", "weights"  # what a value depends on


class Value(NamedTuple):
    """A value `[B, width]`.

    Attributes:
        op: the name of an operation; see `stepscan.programs.operations`.
        args: indices of earlier values.
        width: numbers in a row.
        attribute: what the operation says; weights and leaves by index, a missing bias as −1.
    """

    op: str
    args: tuple[int, ...]
    width: int
    attribute: tuple[Any, ...] = ()


class WeightShape(NamedTuple):
    """A weight: a vector, a matrix `[o, i]` (products with x Wᵀ), or blocks `[n, o, i]`."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """One step: `x [B, input_size]` and a state → the output and the next state.

    Attributes:
        input_size: I.
        state: the width of each leaf of the state; a leaf `[B, m, n]` has the width m n.
        weights: what it reads.
        values: in an order in which they can be computed.
        output: indices of the values that side by side are the output.
        next_state: the same for each leaf.
    """

    input_size: int
    state: tuple[int, ...]
    weights: tuple[WeightShape, ...]
    values: tuple[Value, ...]
    output: tuple[int, ...]
    next_state: tuple[tuple[int, ...], ...]

    @property
    def output_size(self) -> int:
        """The width of the output."""
        return sum(self.values[index].width for index in self.output)

    @functools.cached_property
    def depends(self) -> tuple[str, ...]:
        """For each value, what it depends on: `weights` alone, `x` (and weights), or the `state` (and any)."""
        return dependence(self.values)

    def check(self) -> None:
        """Check everything that a program from a file may have wrong.

        Raises:
            ProgramError: says what is wrong, and where.
        """
        check_program(self)

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON; see `from_json`."""
        return {
            "version": VERSION,
            "input_size": self.input_size,
            "state": list(self.state),
            "weights": [[name, list(shape)] for name, shape in self.weights],
            "values": [[op, list(args), width, list(attribute)] for op, args, width, attribute in self.values],
            "output": list(self.output),
            "next_state": [list(pieces) for pieces in self.next_state],
        }

    @classmethod
    def from_json(cls, data: Any) -> Program:
        """The program of data that `to_json` made, checked.

        Raises:
            ProgramError: says what is wrong, and where.
        """
        check_form(data, VERSION)
        program = cls(
            data["input_size"],
            tuple(data["state"]),
            tuple(WeightShape(name, tuple(shape)) for name, shape in data["weights"]),
            tuple(Value(op, tuple(args), width, tuple(attribute)) for op, args, width, attribute in data["values"]),
            tuple(data["output"]),
            tuple(tuple(pieces) for pieces in data["next_state"]),
        )
        program.check()
        return program


def dependence(values: tuple[Value, ...]) -> tuple[str, ...]:
    """See `Program.depends`; gradients that a step is given count as its state."""
    order = (WEIGHTS, ITEMS, STEPS)
    sources = {"x": ITEMS, "vector": WEIGHTS, "constant": WEIGHTS}
    found: list[str] = []
    for value in values:
        if BY_NAME[value.op].kind == SOURCE:
            found.append(sources.get(value.op, STEPS))
        else:
            found.append(max((found[index] for index in value.args), key=order.index))
    return tuple(found)
