"""A program is believed when it gives what the step gives: output, state and gradients on random rows; output and state
on many rows without gradients, and on rows with zeros and NaN; finite gradients at zeros where those of the step are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
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
_MANY = 64  # rows that are computed without gradients
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
    checks: list[tuple[str, Callable[[torch.dtype], None]]] = [
        (f"{batch} random rows", functools.partial(_compare, cell, trace, batch, seed))
        for seed, batch in enumerate(_BATCHES)
    ]
    checks.append((f"{_MANY} rows without gradients", functools.partial(_compare_many, cell, trace)))
    checks.append(("rows with zeros", functools.partial(_compare_zeros, cell, trace)))
    checks.append(("rows with NaN", functools.partial(_compare_nan, cell, trace)))
    for rows, check in checks:
        try:
            check(torch.float64)
        except Untraceable:
            raise
        except Exception:  # a step of one dtype only; what else it raises, it raises again
            try:
                check(own)
            except Untraceable:
                raise
            except Exception as error:
                reason = f"fails on {rows} ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
                raise Untraceable(type(cell).__name__, reason) from error


class _Rows:
    """What a step and its program are compared on: x `[batch, I]`, and a state near one that the step has reached."""

    def __init__(self, cell: Any, batch: int, dtype: torch.dtype, seed: int) -> None:
        self._random, self.dtype = torch.Generator().manual_seed(seed), dtype
        self.tensors = {name: _as_leaf(tensor, dtype) for name, tensor in named_tensors(cell).items()}
        self.x = self.normal(batch, cell.input_size)
        self.first = cell.initial_state(batch, device=None, dtype=dtype)
        self.x[-1:] *= 4  # far enough for what is clamped
        with torch.no_grad():
            _, state = call_step(cell, self.tensors, self.normal(batch, cell.input_size), self.first)
        self.state = pytree.tree_map(lambda leaf: leaf + _NOISE * self.normal(*leaf.shape), state)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._random, dtype=torch.float64).to(self.dtype)


def _compare(cell: Any, trace: Trace, batch: int, seed: int, dtype: torch.dtype) -> None:
    rows = _Rows(cell, batch, dtype, seed)
    _check_equal(cell, *_both(cell, trace, rows), _TOLERANCES.get(dtype, 0.1), "random rows")


def _compare_many(cell: Any, trace: Trace, dtype: torch.dtype) -> None:
    _compare_values(cell, trace, _Rows(cell, _MANY, dtype, 2), "many rows without gradients")


def _compare_zeros(cell: Any, trace: Trace, dtype: torch.dtype) -> None:
    """Of x and the first state, of both, of the state, of x: norms of nothing, and what divides by them."""
    rows = _Rows(cell, 4, dtype, 3)
    rows.x[[0, 1, 3]] = 0
    zeros = torch.tensor([False, True, True, False])
    rows.state = pytree.tree_map(lambda leaf: _chosen(zeros, torch.zeros_like(leaf), leaf), rows.state)
    first = torch.tensor([True, False, False, False])
    rows.state = pytree.tree_map(lambda new, leaf: _chosen(first, new.to(dtype), leaf), rows.first, rows.state)
    _compare_values(cell, trace, rows, "rows with zeros")
    expected, found = _both(cell, trace, rows)
    for name, d in expected.gradients.items():  # where it has none, as at |0|, they may differ
        if (d.isfinite() & ~found.gradients[name].isfinite()).any():
            reason = f"has another derivative as a program (the gradient of {name} is NaN for rows with zeros)"
            raise Untraceable(type(cell).__name__, reason)


def _compare_nan(cell: Any, trace: Trace, dtype: torch.dtype) -> None:
    rows = _Rows(cell, 4, dtype, 4)
    nan = float("nan")
    rows.x[0, 0] = rows.x[1, -1] = nan
    for leaf in leaves(rows.state):
        leaf[(slice(2, None), *(0,) * (leaf.dim() - 1))] = nan
    _compare_values(cell, trace, rows, "rows with NaN")


def _chosen(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(mask.reshape(-1, *(1 for _ in b.shape[1:])), a, b)


def _compare_values(cell: Any, trace: Trace, rows: _Rows, words: str) -> None:
    """Output and state alone."""
    state = list(leaves(rows.state))
    with torch.no_grad():
        outputs = _flat_outputs(call_step(cell, rows.tensors, rows.x, rows.state))
        run, _ = _run(trace, rows.x, state, rows.tensors)
    found = [torch.from_numpy(value) for value in (run.y[:, 0], *run.state)]
    shaped = [value.reshape(output.shape) for value, output in zip(found, outputs, strict=True)]
    _check_equal(cell, _Results(outputs, {}), _Results(shaped, {}), _TOLERANCES.get(rows.dtype, 0.1), words)


def _both(cell: Any, trace: Trace, rows: _Rows) -> tuple[_Results, _Results]:
    """By autograd, and by the program."""
    x, state = rows.x.requires_grad_(), pytree.tree_map(Tensor.requires_grad_, rows.state)
    outputs = _flat_outputs(call_step(cell, rows.tensors, x, state))
    directions = [rows.normal(*output.shape) for output in outputs]
    expected = _by_autograd(outputs, directions, x, list(leaves(state)), rows.tensors)
    return expected, _by_program(trace, directions, x, list(leaves(state)), rows.tensors)


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
    run, weights = _run(trace, x, state, tensors)
    dy, *dstate = directions
    with np.errstate(all="ignore"):
        found = run.backward(differentiate(trace.program), _flat(dy)[:, None], [_flat(d) for d in dstate])
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


def _run(trace: Trace, x: Tensor, state: list[Tensor], tensors: dict[str, Tensor]) -> tuple[Scan, list[Tensor]]:
    """A step of the program, in double precision, and its weights."""
    weights = trace.weights_of(tensors)
    arrays, lengths = [_array(weight) for weight in weights], np.ones(len(x), np.int64)
    with np.errstate(all="ignore"):
        return Scan(trace.program, arrays, _array(x)[:, None], lengths, [_flat(leaf) for leaf in state]), weights


def _array(tensor: Tensor) -> Any:
    return tensor.detach().double().numpy()


def _flat(tensor: Tensor) -> Any:
    return _array(tensor).reshape(len(tensor), -1)


def _gradients(outputs: list[Tensor], inputs: list[Tensor], directions: list[Tensor]) -> list[Tensor]:
    if not outputs or not inputs:
        return [torch.zeros_like(tensor) for tensor in inputs]
    found = torch.autograd.grad(outputs, inputs, directions, allow_unused=True)
    return [torch.zeros_like(i) if d is None else d for i, d in zip(inputs, found, strict=True)]


def _check_equal(cell: Any, expected: _Results, found: _Results, tolerance: float, words: str) -> None:
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
                f"does not do what was recorded of it ({what} of {words} differs by "
                f"{float((a - b).abs().max()):.1g}): a step may depend on nothing but x, its state and weights",
            )
