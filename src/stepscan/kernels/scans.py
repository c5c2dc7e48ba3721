"""Scans and steps of cells on the native kernels, with gradients."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from stepscan import kernels
from stepscan.kernels.native import library
from stepscan.kernels.tensors import packed, plain
from stepscan.sequences import Sequences
from stepscan.state import State

__all__ = ["Direction", "scan", "step", "suits"]


class Direction(NamedTuple):
    """A cell, the way it reads, and where it starts."""

    cell: Any  # a Cell with a `kernel`
    reverse: bool
    state: State  # leaves [B, H]


def suits(cell: nn.Module, data: Tensor) -> bool:
    """Whether the native kernels compute `cell` on `data`: float32 on a CPU, plain tensors."""
    weight = cell._parameters.get("weight_ih")
    return weight is not None and plain(weight, data)


def scan(inputs: Sequences, directions: Sequence[Direction]) -> tuple[Tensor, list[State]]:
    """One or two cells over the same inputs, side by side.

    Args:
        inputs: `[B, T, I]`; what stands in the padding is not read.
        directions: their cells take I numbers.

    Returns:
        Outputs `[B, T, ΣH]`, zero in the padding, and a final state for each direction.
    """
    return _run(inputs.data, inputs.lengths, directions)


def step(cell: Any, x: Tensor, state: Any) -> tuple[Tensor, State]:
    """One item: `x [B, I]` and a state → output `[B, H]` and the next state, with a scan's bits."""
    shape = x.shape
    if len(shape) != 2 or shape[1] != cell.input_size:
        raise ValueError(f"{cell.described} steps over [B, {cell.input_size}], got {list(shape)}")
    batch = shape[0]
    if torch.is_grad_enabled():
        y, (final,) = _run(x[:, None], _ones(batch), [Direction(cell, False, state)])
        return y[:, 0], final
    for leaf in state:
        _check_leaf(cell, leaf, batch)
    weights = _weights(cell, cell.kernel_weights, False)
    x, start = x.contiguous(), [leaf.contiguous() for leaf in state]
    end = [torch.empty_like(leaf) for leaf in start]  # the first, h, is the output too
    library.step(weights, x.data_ptr(), *_two(start), batch, *_two(end), torch.get_num_threads())
    return end[0], type(state)(*end)


@functools.lru_cache(maxsize=64)
def _ones(batch: int) -> Tensor:
    return torch.ones(batch, dtype=torch.long)


def _run(x: Tensor, lengths: Tensor, directions: Sequence[Direction]) -> tuple[Tensor, list[State]]:
    flat: list[Tensor | None] = []
    for cell, _, state in directions:
        for leaf in state:
            _check_leaf(cell, leaf, len(x))
        flat += [*state, *cell.kernel_weights]
    run = _Run(lengths, x.shape[1], [(d.cell, d.reverse) for d in directions])
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, *flat)):
        y, *ends = _Scan.apply(run, x, *flat)
    else:
        y, ends, _ = run.forward(x, flat, save=False)
    finals = iter(ends)
    return y, [type(d.state)(*itertools.islice(finals, len(d.state))) for d in directions]


def _check_leaf(cell: Any, leaf: Tensor, batch: int) -> None:
    if leaf.shape != (batch, cell.hidden_size):
        raise ValueError(f"{cell.described} starts from [{batch}, {cell.hidden_size}], got {list(leaf.shape)}")
    if leaf.dtype is not torch.float32:
        raise TypeError(f"{cell.described} computes in float32, but its state is {leaf.dtype}")


class _Run:
    """One call: what is the same forward and backward."""

    def __init__(self, lengths: Tensor, steps: int, cells: list[tuple[Any, bool]]) -> None:
        self.lengths, self.steps, self.cells = lengths.contiguous(), steps, cells
        self.leaves = [cell.kernel_leaves for cell, _ in cells]
        counts = [n + len(cell.kernel_weights) for n, (cell, _) in zip(self.leaves, cells, strict=True)]
        self.ends = [0, *itertools.accumulate(counts)]
        self.width = sum(cell.hidden_size for cell, _ in cells)

    def split(self, flat: Sequence[Any]) -> list[tuple[list[Any], list[Any]]]:
        """Leaves and weights of each direction."""
        return [
            (list(flat[begin : begin + n]), list(flat[begin + n : end]))
            for begin, end, n in zip(self.ends, self.ends[1:], self.leaves, strict=False)
        ]

    def forward(self, x: Tensor, flat: Sequence[Tensor | None], save: bool) -> tuple[Tensor, list[Tensor], Any]:
        """Outputs, final leaves, and what backward needs."""
        x = x.contiguous()
        batch = x.shape[0]
        y = x.new_empty(batch, self.steps, self.width)
        ends: list[Tensor] = []
        own, addresses, alive = [], [], []
        offset = 0
        for (cell, _), (start, weights) in zip(self.cells, self.split(flat), strict=True):
            start = [leaf.contiguous() for leaf in start]
            end = [torch.empty_like(leaf) for leaf in start]
            own.append(_weights(cell, weights, save))
            addresses.append([*_two(start), y.data_ptr() + 4 * offset, self.width, *_two(end)])
            ends += end
            alive.append(start)
            offset += cell.hidden_size
        kept = library.forward(
            own,
            [reverse for _, reverse in self.cells],
            x.data_ptr(),
            self.lengths.data_ptr(),
            batch,
            self.steps,
            addresses,
            save,
            torch.get_num_threads(),
        )
        return y, ends, (kept, own) if save else None


def _two(tensors: Sequence[Tensor | None]) -> list[int]:
    """The addresses of one or two tensors, 0 for what is not there."""
    addresses = [0 if t is None else t.data_ptr() for t in tensors]
    return addresses if len(addresses) == 2 else [*addresses, 0]


class _Scan(Function):
    @staticmethod
    def forward(ctx: Any, run: _Run, x: Tensor, *flat: Tensor | None) -> tuple[Tensor, ...]:
        y, ends, kept = run.forward(x, flat, save=True)
        ctx.run, ctx.kept = run, kept
        ctx.save_for_backward(x, y, *flat)
        ctx.set_materialize_grads(False)
        return (y, *ends)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, y, *flat = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: through the equations, which can be differentiated again
            return None, *_by_equations(ctx.run, x, flat, gradients, ctx.needs_input_grad[1:])
        return None, *_backward(ctx, x, y, flat, gradients)


def _backward(
    ctx: Any, x: Tensor, y: Tensor, flat: list[Tensor | None], gradients: Sequence[Tensor | None]
) -> list[Tensor | None]:
    run: _Run = ctx.run
    kept, own = ctx.kept
    wanted = ctx.needs_input_grad
    x = x.contiguous()
    dy = torch.zeros_like(y) if gradients[0] is None else gradients[0].contiguous()
    dx = torch.empty_like(x) if wanted[1] else None
    results: list[Tensor | None] = [dx]
    addresses, alive = [], []
    of_ends = iter(gradients[1:])
    of_wanted = iter(wanted[2:])
    offset = 0
    for (cell, _), (start, weights) in zip(run.cells, run.split(flat), strict=True):
        start = [leaf.contiguous() for leaf in start]
        d_end = [None if g is None else g.contiguous() for g in itertools.islice(of_ends, len(start))]
        d_start = [torch.empty_like(leaf) if next(of_wanted) else None for leaf in start]
        of_weights = [next(of_wanted) for _ in weights]
        d_weights = (
            [torch.empty_like(w, memory_format=torch.contiguous_format) if w is not None else None for w in weights]
            if any(of_weights)
            else []
        )
        addresses.append(
            [
                *_two(start),
                y.data_ptr() + 4 * offset,
                dy.data_ptr() + 4 * offset,
                *_two(d_end),
                *_two(d_start),
                *(0 if g is None else g.data_ptr() for g in d_weights),
            ]
        )
        alive.append((start, d_end))
        results += [*d_start, *(d_weights or [None] * len(weights))]
        offset += cell.hidden_size
    library.backward(kept, x.data_ptr(), 0 if dx is None else dx.data_ptr(), own, addresses, torch.get_num_threads())
    return [g if need else None for g, need in zip(results, wanted[1:], strict=True)]


def _by_equations(
    run: _Run, x: Tensor, flat: list[Tensor | None], gradients: Sequence[Tensor | None], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients as functions of everything, for a second derivative."""
    inputs = Sequences(x, run.lengths)
    outputs, ends = [], []
    with kernels.use("reference"):
        for (cell, reverse), (start, weights) in zip(run.cells, run.split(flat), strict=True):
            given = {n: w for n, w in zip(cell.kernel_weight_names, weights, strict=True) if w is not None}
            own = inputs.reversed() if reverse else inputs
            state = type(cell.initial_state(0))(*start)
            out, end = torch.func.functional_call(cell, given, (own, state))
            outputs.append((out.reversed() if reverse else out.zeroed()).data)
            ends += end
    results = [torch.cat(outputs, dim=2), *ends]
    asked = [t for t, need in zip((x, *flat), wanted, strict=True) if need and t is not None]
    pairs = [(r, g) for r, g in zip(results, gradients, strict=True) if g is not None and r.requires_grad]
    of_results = [g for _, g in pairs]
    found = iter(torch.autograd.grad([r for r, _ in pairs], asked, of_results, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in wanted]


def _weights(cell: Any, tensors: Sequence[Tensor | None], backward: bool) -> Any:
    def make(addresses: list[int]) -> Any:
        _check_weights(cell, tensors)
        sizes, threads = (cell.input_size, cell.hidden_size), torch.get_num_threads()
        return library.Weights(cell.kernel, *sizes, addresses, backward, threads=threads)

    return packed(cell, tensors, backward, make)


def _check_weights(cell: Any, tensors: Sequence[Tensor | None]) -> None:
    rows, hidden = cell.gates * cell.hidden_size, cell.hidden_size
    shapes = {
        "weight_ih": (rows, cell.input_size),
        "weight_hh": (rows, hidden),
        "gain_c": (hidden,),
        "bias_c": (hidden,),
    }
    for name, tensor in zip(cell.kernel_weight_names, tensors, strict=True):
        if tensor is None:
            continue
        shape = shapes.get(name, (rows,))
        if tensor.shape != shape or tensor.dtype is not torch.float32 or not tensor.is_cpu:
            raise ValueError(
                f"{cell.described} needs {name} {list(shape)}, float32, on the CPU as the others, "
                f"got {list(tensor.shape)}, {tensor.dtype}, on {tensor.device}"
            )
