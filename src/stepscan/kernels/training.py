"""Operations of training other than recurrences, with gradients, on the native kernels: dropout, attention, and the
loss of an output layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from stepscan.kernels import tensors
from stepscan.kernels.equation_gradients import equation_gradients
from stepscan.kernels.native import library
from stepscan.kernels.pointwise import attend

__all__ = ["Attend", "Dropout", "OutputLoss"]


class Dropout(Function):
    """Zeroes each element of `x` with probability `p` and scales the others by 1/(1−p).

    The mask is a function of the seed, so that it is not saved for backward.
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
    """`attend` with gradients; `equations` computes the same in PyTorch, for second derivatives."""

    @staticmethod
    def forward(ctx: Any, equations: Callable[..., Any], *inputs: Any) -> tuple[Tensor, Tensor]:
        context, weights = attend(*inputs)
        ctx.equations = equations
        ctx.save_for_backward(*inputs, weights)
        ctx.set_materialize_grads(False)
        return context, weights

    @staticmethod
    def backward(ctx: Any, dcontext: Tensor | None, dweights: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, *equation_gradients(ctx.equations, inputs, (dcontext, dweights), ctx.needs_input_grad[1:])
        saved: list[Any] = [None if t is None else t.contiguous() for t in (*inputs, weights)]
        queries, keys, memory, length, score, weights = saved
        (batch, steps, width), items = queries.shape, keys.shape[1]
        dcontext = memory.new_zeros(batch, steps, memory.shape[2]) if dcontext is None else dcontext.contiguous()
        dweights, length = None if dweights is None else dweights.contiguous(), length.long()
        gradients = [torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(memory)]
        dscore = None if score is None else queries.new_empty(batch, width)  # per batch row
        scratch = queries.new_empty(batch, items)
        sources = (queries, keys, memory, length, score, weights, dcontext, dweights)
        library.attend_back(
            tensors.addresses(sources),
            [batch, steps, items, width, memory.shape[2]],
            tensors.addresses((*gradients, dscore, scratch)),
            torch.get_num_threads(),
        )
        return None, *gradients, None, None if dscore is None else dscore.sum(dim=0).view(score.shape)


class OutputLoss(Function):
    """`Σ_n −log softmax(W x_n + b)[target_n]`, the cross-entropy of a linear layer with V outputs, and its gradient.

    The scores are computed a few rows at a time and replaced by their gradient, which is multiplied out while a cache
    holds it, so that the whole `[N, V]` matrix is never in memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        x, weight, bias, targets = x.contiguous(), weight.contiguous(), bias.contiguous(), targets.long().contiguous()
        (rows, size), symbols = x.shape, len(weight)
        shapes = tuple(weight.shape), tuple(bias.shape), tuple(targets.shape)
        if shapes != ((symbols, size), (symbols,), (rows,)) or bias.dtype != torch.float32:
            raise ValueError(
                f"expected a weight [V, {size}], a bias [V] of float32 and {rows} targets, got {shapes}, {bias.dtype}"
            )
        rest, sums = x.new_empty(2, rows)
        dx, dweight, dbias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(bias)
        addresses = tensors.addresses((x, weight, bias, targets, dx, dweight, dbias, rest, sums))
        if not library.output_loss(addresses, [rows, size, symbols], smoothing, torch.get_num_threads()):
            raise IndexError(f"expected targets in 0 … {symbols - 1}, got {int(targets.min())} … {int(targets.max())}")
        ctx.save_for_backward(dx, dweight, dbias)
        return (rest + sums.log()).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        if gradient.item() != 1:
            gradients = tuple(tensor * gradient for tensor in gradients)
        return *gradients, None, None
