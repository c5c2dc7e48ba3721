"""LSTM whose gates see the cell (Gers & Schmidhuber 2000, Recurrent nets that time and count; Greff et al. 2017, §II).

i_t = σ(W_ii x_t + W_hi h_{t-1} + p_i ⊙ c_{t-1} + b_i)      input gate
f_t = σ(W_if x_t + W_hf h_{t-1} + p_f ⊙ c_{t-1} + b_f)      forget gate
g_t = tanh(W_ig x_t + W_hg h_{t-1} + b_g)                   candidate
c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
o_t = σ(W_io x_t + W_ho h_{t-1} + p_o ⊙ c_t + b_o)          output gate, which sees the new cell
h_t = o_t ⊙ tanh(c_t)        y_t = h_t
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.initialisation import initialise_gates
from stepscan.cells.lstm import LSTMState
from stepscan.contract import Recurrence
from stepscan.definitions.definition import Part, Weight
from stepscan.definitions.kinds import Size
from stepscan.registry import register


@register("peephole_lstm")
@dataclass(eq=False)
class PeepholeLSTM(Recurrence):
    """LSTM with peephole connections, for precise counting and timing.

    Weights, in the order i, f, g, o: `weight_ih [4H, I]` (Glorot-uniform), `weight_hh [4H, H]` (orthogonal blocks),
    `bias [4H]` (zeros, of the forget gate ones); `peepholes [3H]` of i, f, o (zeros: it begins as an LSTM).

    Args:
        input_size: I.
        hidden_size: H.
    """

    input_size: Size
    hidden_size: Size

    def derive(self) -> None:
        self.output_size = self.hidden_size

    def parts(self) -> dict[str, Part | None]:
        rows = 4 * self.hidden_size
        return {
            "weight_ih": Weight((rows, self.input_size)),
            "weight_hh": Weight((rows, self.hidden_size)),
            "bias": Weight((rows,)),
            "peepholes": Weight((3 * self.hidden_size,)),
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        initialise_gates(4, self.weight_ih, self.weight_hh)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.bias.chunk(4)[1])
        nn.init.zeros_(self.peepholes)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> LSTMState:
        zeros = self.zeros(batch_size, self.hidden_size, device, dtype)
        return LSTMState(zeros, zeros.clone())

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        i, f, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(state.h, self.weight_hh)).chunk(4, dim=1)
        p_i, p_f, p_o = self.peepholes.chunk(3)
        i, f = torch.sigmoid(i + p_i * state.c), torch.sigmoid(f + p_f * state.c)
        c = f * state.c + i * torch.tanh(g)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        return h, LSTMState(h, c)
