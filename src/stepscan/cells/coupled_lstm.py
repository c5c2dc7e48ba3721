"""LSTM with coupled input and forget gates (CIFG; Greff et al. 2017, LSTM: A Search Space Odyssey, §III): what is
forgotten makes room for as much that is new.

f_t = σ(W_if x_t + W_hf h_{t-1} + b_f)                  forget gate
g_t = tanh(W_ig x_t + W_hg h_{t-1} + b_g)               candidate
o_t = σ(W_io x_t + W_ho h_{t-1} + b_o)                  output gate
c_t = f_t ⊙ c_{t-1} + (1 − f_t) ⊙ g_t                   so that |c| ≤ 1
h_t = o_t ⊙ tanh(c_t)        y_t = h_t

Greff et al. couple the gates of an LSTM with peepholes; here there are none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.step_cell import GatedCell
from stepscan.definitions.cell_states import LSTMState
from stepscan.registry import register


@register("coupled_lstm")
class CoupledLSTM(GatedCell):
    """LSTM whose input gate is 1 − its forget gate: three quarters of an LSTM's weights.

    Weights, in the order f, g, o: `weight_ih [3H, I]` (Glorot-uniform), `weight_hh [3H, H]` (orthogonal blocks), `bias
    [3H]` (zeros, of the forget gate ones).

    Args:
        input_size: I.
        hidden_size: H.
    """

    gates = 3
    state_class = LSTMState

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        super().reset_parameters()
        nn.init.ones_(self.bias.chunk(3)[0])

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        f, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(state.h, self.weight_hh)).chunk(3, dim=1)
        f = torch.sigmoid(f)
        c = f * state.c + (1 - f) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, LSTMState(h, c)
