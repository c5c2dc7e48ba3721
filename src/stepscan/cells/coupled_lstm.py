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


@register("coupled_lstm")
@dataclass(eq=False)
class CoupledLSTM(Recurrence):
    """LSTM whose input gate is 1 − its forget gate: three quarters of an LSTM's weights.

    Weights, in the order f, g, o: `weight_ih [3H, I]` (Glorot-uniform), `weight_hh [3H, H]` (orthogonal blocks), `bias
    [3H]` (zeros, of the forget gate ones).

    Args:
        input_size: I.
        hidden_size: H.
    """

    input_size: Size
    hidden_size: Size

    def derive(self) -> None:
        self.output_size = self.hidden_size

    def parts(self) -> dict[str, Part | None]:
        rows = 3 * self.hidden_size
        return {
            "weight_ih": Weight((rows, self.input_size)),
            "weight_hh": Weight((rows, self.hidden_size)),
            "bias": Weight((rows,)),
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        initialise_gates(3, self.weight_ih, self.weight_hh)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.bias.chunk(3)[0])

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> LSTMState:
        zeros = self.zeros(batch_size, self.hidden_size, device, dtype)
        return LSTMState(zeros, zeros.clone())

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        f, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(state.h, self.weight_hh)).chunk(3, dim=1)
        f = torch.sigmoid(f)
        c = f * state.c + (1 - f) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, LSTMState(h, c)
