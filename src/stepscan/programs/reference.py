"""Programs in NumPy: a step, and scans forward and backward over ragged rows, which other implementations are held to.

In the dtype of the arrays that they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stepscan.programs.derivative import Derivative, Pairs
from stepscan.programs.graph import reachable
from stepscan.programs.operations import BY_NAME
from stepscan.programs.program import Program, Value

__all__ = ["Gradients", "Scan", "step"]

Array: TypeAlias = npt.NDArray[Any]
Known = dict[int, Array]  # values by index
Weights = Sequence[Array]  # as `Program.weights`


def step(program: Program, weights: Weights, x: Array, state: Sequence[Array]) -> tuple[Array, list[Array]]:
    """The output `[B, H]` and the next state's leaves `[B, width]`, of x `[B, I]` and the leaves of the state."""
    known = _forward(program, weights, x, state)
    return _results(program, known, len(x))


class Scan:
    """Steps over `x [B, T, I]`, in which the state of a row does not change after its last item.

    Args:
        program: the step.
        weights: its weights, in their shapes.
        x: `[B, T, I]`.
        lengths: of the rows, up to T.
        state: leaves `[B, width]`.

    Attributes:
        y: outputs `[B, T, H]`, zero in the padding.
        state: the leaves after the last item of each row.
    """

    def __init__(self, program: Program, weights: Weights, x: Array, lengths: Array, state: Sequence[Array]) -> None:
        self.program, self.weights, self.lengths, self.shape = program, weights, lengths, x.shape
        self.y = np.zeros((*x.shape[:2], program.output_size), x.dtype)
        self.state = [leaf.copy() for leaf in state]
        self._known: list[Known] = []
        for t in range(int(lengths.max(initial=0))):
            rows = np.flatnonzero(lengths > t)
            known = _forward(program, weights, x[rows, t], [leaf[rows] for leaf in self.state])
            self.y[rows, t], leaves = _results(program, known, len(rows))
            for leaf, new in zip(self.state, leaves, strict=True):
                leaf[rows] = new
            self._known.append(known)

    def known(self, t: int) -> list[Array]:
        """All values of a step."""
        return list(self._known[t].values())

    def backward(self, derivative: Derivative, dy: Array, dstate: Sequence[Array]) -> Gradients:
        """Gradients, given those of `y` and of `state`."""
        weights = [np.zeros_like(weight) for weight in self.weights]
        result = Gradients(np.zeros(self.shape, dy.dtype), [leaf.copy() for leaf in dstate], weights)
        for t in range(len(self._known) - 1, -1, -1):
            rows = np.flatnonzero(self.lengths > t)
            self._step_back(derivative, self._known[t], dy[rows, t], rows, t, result)
        return result

    def _step_back(self, derivative: Derivative, known: Known, dy: Array, rows: Array, t: int, to: Gradients) -> None:
        program = self.program
        known = known | constants(derivative.values, dy.dtype)
        seeds: dict[tuple[Any, ...], Array]
        seeds = {("output_gradient", at): part for at, part in enumerate(_cut(program, program.output, dy))}
        for leaf, pieces in enumerate(program.next_state):
            cut = _cut(program, pieces, to.state[leaf][rows])
            seeds |= {("state_gradient", leaf, at): part for at, part in enumerate(cut)}
        known |= {
            i: seeds[op, *which] for i, (op, _, _, which) in enumerate(derivative.values) if (op, *which) in seeds
        }
        wanted = [derivative.leaves, derivative.vectors, derivative.products]
        wanted += [derivative.x, derivative.x_vectors, derivative.x_products]
        compute(derivative.values, [d for pairs in wanted for _, d in pairs], self.weights, known)
        for gradient in to.state:
            gradient[rows] = 0
        for value, d in derivative.leaves:
            leaf, start, stop = program.values[value].attribute
            to.state[leaf][rows, start:stop] += known[d]
        for value, d in derivative.x:
            start, stop = program.values[value].attribute
            to.x[rows, t, start:stop] += known[d]
        self._add_weights(derivative.vectors + derivative.x_vectors, known, len(rows), to)
        self._add_weights(derivative.products + derivative.x_products, known, len(rows), to)

    def _add_weights(self, pairs: Pairs, known: Known, rows: int, to: Gradients) -> None:
        for index, d in pairs:
            value = self.program.values[index]
            gradient = np.broadcast_to(known[d], (rows, value.width))
            if value.op == "vector":
                weight, start, stop = value.attribute
                to.weights[weight].reshape(-1)[start:stop] += gradient.sum(0)
            elif value.op == "blocks":
                weight, first, last = value.attribute
                shape = (rows, last - first, -1)
                v = np.broadcast_to(known[value.args[0]], (rows, self.program.values[value.args[0]].width)).reshape(
                    shape
                )
                to.weights[weight][first:last] += np.einsum("bno,bni->noi", gradient.reshape(shape), v)
            else:
                weight, row0, row1, col0, col1, bias = value.attribute
                v = known[value.args[0]]
                to.weights[weight][row0:row1, col0:col1] += gradient.T @ np.broadcast_to(v, (rows, v.shape[1]))
                if bias >= 0:
                    to.weights[bias][row0:row1] += gradient.sum(0)


@dataclass
class Gradients:
    """Of what a scan was given: `x [B, T, I]`, leaves of the state, and weights."""

    x: Array
    state: list[Array]
    weights: list[Array]


def constants(values: Sequence[Value], dtype: npt.DTypeLike) -> Known:
    """The constants among some values, `[1, 1]`."""
    return {i: np.full((1, 1), value.attribute[0], dtype) for i, value in enumerate(values) if value.op == "constant"}


def compute(values: Sequence[Value], wanted: Sequence[int], weights: Weights, known: Known) -> None:
    """Add the values `wanted` to `known`, and those that they are made of."""
    for index in reachable(values, wanted, known.__contains__):
        if index not in known:
            value = values[index]
            known[index] = _compute(value, [known[arg] for arg in value.args], weights)


def _forward(program: Program, weights: Weights, x: Array, state: Sequence[Array]) -> Known:
    known = constants(program.values, x.dtype)
    for index, (op, _, _, attribute) in enumerate(program.values):
        if op == "x":
            known[index] = x[:, slice(*attribute)]
        elif op == "leaf":
            known[index] = state[attribute[0]][:, slice(*attribute[1:])]
    compute(program.values, range(len(program.values)), weights, known)
    return known


def _results(program: Program, known: Known, rows: int) -> tuple[Array, list[Array]]:
    def join(pieces: Sequence[int]) -> Array:
        parts = [np.broadcast_to(known[index], (rows, program.values[index].width)) for index in pieces]
        return np.concatenate(parts, axis=1)

    return join(program.output), [join(pieces) for pieces in program.next_state]


def _cut(program: Program, pieces: Sequence[int], whole: Array) -> list[Array]:
    ends = np.cumsum([program.values[index].width for index in pieces])
    return np.split(whole, ends[:-1], axis=1)


def _compute(value: Value, args: list[Array], weights: Weights) -> Array:
    special = _SPECIAL.get(value.op)
    if special is not None:
        return special(value, args, weights)
    compute = BY_NAME[value.op].compute
    assert compute is not None, value.op
    result: Array = compute(*args)
    return result


def _vector(value: Value, args: list[Array], weights: Weights) -> Array:
    weight, start, stop = value.attribute
    return weights[weight].reshape(1, -1)[:, start:stop]


def _product(value: Value, args: list[Array], weights: Weights) -> Array:
    weight, row0, row1, col0, col1, bias = value.attribute
    result: Array = args[0] @ weights[weight][row0:row1, col0:col1].T
    return result if bias < 0 else result + weights[bias][row0:row1]


def _blocks(value: Value, args: list[Array], weights: Weights, equation: str = "bni,noi->bno") -> Array:
    weight, first, last = value.attribute
    v = args[0].reshape(len(args[0]), last - first, -1)
    result: Array = np.einsum(equation, v, weights[weight][first:last])
    return result.reshape(len(v), -1)


def _product_back(value: Value, args: list[Array], weights: Weights) -> Array:
    total: Any = 0
    for position, d in enumerate(args):
        weight, row0, row1, col0, col1 = value.attribute[5 * position : 5 * position + 5]
        total = total + d @ weights[weight][row0:row1, col0:col1]
    return total


def _blocks_back(value: Value, args: list[Array], weights: Weights) -> Array:
    return _blocks(value, args, weights, "bno,noi->bni")


def _spread(value: Value, args: list[Array], weights: Weights) -> Array:
    return np.broadcast_to(args[0], (len(args[0]), value.width))


_SPECIAL: Mapping[str, Any] = {
    "vector": _vector,
    "product": _product,
    "blocks": _blocks,
    "product_back": _product_back,
    "blocks_back": _blocks_back,
    "spread": _spread,
}
