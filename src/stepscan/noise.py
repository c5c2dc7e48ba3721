"""Random zeros: what every kind of dropout draws its masks with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["dropout"]

_STEPS = 1 << 16  # a mask takes 16 random bits a number


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """`x` with each number zero with probability `p` in training, the others 1/(1−p) as large (Srivastava et al. 2014).

    On a CPU, where PyTorch draws its random numbers one by one on one thread, four numbers share 64 random bits: the
    share of zeros is `p` to within 2⁻¹⁷.

    Args:
        x: floating point, any shape.
        p: at least 0, below 1.
    """
    if not training or not p:
        return x
    if not x.is_cpu or torch.compiler.is_compiling() or p * _STEPS < 8:
        return F.dropout(x, p)
    dropped = min(round(p * _STEPS), _STEPS - 1)
    drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = drawn.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _STEPS // 2
    return x * kept.to(x.dtype).mul_(1 / (1 - p))
