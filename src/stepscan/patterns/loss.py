"""The result of a pattern's `loss`, and cross-entropy."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from stepscan.state import State


class Loss(NamedTuple):
    """A loss of one batch."""

    total: Tensor  # summed over the items
    items: int  # their number
    state: State | None = None  # the final state, for truncated back-propagation through time


def cross_entropy(scores: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """`Σ_n −w_n log softmax(scores_n)[target_n]`, with label smoothing (Szegedy et al. 2016).

    As `F.cross_entropy(…, reduction="sum")`, but with fewer passes and temporary arrays in backward.

    Args:
        scores: `[N, K]`, logits.
        targets: `[N]`, 0 … K − 1.
        smoothing: the share of the target distribution that is uniform, 0 … 1.
        weights: `[N]`, or None for 1.
    """
    return _CrossEntropy.apply(scores, targets, smoothing, weights)


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
        log_probabilities = scores.log_softmax(dim=1)
        ctx.save_for_backward(log_probabilities, targets, weights)
        ctx.smoothing = smoothing
        weighted = log_probabilities if weights is None else log_probabilities * weights[:, None]
        total = -weighted.gather(1, targets[:, None]).sum()
        return total if not smoothing else (1 - smoothing) * total - weighted.sum() * (smoothing / scores.shape[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        log_probabilities, targets, weights = ctx.saved_tensors
        d_scores = log_probabilities.exp()
        if ctx.smoothing:
            d_scores -= ctx.smoothing / d_scores.shape[1]
        d_target = d_scores.new_full((1, 1), ctx.smoothing - 1).expand(len(targets), 1)
        d_scores.scatter_add_(1, targets[:, None], d_target).mul_(gradient)
        return d_scores if weights is None else d_scores.mul_(weights[:, None]), None, None, None
