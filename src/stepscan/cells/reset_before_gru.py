"""The GRU as first published (Cho et al. 2014, Learning Phrase Representations using RNN Encoder–Decoder, eqs 5 to 8):
the reset gate acts before the product with the state. In `GRU`, as in PyTorch and cuDNN, it acts after.

r_t = σ(W_ir x_t + W_hr h_{t-1} + b_r)                  reset gate
z_t = σ(W_iz x_t + W_hz h_{t-1} + b_z)                  update gate
n_t = tanh(W_in x_t + W_hn (r_t ⊙ h_{t-1}) + b_n)       candidate
h_t = (1 − z_t) ⊙ n_t + z_t ⊙ h_{t-1}        y_t = h_t
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.cells.step_cell import GatedCell
from stepscan.definitions.cell_states import HiddenState
from stepscan.registry import register


@register("reset_before_gru")
class ResetBeforeGRU(GatedCell):
    """GRU with the reset gate before the product: `reset_after=False` in Keras, `linear_before_reset=0` in ONNX.

    Weights, in the order r, z, n: `weight_ih [3H, I]` (Glorot-uniform), `weight_hh [3H, H]` (orthogonal blocks), `bias
    [3H]` (zeros).

    Args:
        input_size: I.
        hidden_size: H.
    """

    gates = 3

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        x_r, x_z, x_n = F.linear(x, self.weight_ih, self.bias).chunk(3, dim=1)
        weight_gates, weight_hn = self.weight_hh.split([2 * self.hidden_size, self.hidden_size])
        h_r, h_z = F.linear(h, weight_gates).chunk(2, dim=1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + F.linear(r * h, weight_hn))
        h = (1 - z) * n + z * h
        return h, HiddenState(h)
