"""LayerNorm: each item normalised to mean 0 and variance 1, then scaled and shifted (Ba et al. 2016)."""

from __future__ import annotations

from torch import Tensor

from stepscan.contract import Pointwise
from stepscan.definitions import pointwise as definitions
from stepscan.registry import register
from stepscan.state import State


@register("layer_norm")
class LayerNorm(definitions.LayerNorm, Pointwise):
    """Layer normalisation over the last dimension.

    Args:
        size: input and output size.
    """

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        return self.norm(x)
