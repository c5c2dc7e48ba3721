"""A program in PyTorch, one step at a time: differentiable any number of times, for second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.programs.program import Program, Value

__all__ = ["scan"]

_OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "sum": lambda a: a.sum(-1, keepdim=True),
    "largest": lambda a: a.amax(-1, keepdim=True),
    "squares": lambda a, m: ((a - m) ** 2).sum(-1, keepdim=True),
    "dot": lambda a, b: (a * b).sum(-1, keepdim=True),
    "hold": torch.detach,
    "negate": torch.neg,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "softplus": F.softplus,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "greater": lambda a, b: (a > b).to(a.dtype),
    "where": lambda m, a, b: torch.where(m != 0, a, b),
    "normal": lambda a, m, s: (a - m) * s,
    "share": lambda d, a, b: torch.where(a > b, d, torch.where(a == b, d * 0.5, 0.0)),
}


def scan(
    program: Program, x: Tensor, lengths: Tensor, state: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """What the native scan computes.

    Args:
        program: the step.
        x: `[B, T, I]`.
        lengths: `[B]`.
        state: leaves `[B, n]`.
        weights: of the program, in its order and shapes.

    Returns:
        Outputs `[B, T, H]`, zero in the padding, and the leaves of the final state.
    """
    state, outputs = list(state), []
    for t, item in enumerate(x.unbind(1)):
        running = (t < lengths)[:, None]
        item = torch.where(running, item, 0)
        y, new = _step(program, item, state, weights)
        outputs.append(torch.where(running, y, 0))
        state = [torch.where(running, n, old) for n, old in zip(new, state, strict=True)]
    return (torch.stack(outputs, 1) if outputs else x.new_zeros(len(x), 0, program.output_size)), state


def _step(program: Program, x: Tensor, state: list[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    made: list[Tensor] = []
    for value in program.values:
        made.append(_value(value, made, x, state, weights))

    def join(pieces: Sequence[int]) -> Tensor:
        return torch.cat([made[piece].expand(len(x), program.values[piece].width) for piece in pieces], 1)

    return join(program.output), [join(pieces) for pieces in program.next_state]


def _value(value: Value, made: list[Tensor], x: Tensor, state: list[Tensor], weights: Sequence[Tensor]) -> Tensor:
    op, args, width, attribute = value
    inputs: list[Any] = [made[arg] for arg in args]
    if op == "constant":
        return x.new_full((1, 1), attribute[0])
    if op in ("x", "leaf", "vector"):
        *which, start, stop = map(int, attribute)
        source = x if op == "x" else state[which[0]] if op == "leaf" else weights[which[0]].reshape(1, -1)
        return source[:, start:stop]
    if op == "product":
        weight, row0, row1, col0, col1, bias = map(int, attribute)
        added = None if bias < 0 else weights[bias][row0:row1]
        return F.linear(inputs[0], weights[weight][row0:row1, col0:col1], added)
    if op == "blocks":
        weight, first, last = map(int, attribute)
        rows = inputs[0].reshape(len(inputs[0]), last - first, -1)
        return torch.einsum("bni,noi->bno", rows, weights[weight][first:last]).flatten(1)
    if op == "spread":
        return inputs[0].expand(-1, width)
    return _OPERATIONS[op](*inputs)
