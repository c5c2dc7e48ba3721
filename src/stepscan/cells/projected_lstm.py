"""LSTM with a recurrent projection (Sak et al. 2014, Long Short-Term Memory Recurrent Neural Network Architectures for
Large Scale Acoustic Modeling): a large cell behind a small hidden state.

i_t, f_t, o_t = σ(W_i· x_t + W_h· h_{t-1} + b_·)        gates, of the size C of the cell
g_t = tanh(W_ig x_t + W_hg h_{t-1} + b_g)               candidate
c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
h_t = W_hr (o_t ⊙ tanh(c_t))        y_t = h_t           of size H

This is PyTorch's `nn.LSTM(I, C, proj_size=H)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.initialisation import initialise_gates
from stepscan.cells.step_cell import StepCell
from stepscan.definitions.definition import Part, Weight
from stepscan.definitions.kinds import OptionalSize
from stepscan.registry import register


class ProjectedLSTMState(NamedTuple):
    h: Tensor  # [B, H]
    c: Tensor  # [B, C]


@register("projected_lstm")
@dataclass(eq=False)
class ProjectedLSTM(StepCell):
    """LSTM whose hidden state is a projection of its cell.

    Weights, in the order i, f, g, o: `weight_ih [4C, I]` (Glorot-uniform), `weight_hh [4C, H]` (blocks with orthogonal
    columns or rows), `weight_hr [H, C]` (Glorot-uniform), `bias [4C]` (zeros, of the forget gate ones).

    Args:
        input_size: I.
        hidden_size: H, the size of the output and of the hidden state.
        cell_size: C; None for 2 H.
    """

    cell_size: OptionalSize = None

    def derive(self) -> None:
        super().derive()
        self.inner_size = self.cell_size or 2 * self.hidden_size

    def parts(self) -> dict[str, Part | None]:
        rows = 4 * self.inner_size
        return {
            "weight_ih": Weight((rows, self.input_size)),
            "weight_hh": Weight((rows, self.hidden_size)),
            "weight_hr": Weight((self.hidden_size, self.inner_size)),
            "bias": Weight((rows,)),
        }

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        initialise_gates(4, self.weight_ih, self.weight_hh)
        nn.init.xavier_uniform_(self.weight_hr)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.bias.chunk(4)[1])

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> ProjectedLSTMState:
        h = self.zeros(batch_size, self.hidden_size, device, dtype)
        return ProjectedLSTMState(h, self.zeros(batch_size, self.inner_size, device, dtype))

    def step(self, x: Tensor, state: ProjectedLSTMState) -> tuple[Tensor, ProjectedLSTMState]:
        i, f, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(state.h, self.weight_hh)).chunk(4, dim=1)
        c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
        h = F.linear(torch.sigmoid(o) * torch.tanh(c), self.weight_hr)
        return h, ProjectedLSTMState(h, c)
