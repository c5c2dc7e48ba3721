"""Random zeros: what every kind of dropout draws its masks with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.kernels.tensors import is_supported
from stepscan.kernels.training import Dropout

__all__ = ["dropout"]


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """`x` with each number zero with probability `p` in training, the others 1/(1−p) as large (Srivastava et al. 2014).

    On a CPU, where PyTorch draws its random numbers one by one on one thread, the kernels make them out of one draw.

    Args:
        x: floating point, any shape.
        p: at least 0, below 1.
    """
    if not training or not p:
        return x
    if not is_supported(x, x):
        return F.dropout(x, p)
    seed = int(torch.empty((), dtype=torch.int64).random_())
    return Dropout.apply(x, seed, p)
