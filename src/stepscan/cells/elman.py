"""The Elman network, or simple recurrent network (Elman 1990, Finding Structure in Time).

h_t = φ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)        y_t = h_t        φ = tanh or relu
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.cell import Cell, scan_packed
from stepscan.definitions import cells as definitions
from stepscan.registry import register
from stepscan.sequences import Sequences

_FUSED = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


class ElmanState(NamedTuple):
    h: Tensor  # [B, H]


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

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> ElmanState:
        return ElmanState(self.zeros(batch_size, self.hidden_size, device, dtype))

    def equations(self, x: Tensor, state: ElmanState) -> tuple[Tensor, ElmanState]:
        preactivation = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(state.h, self.weight_hh, self.bias_hh)
        h = torch.tanh(preactivation) if self.nonlinearity == "tanh" else torch.relu(preactivation)
        return h, ElmanState(h)

    def fused_scan(self, inputs: Sequences, state: ElmanState) -> tuple[Sequences, ElmanState]:
        outputs, (h,) = scan_packed(_FUSED[self.nonlinearity], inputs, state, self.weights)
        return outputs, ElmanState(h)
