"""CausalConvolution: each feature convolved over time by itself, as a recurrence whose state is its last items.

y_t = b + Σ_k w_k ⊙ x_{t-k}        k from 0 to width − 1; items before the first are 0

Modern recurrent blocks begin with one of width 4 (De et al. 2024, Griffin; Beck et al. 2024, xLSTM).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from stepscan.contract import Recurrence
from stepscan.definitions.definition import Part, Weight
from stepscan.definitions.kinds import Size
from stepscan.fields import Integer
from stepscan.registry import register

_WIDTHS = Integer(2, 1024)


class ConvolutionState(NamedTuple):
    y: Tensor  # [B, I], the last output
    past: Tensor  # [B, width − 1, I], the last items, oldest first


@register("causal_convolution")
@dataclass(eq=False)
class CausalConvolution(Recurrence):
    """Depthwise convolution over the current item and those before it.

    Weights: `weight [width, I]`, that of the oldest item first (U(−1/√width, 1/√width), as in `nn.Conv1d`), `bias [I]`
    (zeros).

    Args:
        size: input and output size.
        width: number of items that an output sees, from 2 to 1,024.
    """

    size: Size
    width: Annotated[int, _WIDTHS] = 4

    def derive(self) -> None:
        self.input_size = self.output_size = self.size

    def parts(self) -> dict[str, Part | None]:
        return {"weight": Weight((self.width, self.size)), "bias": Weight((self.size,))}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        bound = self.width**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.bias)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> ConvolutionState:
        past = self.zeros(batch_size, (self.width - 1) * self.size, device, dtype)
        y = self.zeros(batch_size, self.size, device, dtype)
        return ConvolutionState(y, past.view(batch_size, self.width - 1, self.size))

    @property
    def condition_size(self) -> int:
        return 0

    def condition(self, vector: Tensor) -> ConvolutionState:
        """The initial state: the last items are nothing to set."""
        self.check_condition(vector)
        return self.initial_state(len(vector), device=vector.device, dtype=vector.dtype)

    def step(self, x: Tensor, state: ConvolutionState) -> tuple[Tensor, ConvolutionState]:
        window = torch.cat([state.past, x[:, None]], dim=1)
        y = (window * self.weight).sum(dim=1) + self.bias
        return y, ConvolutionState(y, window[:, 1:])
