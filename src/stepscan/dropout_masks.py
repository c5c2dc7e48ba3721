"""Random masks for all kinds of dropout."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.kernels.tensors import is_supported
from stepscan.kernels.training import Dropout

__all__ = ["dropout"]


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """In training, zero each element of `x` with probability `p` and scale the others by 1/(1−p) (Srivastava et al.
    2014).

    On a CPU, PyTorch draws one random number per element on one thread; the kernels derive the mask from one draw.

    Args:
        x: floating point, any shape.
        p: at least 0, below 1.
        training: if false, `x` is returned unchanged.
    """
    if not training or not p:
        return x
    if not is_supported(x, x):
        return F.dropout(x, p)
    seed = int(torch.empty((), dtype=torch.int64).random_())
    return Dropout.apply(x, seed, p)
