"""minLSTM (Feng et al. 2024, Were RNNs All We Needed?, §3.2): an LSTM whose gates do not look at the state, and sum to
1.

f_t = σ(W_if x_t + b_f)                                 forget gate
i_t = σ(W_ii x_t + b_i)                                 input gate
n_t = W_in x_t + b_n                                    candidate
h_t = f_t / (f_t + i_t) ⊙ h_{t-1} + i_t / (f_t + i_t) ⊙ n_t        y_t = h_t

The shares of the gates are computed as σ(log f − log i) and σ(log i − log f), which are right next to 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.cells.step_cell import DiagonalCell
from stepscan.definitions.cell_states import HiddenState
from stepscan.registry import register


@register("minlstm")
class MinLSTM(DiagonalCell):
    """minLSTM: linear in its state, and without weights between its units.

    Weights, in the order f, i, n: `weight_ih [3H, I]` and `bias [3H]`, both U(−1/√I, 1/√I), as in `nn.Linear`.

    Args:
        input_size: I.
        hidden_size: H.
    """

    gates = 3

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        f, i, n = F.linear(x, self.weight_ih, self.bias).chunk(3, dim=1)
        gap = F.logsigmoid(f) - F.logsigmoid(i)
        h = torch.sigmoid(gap) * h + torch.sigmoid(-gap) * n
        return h, HiddenState(h)
