"""ParaLSTM (Danieli et al. 2025, ParaRNN: Unlocking Parallel Training of Nonlinear RNNs for Large Language Models, eqs
3.1b and 3.3): an LSTM with coupled gates and peepholes whose recurrent matrices are diagonal.

f_t = σ(W_f x_t + a_f ⊙ h_{t-1} + p_f ⊙ c_{t-1} + b_f)  forget gate
g_t = tanh(W_g x_t + a_g ⊙ h_{t-1} + b_g)               candidate
c_t = f_t ⊙ c_{t-1} + (1 − f_t) ⊙ g_t
o_t = σ(W_o x_t + a_o ⊙ h_{t-1} + p_o ⊙ c_t + b_o)      output gate
h_t = o_t ⊙ tanh(c_t)        y_t = h_t
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.step_cell import DiagonalCell
from stepscan.definitions.cell_states import LSTMState
from stepscan.definitions.definition import Part, Weight
from stepscan.registry import register


@register("paralstm")
class ParaLSTM(DiagonalCell):
    """LSTM without weights between its units: not linear in its state, unlike `MinLSTM`.

    Weights, in the order f, g, o: `weight_ih [3H, I]` and `bias [3H]`, both U(−1/√I, 1/√I), as in `nn.Linear`;
    `weight_self [3H]`, the a above, and `peepholes [2H]` of f and o (normal, variance 1/H). All are
    ours, not the paper's.

    Args:
        input_size: I.
        hidden_size: H.
    """

    gates = 3
    state_class = LSTMState

    def parts(self) -> dict[str, Part | None]:
        size = self.hidden_size
        return super().parts() | {"weight_self": Weight((3 * size,)), "peepholes": Weight((2 * size,))}

    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        super().reset_parameters()
        for weight in (self.weight_self, self.peepholes):
            nn.init.normal_(weight, std=self.hidden_size**-0.5)

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        f, g, o = F.linear(x, self.weight_ih, self.bias).chunk(3, dim=1)
        (a_f, a_g, a_o), (p_f, p_o) = self.weight_self.chunk(3), self.peepholes.chunk(2)
        f = torch.sigmoid(f + a_f * state.h + p_f * state.c)
        c = f * state.c + (1 - f) * torch.tanh(g + a_g * state.h)
        h = torch.sigmoid(o + a_o * state.h + p_o * c) * torch.tanh(c)
        return h, LSTMState(h, c)
