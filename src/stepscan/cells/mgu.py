"""The minimal gated unit (Zhou et al. 2016, Minimal Gated Unit for Recurrent Neural Networks): a GRU with one gate.

f_t = σ(W_if x_t + W_hf h_{t-1} + b_f)                  forget gate
n_t = tanh(W_in x_t + W_hn (f_t ⊙ h_{t-1}) + b_n)       candidate
h_t = (1 − f_t) ⊙ h_{t-1} + f_t ⊙ n_t        y_t = h_t
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.cells.step_cell import GatedCell
from stepscan.definitions.cell_states import HiddenState
from stepscan.registry import register


@register("mgu")
class MGU(GatedCell):
    """Minimal gated unit.

    Weights, in the order f, n: `weight_ih [2H, I]` (Glorot-uniform), `weight_hh [2H, H]` (orthogonal blocks), `bias
    [2H]` (zeros).

    Args:
        input_size: I.
        hidden_size: H.
    """

    gates = 2

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        x_f, x_n = F.linear(x, self.weight_ih, self.bias).chunk(2, dim=1)
        weight_hf, weight_hn = self.weight_hh.chunk(2)
        f = torch.sigmoid(x_f + F.linear(h, weight_hf))
        n = torch.tanh(x_n + F.linear(f * h, weight_hn))
        h = (1 - f) * h + f * n
        return h, HiddenState(h)
