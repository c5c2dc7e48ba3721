"""The Elman network, or simple recurrent network (Elman 1990, Finding Structure in Time).

h_t = φ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)        y_t = h_t        φ = tanh or relu
"""

from __future__ import annotations

import torch
from torch import nn

from stepscan.cells.cell import Cell, scan_packed
from stepscan.definitions import cells as definitions
from stepscan.definitions.cell_states import HiddenState
from stepscan.registry import register
from stepscan.sequences import Sequences

_FUSED = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


@register("elman")
class Elman(definitions.Elman, Cell):
    """Elman network.

    Args:
        input_size: I.
        hidden_size: H.
        nonlinearity: φ, `"tanh"` or `"relu"`.
        bias: whether there are biases.
        initialisation: `"orthogonal"`, or with relu `"identity"`, for an IRNN (Le et al. 2015).
    """

    @torch.no_grad()
    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.scheme.kind == "identity":
            nn.init.normal_(self.weight_ih, std=0.001)
            nn.init.eye_(self.weight_hh)

    def fused_scan(self, inputs: Sequences, state: HiddenState) -> tuple[Sequences, HiddenState]:
        outputs, (h,) = scan_packed(_FUSED[self.nonlinearity], inputs, state, self.weights)
        return outputs, HiddenState(h)
