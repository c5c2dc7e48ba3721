"""What every pattern's `loss` gives to the training loop, and the loss that most of them are trained with."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from stepscan.state import State


class Loss(NamedTuple):
    total: Tensor  # summed over the items
    items: int  # how many it was summed over
    state: State | None = None  # where the next window goes on, for patterns that carry one


def cross_entropy(scores: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """`Σ_n −w_n log softmax(scores_n)[target_n]`, with `smoothing` of the target spread evenly (Szegedy et al. 2016).

    As `F.cross_entropy(…, reduction="sum")`, whose gradient takes three passes and as many arrays of the scores' size.

    Args:
        scores: `[N, K]`, targets: `[N]`, 0 … K − 1; weights: `[N]`, or None for 1.
    """
    return _CrossEntropy.apply(scores, targets, smoothing, weights)


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
        likely = scores.log_softmax(dim=1)
        ctx.save_for_backward(likely, targets, weights)
        ctx.smoothing = smoothing
        weighted = likely if weights is None else likely * weights[:, None]
        total = -weighted.gather(1, targets[:, None]).sum()
        return total if not smoothing else (1 - smoothing) * total - weighted.sum() * (smoothing / scores.shape[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        likely, targets, weights = ctx.saved_tensors
        found = likely.exp()
        if ctx.smoothing:
            found -= ctx.smoothing / found.shape[1]
        share = found.new_full((1, 1), ctx.smoothing - 1).expand(len(targets), 1)
        found.scatter_add_(1, targets[:, None], share).mul_(gradient)
        return found if weights is None else found.mul_(weights[:, None]), None, None, None
