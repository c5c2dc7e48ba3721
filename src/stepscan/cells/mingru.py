"""minGRU (Feng et al. 2024, Were RNNs All We Needed?, §3.1): a GRU whose gate does not look at the state.

z_t = σ(W_iz x_t + b_z)                                 update gate
n_t = W_in x_t + b_n                                    candidate
h_t = (1 − z_t) ⊙ h_{t-1} + z_t ⊙ n_t        y_t = h_t
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.cells.step_cell import DiagonalCell
from stepscan.definitions.cell_states import HiddenState
from stepscan.registry import register


@register("mingru")
class MinGRU(DiagonalCell):
    """minGRU: linear in its state, and without weights between its units.

    Weights, in the order z, n: `weight_ih [2H, I]` and `bias [2H]`, both U(−1/√I, 1/√I), as in `nn.Linear`.

    Args:
        input_size: I.
        hidden_size: H.
    """

    gates = 2

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        z, n = F.linear(x, self.weight_ih, self.bias).chunk(2, dim=1)
        z = torch.sigmoid(z)
        h = (1 - z) * h + z * n
        return h, HiddenState(h)
