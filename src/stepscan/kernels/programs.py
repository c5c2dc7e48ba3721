"""Scans and steps of cells that are programs (see `stepscan.programs`) on the native kernels, with gradients."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stepscan.kernels import program_equations, tensors
from stepscan.kernels.compiled import Compiled, compile_cell
from stepscan.kernels.native import library
from stepscan.kernels.scan_function import ScanFunction
from stepscan.sequences import Sequences
from stepscan.state import State, leaves, map_state

__all__ = ["Direction", "Part", "ScanRun", "scan", "scan_directions", "step"]


class Direction(NamedTuple):
    """A recurrence, the state that it starts from, and the direction in which it reads."""

    cell: Any
    state: State
    reverse: bool = False


def scan(cell: Any, inputs: Sequences, state: State) -> tuple[Sequences, State] | None:
    """Whole sequences, if a cell is a program that the native kernels can run on these inputs; otherwise None.

    Args:
        cell: a recurrence that defines `step`.
        inputs: `[B, T, I]`; the padding is not read.
        state: to start from.

    Returns:
        Outputs `[B, T, H]`, zero in the padding, and the state after the last item of each row.

    Raises:
        ValueError, TypeError: a classic cell's state or weight has another shape or dtype.
    """
    found = scan_directions(inputs, [Direction(cell, state)])
    if found is None:
        return None
    outputs, (final,) = found
    return inputs.replace(outputs, zeroed=True), final


def scan_directions(inputs: Sequences, directions: Sequence[Direction]) -> tuple[Tensor, list[State]] | None:
    """One or two recurrences over the same inputs, at once; see `scan`.

    Returns:
        Outputs `[B, T, ΣH]`, zero in the padding, and the final state of each direction; None if one is no program.
    """
    if library is None or not tensors.is_supported(inputs.data, inputs.data):
        return None
    return _scan(inputs.data, inputs.lengths, directions)


def step(cell: Any, x: Tensor, state: State) -> tuple[Tensor, State] | None:
    """One step, `x [B, I]` and a state → output `[B, H]` and the next state, with the same bits as a scan; see `scan`.

    Raises:
        ValueError: x has another shape.
    """
    if library is None or not tensors.is_supported(x, x):
        return None
    if len(x.shape) != 2 or x.shape[1] != cell.input_size:
        raise ValueError(f"{cell.signature} expected x [B, {cell.input_size}], got {list(x.shape)}")
    if torch.is_grad_enabled():
        found = _scan(x[:, None], _ones(len(x)), [Direction(cell, state)])
        return found and (found[0][:, 0], found[1][0])
    return _step(cell, x, state)


def _step(cell: Any, x: Tensor, state: State) -> tuple[Tensor, State] | None:
    """A step without gradients: what a scan of one item does, without what costs several times the step itself."""
    compiled, rows, given = compile_cell(cell, x), x.shape[0], list(leaves(state))
    if compiled is None or not compiled.accepts(given, rows):
        return None
    start = [leaf.contiguous() for leaf in given]
    end = [torch.empty_like(leaf) for leaf in start]
    x, y = x.contiguous(), x.new_empty(rows, compiled.output_size)
    packed = compiled.packed(compiled.tensors_of(cell), False)
    _forward([packed], [False], x, _ones(rows), (rows, 1), [start], y, [end], False)
    ends = iter(end)
    return y, map_state(lambda _: next(ends), state)


def _forward(
    packed: list[Any],
    reverse: list[bool],
    x: Tensor,
    lengths: Tensor,
    sizes: Sequence[int],
    starts: list[list[Tensor]],
    y: Tensor,
    ends: list[list[Tensor]],
    save: bool,
) -> Any:
    """The library's scan of contiguous tensors, of B rows and T steps, which `sizes` are; it writes `y` and `ends`."""
    start, end = [tensors.addresses(leaf) for leaf in starts], [tensors.addresses(leaf) for leaf in ends]
    inputs = x.data_ptr(), lengths.data_ptr(), *sizes
    return library.program_forward(packed, reverse, *inputs, start, y.data_ptr(), end, save, torch.get_num_threads())


@functools.lru_cache(maxsize=64)
def _ones(batch: int) -> Tensor:
    return torch.ones(batch, dtype=torch.long)


def _scan(x: Tensor, lengths: Tensor, directions: Sequence[Direction]) -> tuple[Tensor, list[State]] | None:
    parts, flat, rows = [], [], x.shape[0]
    for cell, state, reverse in directions:
        compiled, given = compile_cell(cell, x), list(leaves(state))
        if compiled is None or not compiled.accepts(given, rows):
            return None
        parts.append(Part(compiled, compiled.tensors_of(cell), reverse))
        flat.append([leaf if leaf.dim() == 2 else leaf.reshape(rows, math.prod(leaf.shape[1:])) for leaf in given])
    if any(x.shape[2] != part.compiled.program.input_size for part in parts):
        return None
    y, ends = _run(ScanRun(lengths, parts), x, flat)
    found = iter(ends)

    def shaped(leaf: Tensor) -> Tensor:
        end = next(found)
        return end if leaf.dim() == 2 else end.reshape(leaf.shape)  # a view would be one more node of the graph

    return y, [map_state(shaped, state) for _, state, _ in directions]


class Part(NamedTuple):
    """One direction of a scan.

    Attributes:
        compiled: its program.
        own: parameters and buffers of the cell.
        reverse: whether it reads from the last item to the first.
    """

    compiled: Compiled
    own: tuple[Tensor, ...]
    reverse: bool


class ScanRun(NamedTuple):
    """One scan: what forward and backward share. `flat` are the leaves of the state, and the program's weights, of one
    direction after the other.

    Attributes:
        lengths: `[B]`.
        parts: the directions.
    """

    lengths: Tensor
    parts: Sequence[Part]

    def split(self, flat: Sequence[Any]) -> list[tuple[list[Any], list[Any]]]:
        """Leaves and weights of each direction."""
        items = iter(flat)
        return [
            (list(itertools.islice(items, len(program.state))), list(itertools.islice(items, len(program.weights))))
            for program in (part.compiled.program for part in self.parts)
        ]

    def equations(self, x: Tensor, *flat: Tensor) -> list[Tensor]:
        """Outputs and final states' leaves, in PyTorch."""
        inputs, outputs, finals = Sequences(x, self.lengths), [], []
        for (compiled, _, reverse), (state, weights) in zip(self.parts, self.split(flat), strict=True):
            data = inputs.reversed().data if reverse else x
            y, ends = program_equations.scan(compiled.program, data, self.lengths, state, weights)
            outputs.append(inputs.replace(y).reversed().data if reverse else y)
            finals += ends
        return [torch.cat(outputs, dim=2) if len(outputs) > 1 else outputs[0], *finals]

    def forward(self, x: Tensor, flat: Sequence[Tensor], save: bool) -> tuple[Tensor, list[Tensor], Any]:
        """Outputs, final states' leaves, and what backward needs."""
        x, lengths = x.contiguous(), self.lengths.contiguous()
        starts = [[leaf.contiguous() for leaf in state] for state, _ in self.split(flat)]
        ends = [[torch.empty_like(leaf) for leaf in start] for start in starts]
        y = x.new_empty(*x.shape[:2], sum(part.compiled.output_size for part in self.parts))
        packed = [part.compiled.packed(part.own, save) for part in self.parts]
        reverse = [part.reverse for part in self.parts]
        saved = _forward(packed, reverse, x, lengths, x.shape[:2], starts, y, ends, save)
        return y, [leaf for end in ends for leaf in end], saved if save else None

    def backward(
        self,
        saved: Any,
        x: Tensor,
        y: Tensor,
        flat: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradients of x and of `flat`, None where not `needed`.

        Args:
            saved: by `forward`.
            x, y, flat: its inputs and outputs.
            gradients: of y and of the final states' leaves; None for zeros.
            needed: for x and for each of `flat`.
        """
        x = x.contiguous()
        dy = torch.zeros_like(y) if gradients[0] is None else gradients[0].contiguous()
        d_ends = [None if d is None else d.contiguous() for d in gradients[1:]]
        results = [
            torch.empty_like(tensor, memory_format=torch.contiguous_format) if need else None
            for tensor, need in zip((x, *flat), needed, strict=True)
        ]
        end_leaves = iter(d_ends)
        library.program_backward(
            saved,
            x.data_ptr(),
            y.data_ptr(),
            dy.data_ptr(),
            [tensors.addresses(itertools.islice(end_leaves, len(part.compiled.program.state))) for part in self.parts],
            [tensors.addresses(state) for state, _ in self.split(results[1:])],
            0 if results[0] is None else results[0].data_ptr(),
            [
                tensors.addresses(weights) if any(w is not None for w in weights) else []
                for _, weights in self.split(results[1:])
            ],
            torch.get_num_threads(),
        )
        return results


def _run(run: ScanRun, x: Tensor, states: list[list[Tensor]]) -> tuple[Tensor, list[Tensor]]:
    own = [tensor for part in run.parts for tensor in part.own]
    leaf_list = [leaf for state in states for leaf in state]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *leaf_list, *own)):
        pairs = [(state, part.compiled.weights(part.own)) for state, part in zip(states, run.parts, strict=True)]
        y, *ends = ScanFunction.apply(run, x, *[tensor for pair in pairs for part in pair for tensor in part])
        return y, ends
    flat: list[Any] = [t for state, part in zip(states, run.parts, strict=True) for t in _flat_of(state, part)]
    y, ends, _ = run.forward(x, flat, save=False)
    return y, ends


def _flat_of(state: list[Tensor], part: Part) -> list[Any]:
    """The leaves of a direction; its weights, which inference has packed, are not read."""
    return [*state, *[None] * len(part.compiled.program.weights)]
