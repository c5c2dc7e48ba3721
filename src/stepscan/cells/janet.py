"""JANET, an LSTM with nothing but a forget gate (van der Westhuizen & Lasenby 2018, The unreasonable effectiveness of
the forget gate, §3).

s_t = W_if x_t + W_hf h_{t-1} + b_f
n_t = tanh(W_in x_t + W_hn h_{t-1} + b_n)                                candidate
h_t = σ(s_t) ⊙ h_{t-1} + (1 − σ(s_t − β)) ⊙ n_t        y_t = h_t         β = 1: more is stored than is forgotten
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.cells.initialisation import forget_biases
from stepscan.cells.step_cell import GatedCell
from stepscan.definitions.cell_states import HiddenState
from stepscan.definitions.initialisation import Initialisation
from stepscan.fields import Integer
from stepscan.registry import register

_BETA = 1.0


@register("janet")
@dataclass(eq=False)
class JANET(GatedCell):
    """Just another network: one gate, and one state.

    Weights, in the order f, n: `weight_ih [2H, I]` (Glorot-uniform), `weight_hh [2H, H]` (orthogonal blocks), `bias
    [2H]`: `b_f = log u`, u ~ U(1, T_max − 1), and zeros (chrono initialisation, Tallec & Ollivier 2018).

    Args:
        input_size: I.
        hidden_size: H.
        t_max: the longest dependency in steps, for the first biases.
    """

    t_max: Annotated[int, Integer(3)] = 100

    gates = 2

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        super().reset_parameters()
        chrono = Initialisation("chrono", self.t_max)
        self.bias.chunk(2)[0].copy_(forget_biases(chrono, self.hidden_size))

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        total = F.linear(x, self.weight_ih, self.bias) + F.linear(h, self.weight_hh)
        s, n = total.chunk(2, dim=1)
        h = torch.sigmoid(s) * h + (1 - torch.sigmoid(s - _BETA)) * torch.tanh(n)
        return h, HiddenState(h)
