"""Operations other than recurrences on the native kernels: linear maps, softmax, layer normalisation, attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.kernels.native import library
from stepscan.kernels.tensors import is_supported, packed

__all__ = ["LayerNorm", "Linear", "attend", "attend_is_supported", "linear", "softmax", "tanh"]


class Linear(nn.Linear):
    """`nn.Linear`; on the native kernels if gradients are disabled: the same bits for a row alone and in any batch."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(self, x, self.weight, self.bias)


def linear(owner: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x Wᵀ + b`, on the native kernels if gradients are disabled.

    Args:
        owner: the module that caches the packed weights.
        x: `[…, I]`.
        weight: `[H, I]`.
        bias: `[H]`, or None.

    Returns:
        `[…, H]`.
    """
    outputs, inputs = weight.shape
    fits = x.shape[-1] == inputs and (bias is None or (bias.shape == (outputs,) and bias.dtype is torch.float32))
    if torch.is_grad_enabled() or not fits or not is_supported(weight, x):
        return F.linear(x, weight, bias)
    weights = packed(owner, [weight, bias], False, lambda addresses: library.Linear(*addresses, inputs, outputs))
    x = x.contiguous()
    y = x.new_empty(*x.shape[:-1], outputs)
    weights.run(x.data_ptr(), x.numel() // inputs, y.data_ptr(), torch.get_num_threads())
    return y


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent of a tensor of any shape, on the native kernels if gradients are disabled."""
    if torch.is_grad_enabled() or not is_supported(x, x):
        return torch.tanh(x)
    x = x.contiguous()
    y = torch.empty_like(x)
    library.tanh(x.data_ptr(), x.numel(), y.data_ptr(), torch.get_num_threads())
    return y


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` over the last dimension, on the native kernels if gradients are disabled."""

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        if torch.is_grad_enabled() or self.weight.shape != (size,) or not is_supported(self.weight, x):
            return super().forward(x)
        x = x.contiguous()
        y = torch.empty_like(x)
        addresses = self.weight.data_ptr(), self.bias.data_ptr(), y.data_ptr()
        library.layer_norm(x.data_ptr(), x.numel() // size, size, *addresses, torch.get_num_threads())
        return y


def softmax(scores: Tensor) -> Tensor:
    """Softmax of `[…, V]` over V, on the native kernels if gradients are disabled; its bits ignore trailing −∞."""
    if torch.is_grad_enabled() or not is_supported(scores, scores):
        return scores.softmax(dim=-1)
    scores = scores.contiguous()
    probabilities, size = torch.empty_like(scores), scores.shape[-1]
    rows = scores.numel() // max(1, size)
    library.softmax(scores.data_ptr(), rows, size, probabilities.data_ptr(), torch.get_num_threads())
    return probabilities


def attend_is_supported(*data: Tensor) -> bool:
    """Whether `attend` supports these tensors."""
    return all(is_supported(tensor, tensor) for tensor in data)


def attend(
    queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Additive (Bahdanau et al. 2015) or dot-product attention (Luong et al. 2015); `training.Attend` has gradients.

    Args:
        queries: `[B, T, A]`.
        keys: `[B, S, A]`.
        memory: `[B, S, M]`.
        length: `[B]`, of each row's memory.
        score: the vector v of additive attention, with A elements; None for dot products.

    Returns:
        Contexts `[B, T, M]`, and weights `[B, T, S]`: the softmax over S of v · tanh(query + key), or of query · key.
        Both are zeros where length is 0.
    """
    queries, keys, memory, length = (t.contiguous() for t in (queries, keys, memory, length.long()))
    score = None if score is None else score.contiguous()
    (batch, steps, width), items, memory_width = queries.shape, keys.shape[1], memory.shape[2]
    context, weights = queries.new_empty(batch, steps, memory_width), queries.new_empty(batch, steps, items)
    library.attend(
        *(queries.data_ptr(), keys.data_ptr(), memory.data_ptr(), length.data_ptr()),
        0 if score is None else score.data_ptr(),
        *(batch, steps, items, width, memory_width),
        *(context.data_ptr(), weights.data_ptr(), torch.get_num_threads()),
    )
    return context, weights
