"""Scans and steps of cells on the native kernels, with gradients."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stepscan import kernels
from stepscan.kernels import tensors
from stepscan.kernels.native import library
from stepscan.kernels.scan_function import ScanFunction
from stepscan.sequences import Sequences
from stepscan.state import State

__all__ = ["Direction", "ScanRun", "is_supported", "scan", "step"]


class Direction(NamedTuple):
    """A cell, the direction in which it reads, and its initial state."""

    cell: Any  # a Cell with a `kernel`
    reverse: bool
    state: State  # leaves [B, H]


def is_supported(cell: nn.Module, data: Tensor) -> bool:
    """Whether the native kernels are enabled and support `cell` on `data`: see `tensors.is_supported`."""
    weight = cell._parameters.get("weight_ih")
    return weight is not None and tensors.is_supported(weight, data)


def scan(inputs: Sequences, directions: Sequence[Direction]) -> tuple[Tensor, list[State]]:
    """Scan one or two cells over the same inputs, in parallel.

    Args:
        inputs: `[B, T, I]`; the padding is not read.
        directions: cells of input size I and their initial states.

    Returns:
        Outputs `[B, T, ΣH]`, zero in the padding, and the final state of each direction.

    Raises:
        ValueError: a state or a weight has another shape.
        TypeError: a state is not float32.
    """
    return _run(inputs.data, inputs.lengths, directions)


def step(cell: Any, x: Tensor, state: Any) -> tuple[Tensor, State]:
    """One step: `x [B, I]` and a state → output `[B, H]` and the next state, with the same bits as a scan.

    Raises:
        ValueError: x, the state or a weight has another shape.
        TypeError: the state is not float32.
    """
    shape = x.shape
    if len(shape) != 2 or shape[1] != cell.input_size:
        raise ValueError(f"{cell.signature} expected x [B, {cell.input_size}], got {list(shape)}")
    batch = shape[0]
    if torch.is_grad_enabled():
        y, (final,) = _run(x[:, None], _ones(batch), [Direction(cell, False, state)])
        return y[:, 0], final
    for leaf in state:
        _check_leaf(cell, leaf, batch)
    weights = _weights(cell, cell.kernel_weights, False)
    x, start = x.contiguous(), [leaf.contiguous() for leaf in state]
    end = [torch.empty_like(leaf) for leaf in start]  # the first one, h, is also the output
    library.step(weights, x.data_ptr(), *_addresses(start), batch, *_addresses(end), torch.get_num_threads())
    return end[0], type(state)(*end)


@functools.lru_cache(maxsize=64)
def _ones(batch: int) -> Tensor:
    return torch.ones(batch, dtype=torch.long)


def _run(x: Tensor, lengths: Tensor, directions: Sequence[Direction]) -> tuple[Tensor, list[State]]:
    flat: list[Tensor | None] = []  # states and weights of all directions
    for cell, _, state in directions:
        for leaf in state:
            _check_leaf(cell, leaf, len(x))
        flat += [*state, *cell.kernel_weights]
    run = ScanRun(lengths, x.shape[1], [(d.cell, d.reverse) for d in directions])
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, *flat)):
        y, *ends = ScanFunction.apply(run, x, *flat)
    else:
        y, ends, _ = run.forward(x, flat, save=False)
    finals = iter(ends)
    return y, [type(d.state)(*itertools.islice(finals, len(d.state))) for d in directions]


def _check_leaf(cell: Any, leaf: Tensor, batch: int) -> None:
    if leaf.shape != (batch, cell.hidden_size):
        raise ValueError(f"{cell.signature} expected a state of [{batch}, {cell.hidden_size}], got {list(leaf.shape)}")
    if leaf.dtype is not torch.float32:
        raise TypeError(f"{cell.signature} expected a float32 state, got {leaf.dtype}")


class ScanRun:
    """One scan: what forward and backward share.

    Args:
        lengths: `[B]`.
        steps: T.
        cells: one or two cells, or their definitions, each with whether it reads in reverse.
    """

    def __init__(self, lengths: Tensor, steps: int, cells: list[tuple[Any, bool]]) -> None:
        self.lengths, self.steps, self.cells = lengths.contiguous(), steps, cells
        self.leaves = [cell.state_leaves for cell, _ in cells]
        counts = [n + len(cell.weight_names) for n, (cell, _) in zip(self.leaves, cells, strict=True)]
        self.ends = [0, *itertools.accumulate(counts)]
        self.width = sum(cell.hidden_size for cell, _ in cells)

    def split(self, flat: Sequence[Any]) -> list[tuple[list[Any], list[Any]]]:
        """The state's leaves and the weights of each direction."""
        return [
            (list(flat[begin : begin + n]), list(flat[begin + n : end]))
            for begin, end, n in zip(self.ends, self.ends[1:], self.leaves, strict=False)
        ]

    def equations(self, x: Tensor, *flat: Tensor | None) -> list[Tensor]:
        """Outputs and final states' leaves, in PyTorch."""
        inputs, outputs, ends = Sequences(x, self.lengths), [], []
        with kernels.use("reference"):
            for (cell, reverse), (start, weights) in zip(self.cells, self.split(flat), strict=True):
                named_weights = {n: w for n, w in zip(cell.weight_names, weights, strict=True) if w is not None}
                state = type(cell.initial_state(0))(*start)
                arguments = (inputs.reversed() if reverse else inputs, state)
                y, end = torch.func.functional_call(cell, named_weights, arguments)
                outputs.append((y.reversed() if reverse else y.zeroed()).data)
                ends += end
        return [torch.cat(outputs, dim=2), *ends]

    def forward(self, x: Tensor, flat: Sequence[Tensor | None], save: bool) -> tuple[Tensor, list[Tensor], Any]:
        """Outputs, final states' leaves, and what backward needs."""
        x = x.contiguous()
        batch = x.shape[0]
        y = x.new_empty(batch, self.steps, self.width)
        ends: list[Tensor] = []
        all_weights, addresses, starts = [], [], []  # `starts` keeps the addresses valid
        offset = 0
        for (cell, _), (start, weights) in zip(self.cells, self.split(flat), strict=True):
            start = [leaf.contiguous() for leaf in start]
            end = [torch.empty_like(leaf) for leaf in start]
            all_weights.append(_weights(cell, weights, save))
            addresses.append([*_addresses(start), y.data_ptr() + 4 * offset, self.width, *_addresses(end)])
            ends += end
            starts.append(start)
            offset += cell.hidden_size
        reverse = [reverse for _, reverse in self.cells]
        inputs = x.data_ptr(), self.lengths.data_ptr(), batch, self.steps
        context = library.forward(all_weights, reverse, *inputs, addresses, save, torch.get_num_threads())
        return y, ends, (context, all_weights) if save else None

    def backward(
        self,
        saved: Any,
        x: Tensor,
        y: Tensor,
        flat: Sequence[Tensor | None],
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
        context, all_weights = saved
        x = x.contiguous()
        dy = torch.zeros_like(y) if gradients[0] is None else gradients[0].contiguous()
        dx = torch.empty_like(x) if needed[0] else None
        results: list[Tensor | None] = [dx]
        addresses, alive = [], []  # `alive` keeps the addresses valid
        end_gradients = iter(gradients[1:])
        flat_needed = iter(needed[1:])
        offset = 0
        for (cell, _), (start, weights) in zip(self.cells, self.split(flat), strict=True):
            start = [leaf.contiguous() for leaf in start]
            d_end = [None if g is None else g.contiguous() for g in itertools.islice(end_gradients, len(start))]
            d_start = [torch.empty_like(leaf) if next(flat_needed) else None for leaf in start]
            d_weights = _empty_gradients(weights, [next(flat_needed) for _ in weights])
            outputs = y.data_ptr() + 4 * offset, dy.data_ptr() + 4 * offset
            weight_addresses = tensors.addresses(d_weights)
            state_addresses = [*_addresses(d_end), *_addresses(d_start)]
            addresses.append([*_addresses(start), *outputs, *state_addresses, *weight_addresses])
            alive.append((start, d_end))
            results += [*d_start, *(d_weights or [None] * len(weights))]
            offset += cell.hidden_size
        dx_address, threads = 0 if dx is None else dx.data_ptr(), torch.get_num_threads()
        library.backward(context, x.data_ptr(), dx_address, all_weights, addresses, threads)
        return [g if need else None for g, need in zip(results, needed, strict=True)]


def _addresses(leaves: Sequence[Tensor | None]) -> list[int]:
    """The addresses of one or two leaves, as two; 0 for a missing one."""
    found = tensors.addresses(leaves)
    return found if len(found) == 2 else [*found, 0]


def _empty_gradients(weights: Sequence[Tensor | None], needed: Sequence[bool]) -> list[Tensor | None]:
    """Memory for the gradients of all weights of a cell; none if no gradient is needed."""
    if not any(needed):
        return []
    return [None if w is None else torch.empty_like(w, memory_format=torch.contiguous_format) for w in weights]


def _weights(cell: Any, weights: Sequence[Tensor | None], backward: bool) -> Any:
    """The cell's packed weights."""

    def make(addresses: list[int]) -> Any:
        _check_weights(cell, weights)
        sizes, threads = (cell.input_size, cell.hidden_size), torch.get_num_threads()
        return library.Weights(cell.kernel, *sizes, addresses, backward, threads=threads)

    return tensors.packed(cell, weights, backward, make)


def _check_weights(cell: Any, weights: Sequence[Tensor | None]) -> None:
    rows, hidden = cell.gates * cell.hidden_size, cell.hidden_size
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, cell.input_size), "weight_hh": (rows, hidden)}
    shapes |= {"gain_c": (hidden,), "bias_c": (hidden,)}
    for name, weight in zip(cell.weight_names, weights, strict=True):
        if weight is None:
            continue
        shape = shapes.get(name, (rows,))
        if weight.shape != shape or weight.dtype is not torch.float32 or not weight.is_cpu:
            raise ValueError(
                f"{cell.signature} expected {name} {list(shape)}, float32, on the CPU like its other weights, "
                f"got {list(weight.shape)}, {weight.dtype}, on {weight.device}"
            )
