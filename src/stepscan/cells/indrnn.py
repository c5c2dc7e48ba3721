"""The independently recurrent network (Li et al. 2018, Independently Recurrent Neural Network (IndRNN), §3): each unit
sees only its own past.

h_t = relu(W_ih x_t + u ⊙ h_{t-1} + b)        y_t = h_t        |u| ≤ 2^(1/T_max)

With that bound, a gradient grows at most twofold in T_max steps, and units with u = 1 keep what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.step_cell import StepCell
from stepscan.definitions.cell_states import HiddenState
from stepscan.definitions.definition import Part, Weight
from stepscan.definitions.kinds import Size
from stepscan.registry import register


@register("indrnn")
@dataclass(eq=False)
class IndRNN(StepCell):
    """Independently recurrent network, of relus.

    Weights: `weight_ih [H, I]` (Kaiming-uniform), `weight_self [H]`, the u above (U(0, 2^(1/T_max))), `bias [H]`
    (zeros). `weight_self` is clipped where it is used, and its gradient passes, so that it can return from beyond the
    bound (where that is not the derivative).

    Args:
        input_size: I.
        hidden_size: H.
        t_max: the longest dependency in steps.
    """

    t_max: Size = 100

    def derive(self) -> None:
        super().derive()
        self.bound = 2 ** (1 / self.t_max)

    def parts(self) -> dict[str, Part | None]:
        size = self.hidden_size
        return {
            "weight_ih": Weight((size, self.input_size)),
            "weight_self": Weight((size,)),
            "bias": Weight((size,)),
        }

    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        nn.init.kaiming_uniform_(self.weight_ih, nonlinearity="relu")
        nn.init.uniform_(self.weight_self, 0, self.bound)
        nn.init.zeros_(self.bias)

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        u = self.weight_self
        u = u.detach().clamp(-self.bound, self.bound) + (u - u.detach())
        h = torch.relu(F.linear(x, self.weight_ih, self.bias) + u * h)
        return h, HiddenState(h)
