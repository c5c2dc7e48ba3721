"""LayerNorm: each item normalised to mean 0 and variance 1, then scaled and shifted (Ba et al. 2016)."""

from __future__ import annotations

from torch import Tensor

from stepscan.contract import Pointwise
from stepscan.kernels import pointwise
from stepscan.registry import register
from stepscan.state import State


@register("layer_norm")
class LayerNorm(Pointwise):
    """Layer normalisation over the last dimension.

    Args:
        size: input and output size.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.input_size = self.output_size = size
        self.norm = pointwise.LayerNorm(size)

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        return self.norm(x)
