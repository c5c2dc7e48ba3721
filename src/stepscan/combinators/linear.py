"""Linear: a projection of each item, to change the size between two layers."""

from __future__ import annotations

from torch import Tensor

from stepscan.contract import Pointwise
from stepscan.kernels import pointwise
from stepscan.registry import register
from stepscan.state import State


@register("linear")
class Linear(Pointwise):
    """`y_t = W x_t + b`.

    Args:
        input_size: I.
        output_size: H.
    """

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, output_size
        self.projection = pointwise.Linear(input_size, output_size)

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        return self.projection(x)
