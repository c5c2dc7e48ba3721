"""The gated recurrent unit (Cho et al. 2014), with the reset gate after the recurrent product, as in PyTorch.

r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)                 reset gate
z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)                 update gate
n_t = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn))      candidate
h_t = (1 − z_t) ⊙ n_t + z_t ⊙ h_{t-1}        y_t = h_t
"""

from __future__ import annotations

import torch

from stepscan.cells.cell import Cell, scan_packed
from stepscan.cells.initialisation import forget_biases
from stepscan.definitions import cells as definitions
from stepscan.definitions.cell_states import HiddenState
from stepscan.registry import register
from stepscan.sequences import Sequences


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

    def fused_scan(self, inputs: Sequences, state: HiddenState) -> tuple[Sequences, HiddenState]:
        outputs, (h,) = scan_packed(torch.gru, inputs, state, self.weights)
        return outputs, HiddenState(h)
