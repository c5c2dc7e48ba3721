"""A program is believed when it gives what the step gives: output, state and gradients, on random rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from stepscan.programs.derivative import differentiate
from stepscan.programs.reference import Scan
from stepscan.programs.tracing.capture import call_step, named_tensors
from stepscan.programs.tracing.tracer import Trace
from stepscan.programs.tracing.untraceable import Untraceable
from stepscan.state import leaves

__all__ = ["verify"]

_BATCHES = (5, 1)  # neither is that of the recorded step
_TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3}
_NOISE = 0.1  # standard deviation that is added to a state that the cell itself has reached


class _Results(NamedTuple):
    outputs: list[Tensor]  # y and the leaves
    gradients: dict[str, Tensor]


def verify(cell: Any, trace: Trace) -> None:
    """Compare a program and its derivative with the cell's step, in double precision if the step can.

    Raises:
        Untraceable: they differ.
    """
    own = next((t.dtype for t in named_tensors(cell).values() if t.is_floating_point()), torch.get_default_dtype())
    for seed, batch in enumerate(_BATCHES):
        try:
            _compare(cell, trace, batch, torch.float64, seed)
        except Untraceable:
            raise
        except Exception:  # a step of one dtype only; what else it raises, it raises again
            try:
                _compare(cell, trace, batch, own, seed)
            except Untraceable:
                raise
            except Exception as error:
                reason = f"fails on {batch} random rows ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
                raise Untraceable(type(cell).__name__, reason) from error


def _compare(cell: Any, trace: Trace, batch: int, dtype: torch.dtype, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype)

    tensors = {name: _as_leaf(tensor, dtype) for name, tensor in named_tensors(cell).items()}
    x, state = normal(batch, cell.input_size), cell.initial_state(batch, device=None, dtype=dtype)
    x[-1:] *= 4  # far enough for what is clamped
    with torch.no_grad():
        _, state = call_step(cell, tensors, normal(batch, cell.input_size), state)
    state = pytree.tree_map(lambda leaf: (leaf + _NOISE * normal(*leaf.shape)).requires_grad_(), state)
    x.requires_grad_()
    outputs = [*_flat_outputs(call_step(cell, tensors, x, state))]
    directions = [normal(*output.shape) for output in outputs]
    expected = _by_autograd(outputs, directions, x, list(leaves(state)), tensors)
    found = _by_program(trace, directions, x, list(leaves(state)), tensors)
    _check_equal(cell, expected, found, _TOLERANCES.get(dtype, 0.1))


def _as_leaf(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    copy = tensor.detach().clone()
    return copy.to(dtype).requires_grad_(tensor.requires_grad) if tensor.is_floating_point() else copy


def _flat_outputs(results: Any) -> list[Tensor]:
    y, state = results
    return [y, *leaves(state)]


def _names(state: Sequence[Any]) -> list[str]:
    return ["x", *(f"leaf {k} of the state" for k in range(len(state)))]


def _by_autograd(
    outputs: list[Tensor], directions: list[Tensor], x: Tensor, state: list[Tensor], tensors: dict[str, Tensor]
) -> _Results:
    trained = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
    inputs = {**dict(zip(_names(state), (x, *state), strict=True)), **trained}
    pairs = [(output, d) for output, d in zip(outputs, directions, strict=True) if output.requires_grad]
    values = list(inputs.values())
    gradients = _gradients([output for output, _ in pairs], values, [d for _, d in pairs])
    return _Results([output.detach() for output in outputs], dict(zip(inputs, gradients, strict=True)))


def _by_program(
    trace: Trace, directions: list[Tensor], x: Tensor, state: list[Tensor], tensors: dict[str, Tensor]
) -> _Results:
    def array(tensor: Tensor) -> Any:
        return tensor.detach().double().numpy()

    def rows(tensor: Tensor) -> Any:
        return array(tensor).reshape(len(tensor), -1)

    weights = trace.weights_of(tensors)
    lengths = np.ones(len(x), np.int64)
    run = Scan(trace.program, [array(w) for w in weights], array(x)[:, None], lengths, [rows(leaf) for leaf in state])
    dy, *dstate = directions
    found = run.backward(differentiate(trace.program), rows(dy)[:, None], [rows(d) for d in dstate])
    gradients = {"x": torch.from_numpy(found.x[:, 0])}
    for name, gradient, leaf in zip(_names(state)[1:], found.state, state, strict=True):
        gradients[name] = torch.from_numpy(gradient).reshape(leaf.shape)
    trained = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
    pairs = [
        (w, torch.from_numpy(d).to(w.dtype)) for w, d in zip(weights, found.weights, strict=True) if w.requires_grad
    ]
    of_weights = _gradients([w for w, _ in pairs], list(trained.values()), [d for _, d in pairs])
    outputs = [torch.from_numpy(run.y[:, 0]), *map(torch.from_numpy, run.state)]
    shapes = [d.shape for d in directions]
    return _Results(
        [output.reshape(shape) for output, shape in zip(outputs, shapes, strict=True)],
        gradients | dict(zip(trained, of_weights, strict=True)),
    )


def _gradients(outputs: list[Tensor], inputs: list[Tensor], directions: list[Tensor]) -> list[Tensor]:
    if not outputs or not inputs:
        return [torch.zeros_like(tensor) for tensor in inputs]
    found = torch.autograd.grad(outputs, inputs, directions, allow_unused=True)
    return [torch.zeros_like(i) if d is None else d for i, d in zip(inputs, found, strict=True)]


def _check_equal(cell: Any, expected: _Results, found: _Results, tolerance: float) -> None:
    pairs = [("the output", expected.outputs[0], found.outputs[0])]
    for leaf, (a, b) in enumerate(zip(expected.outputs[1:], found.outputs[1:], strict=True)):
        pairs.append((f"leaf {leaf} of the next state", a, b))
    pairs += [(f"the gradient of {name}", d, found.gradients[name]) for name, d in expected.gradients.items()]
    for what, a, b in pairs:
        a, b = a.double(), b.double()
        finite = a[a.isfinite()].abs()
        scale = max(1.0, float(finite.max())) if len(finite) else 1.0
        if not torch.allclose(a, b, rtol=0, atol=tolerance * scale, equal_nan=True):
            raise Untraceable(
                type(cell).__name__,
                f"does not do what was recorded of it ({what} of random rows differs by "
                f"{float((a - b).abs().max()):.1g}): a step may depend on nothing but x, its state and weights",
            )
