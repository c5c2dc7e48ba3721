"""The scan of a cell as an operator of PyTorch, for graphs of `torch.compile` and `torch.export`.

Outside a graph, `stepscan.kernels.programs` calls the library itself, because a call of an operator costs some tens of
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
from stepscan.kernels.programs import Compiled, Part, RecordedSource, ScanRun
from stepscan.registry import describe
from stepscan.sequences import Sequences
from stepscan.state import State

__all__ = ["is_supported", "scan"]


def is_supported(cell: Any, data: Tensor) -> bool:
    """Whether a graph is being made, and the native kernels support these: float32 on a CPU."""
    tensors = (cell.weight_ih, data)
    return (
        torch.compiler.is_compiling()
        and library is not None
        and all(tensor.dtype is torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
    )


def scan(cell: Any, inputs: Sequences, state: Any) -> tuple[Tensor, State]:
    """Outputs `[B, T, H]` of a cell, zero in the padding, and the state after the last item of each row."""
    weights = [getattr(cell, name) for name in _names(cell)]
    y, *final = _scan(inputs.data, inputs.lengths, list(state), weights, _description(cell))
    return y, type(state)(*final)


@torch.compiler.assume_constant_result
def _names(cell: Any) -> tuple[str, ...]:
    """Those of its weights, in the order of its program."""
    return tuple(name for name, _ in cell.stored_program().program.weights)


@torch.compiler.assume_constant_result
def _description(cell: Any) -> str:
    return json_text(describe(cell))


@torch.library.custom_op("stepscan::scan", mutates_args=())
def _scan(x: Tensor, lengths: Tensor, state: list[Tensor], weights: list[Tensor], cell: str) -> list[Tensor]:
    """The outputs and the leaves of the final state; `cell`: a description in JSON; weights as in its program."""
    longest = int(lengths.max()) if len(lengths) else 0
    if longest > x.shape[1] or (len(lengths) and int(lengths.min()) < 0):
        raise ValueError(f"lengths: expected 0 … {x.shape[1]}, got {int(lengths.min())} … {longest}")
    y, ends, _ = _run(lengths, weights, cell).forward(x, [*state, *weights], save=False)
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
    """The gradients of x, of the leaves of the state and of the weights."""
    run, flat = _run(lengths, weights, cell), [*state, *weights]
    y, _, saved = run.forward(x, flat, save=True)
    found = run.backward(saved, x, y, flat, gradients, [True] * (1 + len(flat)))
    return [gradient for gradient in found if gradient is not None]


@_scan_backward.register_fake
def _scan_backward_shapes(
    x: Tensor,
    lengths: Tensor,
    state: list[Tensor],
    weights: list[Tensor],
    cell: str,
    gradients: list[Tensor | None],
) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in (x, *state, *weights)]


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


def _run(lengths: Tensor, weights: list[Tensor], cell: str) -> ScanRun:
    compiled = _compiled(cell, tuple(weight.data_ptr() for weight in weights))
    return ScanRun(lengths, [Part(compiled, tuple(weights), False)])


@functools.lru_cache(maxsize=64)
def _compiled(cell: str, addresses: tuple[int, ...]) -> Compiled:
    """The program of a cell, which holds the packed weights of these addresses."""
    definition = specify(json.loads(cell))
    return Compiled(RecordedSource(definition.signature, definition.stored_program()))
