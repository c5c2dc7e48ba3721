"""Clipping: gradients that are too large are made smaller, each number (Graves 2013, §2.1) or all together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stepscan.options import TrainingOptions


class Clipped(NamedTuple):
    norm: float  # of the mean gradient, all parameters together, before it was clipped
    clipped: bool  # whether it was


def clip(gradients: list[Tensor], norm: float, items: int, settings: TrainingOptions) -> Clipped:
    """Gradients summed over `items` → their means, clipped, in place; one pass over them, two more if values are cut.

    Args:
        gradients: of all parameters.
        norm: of their means, all together.
        items: that they are summed over.
        settings: `max_grad_norm` (Pascanu et al. 2013, algorithm 1) and `max_grad_value`, which cuts first.
    """
    items = max(items, 1)
    before = norm
    if settings.max_grad_value is not None:
        torch._foreach_div_(gradients, items)
        torch._foreach_clamp_max_(gradients, settings.max_grad_value)
        torch._foreach_clamp_min_(gradients, -settings.max_grad_value)
        norm, items = nn.utils.get_total_norm(gradients).item(), 1
    share = min(1.0, settings.max_grad_norm / (norm + 1e-6))
    torch._foreach_mul_(gradients, share / items)
    return Clipped(before, share < 1 or norm < before * (1 - 1e-5))
