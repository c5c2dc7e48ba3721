"""A cell's equations, run on values that record what is done with them: its program, without PyTorch.

`Recorder` has the operations of `stepscan.backends.tensors` that equations of cells are written over.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import Any

from stepscan.programs.pieces import program_of
from stepscan.programs.rows import RowGraph, WeightRef
from stepscan.programs.stored import StoredProgram

__all__ = ["record"]

_EPSILON = 1e-5  # of layer normalisation, as in PyTorch


@dataclass(frozen=True)
class _Weight:
    """A weight; a vector is a value, too."""

    graph: RowGraph
    ref: WeightRef

    @property
    def index(self) -> int:
        (size,) = self.ref.shape
        return self.graph("vector", width=size, attribute=(self.ref, 0, size))


@dataclass(frozen=True)
class _Value:
    """A value `[B, width]` of the graph, with arithmetic."""

    graph: RowGraph
    index: int

    def _made(self, op: str, *args: Any) -> _Value:
        return _Value(self.graph, self.graph(op, *(float(a) if isinstance(a, int | float) else a.index for a in args)))

    def __add__(self, other: Any) -> _Value:
        return self._made("add", self, other)

    def __mul__(self, other: Any) -> _Value:
        return self._made("multiply", self, other)

    def __sub__(self, other: Any) -> _Value:
        return self._made("subtract", self, other)

    def __rsub__(self, other: Any) -> _Value:
        return self._made("subtract", other, self)


class Recorder:
    """The operations of equations, on values that record them."""

    def linear(self, x: _Value, weight: _Weight, bias: _Weight | None = None) -> _Value:
        """`x Wᵀ + b`."""
        rows, columns = weight.ref.shape
        where = (weight.ref, 0, rows, 0, columns, -1 if bias is None else bias.ref)
        return _Value(x.graph, x.graph("product", x.index, width=rows, attribute=where))

    def chunk(self, x: _Value, count: int) -> list[_Value]:
        """Parts of equal width."""
        width = x.graph.width(x.index) // count
        return [_Value(x.graph, x.graph.part(x.index, part * width, width)) for part in range(count)]

    def sigmoid(self, x: _Value) -> _Value:
        """1 / (1 + exp(−x))."""
        return x._made("sigmoid", x)

    def tanh(self, x: _Value) -> _Value:
        """Hyperbolic tangent."""
        return x._made("tanh", x)

    def relu(self, x: _Value) -> _Value:
        """max(x, 0)."""
        return x._made("relu", x)

    def layer_norm(self, x: _Value, gain: _Weight, bias: _Weight | None = None) -> _Value:
        """Layer normalisation (Ba et al. 2016)."""
        size = x.graph.width(x.index)
        mean = x._made("sum", x) * (1.0 / size)
        variance = x._made("squares", x, mean) * (1.0 / size)
        normal = x._made("normal", x, mean, x._made("rsqrt", variance + _EPSILON)) * gain
        return normal if bias is None else normal + bias


def record(definition: Any) -> StoredProgram:
    """A cell as data: the program of its `equations`, its tensors, and states of zeros that a vector sets leaf by leaf.

    Args:
        definition: of a cell whose parts are weights and whose state has leaves `[B, hidden_size]`.
    """
    graph, cell = RowGraph(), copy.copy(definition)
    cell.ops = Recorder()
    shapes = {name: part.shape for name, part in definition.parts().items() if part is not None}
    for name in definition.parts():
        setattr(cell, name, None)
    for number, (name, shape) in enumerate(shapes.items()):
        setattr(cell, name, _Weight(graph, WeightRef(number, shape)))
    size = definition.hidden_size
    widths = [size] * len(definition.state_class._fields)
    x = _Value(graph, graph("x", width=definition.input_size, attribute=(0, definition.input_size)))
    state = [_Value(graph, graph("leaf", width=size, attribute=(leaf, 0, size))) for leaf in range(len(widths))]
    y, new = cell.equations(x, definition.state_class(*state))
    next_state = [leaf.index for leaf in new]
    program, _ = program_of(graph, definition.input_size, widths, y.index, next_state, list(shapes).__getitem__)
    return StoredProgram(
        layer=definition.registered_name,
        program=program,
        tensors=tuple((name, "F32", shape) for name, shape in shapes.items()),
        weights=tuple(name for name, _ in program.weights),
        constants=(),
        initial=(("number", 0.0),) * len(widths),
        condition=tuple(("slice", start) for start in itertools.accumulate([0, *widths[:-1]])),
        readout=0,
    )
