"""What stands around recurrences while a model learns, on the native kernels, with gradients: dropout, attention, and
the loss of an output layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from stepscan.kernels.native import library
from stepscan.kernels.pointwise import attend

__all__ = ["Attend", "Dropout", "OutputLoss"]

_AT_A_TIME = 1 << 20  # scores that are held at a time


class Dropout(Function):
    """`x` with each number zero with probability `p`, the others 1/(1−p) as large.

    The mask is a function of the seed, so that none is kept for the way back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, seed: int, p: float) -> Tensor:
        ctx.seed, ctx.p = seed, p
        x = x.contiguous()
        y = torch.empty_like(x)
        library.dropout(x.data_ptr(), x.numel(), seed, p, y.data_ptr(), torch.get_num_threads())
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return Dropout.apply(gradient, ctx.seed, ctx.p), None, None


class Attend(Function):
    """`attend`, with gradients; `equations` says the same in PyTorch, for a second derivative."""

    @staticmethod
    def forward(ctx: Any, equations: Callable[..., Any], *given: Any) -> tuple[Tensor, Tensor]:
        context, weights = attend(*given)
        ctx.equations = equations
        ctx.save_for_backward(*given, weights)
        ctx.set_materialize_grads(False)
        return context, weights

    @staticmethod
    def backward(ctx: Any, dcontext: Tensor | None, dweights: Tensor | None) -> tuple[Tensor | None, ...]:
        *given, weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, *_by_equations(ctx.equations, given, (dcontext, dweights), ctx.needs_input_grad[1:])
        saved: list[Any] = [None if t is None else t.contiguous() for t in (*given, weights)]
        queries, keys, memory, length, score, weights = saved
        (batch, steps, width), items = queries.shape, keys.shape[1]
        dcontext = memory.new_zeros(batch, steps, memory.shape[2]) if dcontext is None else dcontext.contiguous()
        dweights, length = None if dweights is None else dweights.contiguous(), length.long()
        gradients = [torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(memory)]
        shares = None if score is None else queries.new_empty(batch, width)
        spare = queries.new_empty(batch, items)
        read = (queries, keys, memory, length, score, weights, dcontext, dweights)
        library.attend_back(
            [0 if t is None else t.data_ptr() for t in read],
            [batch, steps, items, width, memory.shape[2]],
            [0 if t is None else t.data_ptr() for t in (*gradients, shares, spare)],
            torch.get_num_threads(),
        )
        return None, *gradients, None, None if shares is None else shares.sum(dim=0).view(score.shape)


def _by_equations(
    equations: Callable[..., Any],
    given: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients as functions of everything."""
    pairs = [(y, g) for y, g in zip(equations(*given), gradients, strict=True) if g is not None]
    asked = [t for t, need in zip(given, wanted, strict=True) if need and t is not None]
    ys, gs = [y for y, _ in pairs], [g for _, g in pairs]
    answers = iter(torch.autograd.grad(ys, asked, gs, create_graph=True, allow_unused=True))
    return [next(answers) if need else None for need in wanted]


class OutputLoss(Function):
    """`Σ_n −log softmax(W x_n + b)[target_n]`, as `cross_entropy` of the scores, which are made, and become their own
    gradient, a few rows at a time: all of them together are never held."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        rows, symbols = len(x), len(weight)
        targets = targets.long().contiguous()
        rest, sums = x.new_empty(2, rows)
        dx, dweight, dbias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(bias)
        piece = max(1, _AT_A_TIME // symbols)
        room = x.new_empty(min(piece, rows), symbols)
        for first in range(0, rows, piece):
            some = x[first : first + piece]
            scores = torch.addmm(bias, some, weight.t(), out=room[: len(some)])
            addresses = (targets[first:].data_ptr(), len(some), symbols, smoothing)
            sums_at = (rest[first:].data_ptr(), sums[first:].data_ptr())
            if not library.cross_entropy(scores.data_ptr(), *addresses, *sums_at, torch.get_num_threads()):
                raise IndexError(
                    f"expected targets of 0 … {symbols - 1}, got {int(targets.min())} … {int(targets.max())}"
                )
            torch.mm(scores, weight, out=dx[first : first + piece])
            dweight.addmm_(scores.t(), some)
            dbias += scores.sum(dim=0)
        ctx.save_for_backward(dx, dweight, dbias)
        return (rest + sums.log()).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        if gradient.item() != 1:
            gradients = tuple(one * gradient for one in gradients)
        return *gradients, None, None
