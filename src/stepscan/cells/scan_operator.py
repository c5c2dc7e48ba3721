"""The scan of a cell as an operator of PyTorch, for graphs of `torch.compile` and `torch.export`.

Outside a graph, `stepscan.kernels.scans` calls the library itself, because a call of an operator costs some tens of
microseconds. Nothing may be saved for backward but tensors, so that the operator's backward scans once more.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import torch
from torch import Tensor

from stepscan.definitions.definition import specify
from stepscan.json_text import json_text
from stepscan.kernels.native import library
from stepscan.kernels.scans import ScanRun
from stepscan.registry import describe
from stepscan.sequences import Sequences
from stepscan.state import State

__all__ = ["is_supported", "scan"]


def is_supported(weight: Tensor, data: Tensor) -> bool:
    """Whether a graph is being made, and the native kernels support these: float32 on a CPU."""
    tensors = (weight, data)
    return (
        torch.compiler.is_compiling()
        and library is not None
        and all(tensor.dtype is torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
    )


def scan(cell: Any, inputs: Sequences, state: Any) -> tuple[Tensor, State]:
    """Outputs `[B, T, H]` of a cell, zero in the padding, and the state after the last item of each row."""
    weights = [weight for weight in cell.kernel_weights if weight is not None]
    y, *final = _scan(inputs.data, inputs.lengths, list(state), weights, _description(cell))
    return y, type(state)(*final)


@torch.compiler.assume_constant_result
def _description(cell: Any) -> str:
    return json_text(describe(cell))


@torch.library.custom_op("stepscan::scan", mutates_args=())
def _scan(x: Tensor, lengths: Tensor, state: list[Tensor], weights: list[Tensor], cell: str) -> list[Tensor]:
    """The outputs and the leaves of the final state; `cell` is a description in JSON."""
    longest = int(lengths.max()) if len(lengths) else 0
    if longest > x.shape[1] or (len(lengths) and int(lengths.min()) < 0):
        raise ValueError(f"lengths: expected 0 … {x.shape[1]}, got {int(lengths.min())} … {longest}")
    run, flat = _run(x, lengths, state, weights, cell)
    y, ends, _ = run.forward(x, flat, save=False)
    return [y, *ends]


@_scan.register_fake
def _scan_shapes(x: Tensor, lengths: Tensor, state: list[Tensor], weights: list[Tensor], cell: str) -> list[Tensor]:
    return [x.new_empty(*x.shape[:2], state[0].shape[1]), *map(torch.empty_like, state)]


@torch.library.custom_op("stepscan::scan_backward", mutates_args=())
def _scan_backward(
    x: Tensor,
    lengths: Tensor,
    state: list[Tensor],
    weights: list[Tensor],
    cell: str,
    gradients: list[Tensor | None],
) -> list[Tensor]:
    """The gradients of x, of the leaves of the state and of the weights that there are."""
    run, flat = _run(x, lengths, state, weights, cell)
    y, _, saved = run.forward(x, flat, save=True)
    needed = [True, *(tensor is not None for tensor in flat)]
    return [gradient for gradient in run.backward(saved, x, y, flat, gradients, needed) if gradient is not None]


@_scan_backward.register_fake
def _scan_backward_shapes(
    x: Tensor,
    lengths: Tensor,
    state: list[Tensor],
    weights: list[Tensor],
    cell: str,
    gradients: list[Tensor | None],
) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in (x, *state, *weights) if tensor is not None]


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, lengths, state, weights, ctx.cell = inputs
    ctx.leaves = len(state)
    ctx.save_for_backward(x, lengths, *state, *weights)


def _backward(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    x, lengths, *flat = ctx.saved_tensors
    state, weights = flat[: ctx.leaves], flat[ctx.leaves :]
    dx, *results = _scan_backward(x, lengths, state, weights, ctx.cell, list(gradients))
    return dx, None, results[: ctx.leaves], results[ctx.leaves :], None


_scan.register_autograd(_backward, setup_context=_save_inputs)


def _run(
    x: Tensor, lengths: Tensor, state: list[Tensor], weights: list[Tensor], cell: str
) -> tuple[ScanRun, list[Tensor | None]]:
    """The scan, and its state and weights with None for biases that the cell does not have."""
    definition = _definition(cell, tuple(weight.data_ptr() for weight in weights))
    parts, there = definition.parts(), iter(weights)
    flat = [*state, *(next(there) if parts.get(name) is not None else None for name in definition.weight_names)]
    return ScanRun(lengths, x.shape[1], [(definition, False)]), flat


@functools.lru_cache(maxsize=64)
def _definition(cell: str, addresses: tuple[int, ...]) -> Any:
    """The definition of a cell, which holds the packed weights of these addresses."""
    return specify(json.loads(cell))
