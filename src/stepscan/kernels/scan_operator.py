"""The scan of a cell that is a program as an operator of PyTorch, for graphs of `torch.compile` and `torch.export`.

Outside a graph, `stepscan.kernels.programs` calls the library itself, because a call of an operator costs some tens of
microseconds. Nothing may be saved for backward but tensors, so that the operator's backward scans once more.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import torch
from torch import Tensor

from stepscan.json_text import json_text
from stepscan.kernels.compiled import CompiledEquations
from stepscan.kernels.native import library
from stepscan.kernels.programs import Part, ScanRun
from stepscan.programs.program import Program
from stepscan.sequences import Sequences
from stepscan.state import State, leaves, map_state

__all__ = ["scan"]


def scan(cell: Any, inputs: Sequences, state: State) -> tuple[Sequences, State] | None:
    """Whole sequences as one operator of a graph; None where no graph is made, or the native kernels do not support the
    cell. See `stepscan.kernels.programs.scan`."""
    given = [inputs.data, *leaves(state)]
    if not torch.compiler.is_compiling() or library is None or not all(map(_is_supported, given)):
        return None
    program, sources = _program(cell)
    weights = [functools.reduce(getattr, name.split("."), cell).reshape(shape) for name, shape in sources]
    if not program or not all(map(_is_supported, weights)):
        return None
    flat = [leaf.flatten(1) if leaf.dim() != 2 else leaf for leaf in leaves(state)]
    y, *final = _scan(inputs.data, inputs.lengths, flat, weights, program)
    found = iter(final)
    return inputs.replace(y, zeroed=True), map_state(lambda leaf: next(found).reshape(leaf.shape), state)


def _is_supported(tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.device.type == "cpu"


@torch.compiler.assume_constant_result
def _program(cell: Any) -> tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]:
    """A cell's program in JSON, and the names of the parameters and buffers that its weights are, with the shapes that
    it reads them in; empty if there is none, or if weights are made of others."""
    recorded = getattr(type(cell), "recorded", None)
    stored = recorded and recorded(cell)
    if stored is not None:
        return json_text(stored.program.to_json()), tuple((name, shape) for name, shape in stored.program.weights)
    from stepscan.programs.tracing.traced import traced_in_graph

    found = traced_in_graph(cell)
    if found is None or found.trace.derived:
        return "", ()
    program = found.trace.program
    shapes = (shape for _, shape in program.weights)
    return json_text(program.to_json()), tuple(zip(found.trace.names_of_weights, shapes, strict=True))


@torch.library.custom_op("stepscan::scan", mutates_args=())
def _scan(x: Tensor, lengths: Tensor, state: list[Tensor], weights: list[Tensor], program: str) -> list[Tensor]:
    """The outputs and the leaves of the final state; the program in JSON, and its weights in its order."""
    longest = int(lengths.max()) if len(lengths) else 0
    if longest > x.shape[1] or (len(lengths) and int(lengths.min()) < 0):
        raise ValueError(f"lengths: expected 0 … {x.shape[1]}, got {int(lengths.min())} … {longest}")
    y, ends, _ = _run(lengths, weights, program).forward(x, [*state, *weights], save=False)
    return [y, *ends]


@_scan.register_fake
def _scan_shapes(x: Tensor, lengths: Tensor, state: list[Tensor], weights: list[Tensor], program: str) -> list[Tensor]:
    return [x.new_empty(*x.shape[:2], _read(program).output_size), *map(torch.empty_like, state)]


@torch.library.custom_op("stepscan::scan_backward", mutates_args=())
def _scan_backward(
    x: Tensor,
    lengths: Tensor,
    state: list[Tensor],
    weights: list[Tensor],
    program: str,
    gradients: list[Tensor | None],
) -> list[Tensor]:
    """The gradients of x, of the leaves of the state and of the weights."""
    run, flat = _run(lengths, weights, program), [*state, *weights]
    y, _, saved = run.forward(x, flat, save=True)
    found = run.backward(saved, x, y, flat, gradients, [True] * (1 + len(flat)))
    return [gradient for gradient in found if gradient is not None]


@_scan_backward.register_fake
def _scan_backward_shapes(
    x: Tensor, lengths: Tensor, state: list[Tensor], weights: list[Tensor], *_: Any
) -> list[Tensor]:
    return [torch.empty_like(tensor) for tensor in (x, *state, *weights)]


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, lengths, state, weights, ctx.program = inputs
    ctx.leaves = len(state)
    ctx.save_for_backward(x, lengths, *state, *weights)


def _backward(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    x, lengths, *flat = ctx.saved_tensors
    state, weights = flat[: ctx.leaves], flat[ctx.leaves :]
    dx, *results = _scan_backward(x, lengths, state, weights, ctx.program, list(gradients))
    return dx, None, results[: ctx.leaves], results[ctx.leaves :], None


_scan.register_autograd(_backward, setup_context=_save_inputs)


@functools.lru_cache(maxsize=64)
def _read(program: str) -> Program:
    return Program.from_json(json.loads(program))


def _run(lengths: Tensor, weights: list[Tensor], program: str) -> ScanRun:
    compiled = _compiled(program, tuple(weight.data_ptr() for weight in weights))
    return ScanRun(lengths, [Part(compiled, tuple(weights), False)])


@functools.lru_cache(maxsize=64)
def _compiled(program: str, addresses: tuple[int, ...]) -> CompiledEquations:
    """A program, which holds the packed weights of these addresses."""
    return CompiledEquations("stepscan::scan", _read(program))
