"""The gated recurrent unit (Cho et al. 2014), with the reset gate after the recurrent product, as in PyTorch.

r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)                 reset gate
z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)                 update gate
n_t = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn))      candidate
h_t = (1 − z_t) ⊙ n_t + z_t ⊙ h_{t-1}        y_t = h_t
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.cells.cell import Cell, scan_packed
from stepscan.cells.initialisation import forget_biases
from stepscan.definitions import cells as definitions
from stepscan.registry import register
from stepscan.sequences import Sequences


class GRUState(NamedTuple):
    h: Tensor  # [B, H]


@register("gru")
class GRU(definitions.GRU, Cell):
    """Gated recurrent unit; weights in the order r, z, n.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.
        initialisation: `"orthogonal"`, or `"chrono"` (Tallec & Ollivier 2018), which sets the update gate's bias.
        t_max: with chrono, the longest dependency in steps.
    """

    @torch.no_grad()
    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.scheme.kind == "chrono" and self.bias_ih is not None:
            self.bias_ih.chunk(3)[1].copy_(forget_biases(self.scheme, self.hidden_size))

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> GRUState:
        return GRUState(self.zeros(batch_size, self.hidden_size, device, dtype))

    def equations(self, x: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
        x_gates = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=1)
        h_gates = F.linear(state.h, self.weight_hh, self.bias_hh).chunk(3, dim=1)
        r = torch.sigmoid(x_gates[0] + h_gates[0])
        z = torch.sigmoid(x_gates[1] + h_gates[1])
        n = torch.tanh(x_gates[2] + r * h_gates[2])
        h = (1 - z) * n + z * state.h
        return h, GRUState(h)

    def fused_scan(self, inputs: Sequences, state: GRUState) -> tuple[Sequences, GRUState]:
        outputs, (h,) = scan_packed(torch.gru, inputs, state, self.weights)
        return outputs, GRUState(h)
