"""LSTM whose gates see the cell (Gers & Schmidhuber 2000, Recurrent nets that time and count; Greff et al. 2017, §II).

i_t = σ(W_ii x_t + W_hi h_{t-1} + p_i ⊙ c_{t-1} + b_i)      input gate
f_t = σ(W_if x_t + W_hf h_{t-1} + p_f ⊙ c_{t-1} + b_f)      forget gate
g_t = tanh(W_ig x_t + W_hg h_{t-1} + b_g)                   candidate
c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
o_t = σ(W_io x_t + W_ho h_{t-1} + p_o ⊙ c_t + b_o)          output gate, which sees the new cell
h_t = o_t ⊙ tanh(c_t)        y_t = h_t
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.step_cell import GatedCell
from stepscan.definitions.cell_states import LSTMState
from stepscan.definitions.definition import Part, Weight
from stepscan.registry import register


@register("peephole_lstm")
class PeepholeLSTM(GatedCell):
    """LSTM with peephole connections, for precise counting and timing.

    Weights, in the order i, f, g, o: `weight_ih [4H, I]` (Glorot-uniform), `weight_hh [4H, H]` (orthogonal blocks),
    `bias [4H]` (zeros, of the forget gate ones); `peepholes [3H]` of i, f, o (zeros: it begins as an LSTM).

    Args:
        input_size: I.
        hidden_size: H.
    """

    gates = 4
    state_class = LSTMState

    def parts(self) -> dict[str, Part | None]:
        return super().parts() | {"peepholes": Weight((3 * self.hidden_size,))}

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        super().reset_parameters()
        nn.init.ones_(self.bias.chunk(4)[1])
        nn.init.zeros_(self.peepholes)

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        i, f, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(state.h, self.weight_hh)).chunk(4, dim=1)
        p_i, p_f, p_o = self.peepholes.chunk(3)
        i, f = torch.sigmoid(i + p_i * state.c), torch.sigmoid(f + p_f * state.c)
        c = f * state.c + i * torch.tanh(g)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        return h, LSTMState(h, c)
