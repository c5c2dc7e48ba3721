"""Linear: a projection of each item, to change the size between two layers."""

from __future__ import annotations

from torch import Tensor

from stepscan.contract import Pointwise
from stepscan.definitions import pointwise as definitions
from stepscan.registry import register
from stepscan.state import State


@register("linear")
class Linear(definitions.Linear, Pointwise):
    """`y_t = W x_t + b`.

    Args:
        input_size: I.
        output_size: H.
    """

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        return self.projection(x)
