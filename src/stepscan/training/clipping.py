"""Gradient clipping: each element by value (Graves 2013, §2.1), then all gradients together by norm."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stepscan.options import TrainingOptions


class Clipping(NamedTuple):
    """The result of clipping."""

    norm: float  # of the mean gradient of all parameters together, before clipping
    is_clipped: bool  # whether clipping changed it


def clip_gradients(gradients: list[Tensor], norm: float, items: float, settings: TrainingOptions) -> Clipping:
    """Turn gradients summed over `items` into their means and clip them, in place.

    Args:
        gradients: of all parameters.
        norm: the norm of their means, over all parameters together.
        items: number of items that they are summed over.
        settings: uses `max_grad_value`, applied first, and `max_grad_norm` (Pascanu et al. 2013, algorithm 1).
    """
    items = max(items, 1)
    original_norm = norm
    if settings.max_grad_value is not None:
        torch._foreach_div_(gradients, items)
        torch._foreach_clamp_max_(gradients, settings.max_grad_value)
        torch._foreach_clamp_min_(gradients, -settings.max_grad_value)
        norm, items = nn.utils.get_total_norm(gradients).item(), 1
    scale = min(1.0, settings.max_grad_norm / (norm + 1e-6))
    torch._foreach_mul_(gradients, scale / items)
    return Clipping(original_norm, scale < 1 or norm < original_norm * (1 - 1e-5))
